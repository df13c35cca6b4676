//go:build race

package webrocket_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket"
)

// careless answers from a goroutine of its own, without Post.
type careless struct{ panicked chan string }

func (h careless) Register(*webrocket.Server, any) (*webrocket.Endpoint, error) {
	return &webrocket.Endpoint{Protocol: h}, nil
}
func (careless) OnOpen(_ *webrocket.Conn, _ *webrocket.Request) {}
func (careless) OnClose(*webrocket.Conn, error)                 {}
func (h careless) OnMessage(c *webrocket.Conn, _ webrocket.Opcode, _ []byte) {
	go func() {
		defer func() { h.panicked <- fmt.Sprint(recover()) }()
		c.Send(webrocket.Text, []byte("hello"))
	}()
}

// Who calls a connection from another goroutine than its loop's is told so, also
// where the race detector sees no race: the loop has nothing to do meanwhile.
func TestSendFromAForeignGoroutine(t *testing.T) {
	h := careless{make(chan string)}
	s := serve(t, hubs{"/": h})
	dial(t, s, "/").write("x")
	if got := <-h.panicked; !strings.Contains(got, "Conn.Send was called") || !strings.Contains(got, "use Loop.Post") {
		t.Errorf("got the panic %q", got)
	}
}
