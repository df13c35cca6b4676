package webrocket_test

import (
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/webrockettest"
)

func TestEcho(t *testing.T) {
	server := webrocket.NewServer("")
	if err := server.Handle("/echo", echo{}); err != nil {
		t.Fatal(err)
	}
	running := webrockettest.Start(t, server) // in place of server.Start
	c := running.Dial("/echo", nil)
	if _, message := c.Receive(); string(message) != "hello" {
		t.Errorf("got %q, want a greeting", message)
	}
	c.Send(webrocket.Text, []byte("one"))
	running.Advance(time.Hour) // takes no time
	c.Send(webrocket.Text, []byte("two"))
	for _, want := range []string{"one", "two"} {
		if _, message := c.Receive(); string(message) != want {
			t.Errorf("got %q, want %q", message, want)
		}
	}
	if code, reason := c.ReceiveClose(); code != 1000 || reason != "enough" {
		t.Errorf("closed with %d %q", code, reason)
	}
}
