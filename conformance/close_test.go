package conformance_test

import (
	"fmt"
	"io"
	"testing"
)

// RFC 6455 §5.5.1 and §7: the end of a connection.

func TestCloseCodes(t *testing.T) {
	var ds []dialogue
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		ds = append(ds, dialogue{name: fmt.Sprint("legal ", code), say: closing(uint16(code), ""), hear: []string{fmt.Sprint("close ", code)}})
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		ds = append(ds, dialogue{name: fmt.Sprint("illegal ", code), say: closing(uint16(code), ""), hear: []string{"close 1002"}})
	}
	hold(t, ds)
}

func TestClose(t *testing.T) {
	hold(t, []dialogue{
		{name: "nothing in it", say: frame(opClose, ""), hear: []string{"close"}},
		{name: "one byte", say: frame(opClose, "\x03"), hear: []string{"close 1002"}},
		{name: "a reason", say: closing(1000, "κόσμε"), hear: []string{"close 1000"}},
		{name: "the longest reason", say: closing(1000, long(123)), hear: []string{"close 1000"}},
		{name: "after a message", say: textMessage("a") + closing(1000, ""), hear: []string{"text a", "close 1000"}},
		{name: "within a message", say: frame(firstText, "a") + closing(1001, ""), hear: []string{"close 1001"}},
		{name: "the server closes", path: "/close", say: textMessage("a"), hear: []string{"text a", "close 1001"}},
		{name: "both close at once", path: "/close", say: textMessage("a") + closing(1000, ""), hear: []string{"text a", "close 1001"}},
		{name: "a ping after the server's close", path: "/close", say: textMessage("a") + ping("p"), hear: []string{"text a", "close 1001", "pong p"}},
		{name: "a message after the server's close", path: "/close", say: textMessage("a") + textMessage("b") + closing(1000, ""), hear: []string{"text a", "close 1001"}},
	})
}

// After its Close frame nothing that a client sends is obeyed.
func TestNothingAfterClose(t *testing.T) {
	for _, tr := range transports {
		for name, more := range map[string]string{
			"a message": textMessage("x"), "a ping": ping("x"), "another close": closing(1001, ""), "rubbish": "\xff\xff\xff\xff",
		} {
			t.Run(name+"/"+tr.name, func(t *testing.T) {
				c := dial(t, tr)
				c.open("/", "")
				c.say(closing(1000, "")+more, limit)
				c.hear("close 1000")
				c.end()
			})
		}
	}
}

// After a violation nothing that a client sends is obeyed, not even a Close
// frame.
func TestNothingAfterFailure(t *testing.T) {
	hold(t, []dialogue{
		{name: "a message", say: frame(0xb1, "") + textMessage("x"), hear: []string{"close 1002"}},
		{name: "a ping", say: frame(0x83, "") + ping("x"), hear: []string{"close 1002"}},
		{name: "a close", say: textMessage("\xff") + closing(1000, ""), hear: []string{"close 1007"}},
	})
}

// Once the client has answered the Close frame, the server closes the TCP
// connection, and not before.
func TestServerCloses(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			c := dial(t, tr)
			c.open("/close", "")
			c.say(textMessage("a"), limit)
			c.hear("text a", "close 1001")
			c.say(ping("still there"), limit)
			c.hear("pong still there")
			c.say(closing(1001, ""), limit)
			c.end()
		})
	}
}

// A client that has shut down its sending side still hears the answers.
func TestHalfClosed(t *testing.T) {
	for _, tr := range transports {
		for _, tt := range []struct {
			name, say string
			hear      []string
		}{
			{"after a message", textMessage("hello"), []string{"text hello"}},
			{"after a ping", ping("p"), []string{"pong p"}},
			{"after a close", closing(1000, ""), []string{"close 1000"}},
			{"after a violation", frame(0xc1, ""), []string{"close 1002"}},
			{"within a frame", textMessage("a") + cut(textMessage("hello"), 2), []string{"text a"}},
			{"after 64 KiB", textMessage(long(limit)), []string{textBack(long(limit))}},
		} {
			t.Run(tt.name+"/"+tr.name, func(t *testing.T) {
				c := dial(t, tr)
				c.open("/", "")
				c.say(tt.say, limit)
				c.closeWrite()
				c.hear(tt.hear...)
				c.end()
			})
		}
		t.Run("after a refused request/"+tr.name, func(t *testing.T) {
			c := dial(t, tr)
			c.say(request("/nowhere", ""), limit)
			c.closeWrite()
			response := c.wantResponse(404)
			if _, err := io.ReadAll(response.Body); err != nil {
				t.Errorf("body: %v", err)
			}
			c.end()
		})
	}
}

// closeWrite says that the client will send nothing more.
func (c *client) closeWrite() {
	c.t.Helper()
	if err := c.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}
