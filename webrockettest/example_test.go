package webrockettest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/webrockettest"
)

// greeter greets, answers every message, and says goodbye after "bye".
type greeter struct{ left chan error }

func (g greeter) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	return &webrocket.Endpoint{Protocol: g, MaxMessageSize: 100}, nil
}

func (greeter) OnOpen(c *webrocket.Conn, _ *webrocket.Request) {
	c.Send(webrocket.Text, []byte("welcome"))
}

func (greeter) OnMessage(c *webrocket.Conn, op webrocket.Opcode, message []byte) {
	if string(message) == "bye" {
		c.Close(4000, "see you")
		return
	}
	c.Send(op, append([]byte("you said "), message...))
}

func (g greeter) OnClose(_ *webrocket.Conn, reason error) { g.left <- reason }

// exampleT stands for the *testing.T that a test function has.
type exampleT struct{ testing.TB }

func (exampleT) Helper()           {}
func (exampleT) Cleanup(func())    {}
func (exampleT) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// A handler is tested without a port. In a test, t is the argument of the function.
func Example() {
	var t testing.TB = exampleT{}
	server := webrocket.NewServer("")
	g := greeter{make(chan error, 1)}
	if err := server.Handle("/greeter", g); err != nil {
		t.Fatal(err)
	}
	running := webrockettest.Start(t, server)

	c := running.Dial("/greeter", nil)
	_, message := c.Receive()
	fmt.Printf("%s\n", message)
	c.Send(webrocket.Text, []byte("hello"))
	_, message = c.Receive()
	fmt.Printf("%s\n", message)
	running.Advance(time.Hour) // takes no time; pings are answered
	c.Send(webrocket.Text, []byte("bye"))
	fmt.Println(c.ReceiveClose())
	fmt.Println(<-g.left)
	_ = running.Shutdown(context.Background()) // in a test, Start does this at the end
	// Output:
	// welcome
	// you said hello
	// 4000 see you
	// websocket: close 4000: see you
}
