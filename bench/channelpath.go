package bench

import "fmt"

// A pathDialect is a Dialect in which the path of the handshake names the channel. Each connection subscribes to one
// channel or publishes to one; the answer to the handshake is that to the subscription.
type pathDialect interface {
	// ChannelPath returns what follows the target's path for a subscriber or a publisher of channel.
	ChannelPath(channel string, publishes bool) string
}

// onePurposeEach gives each stream a connection that does nothing but publish it. Those of connections that subscribe,
// and all but the first of others, move to connections that are added.
func (p *plan) onePurposeEach() {
	for i := range p.streams {
		s := &p.streams[i]
		c := &p.conns[s.conn]
		if c.channel == none && c.streams[0] == int32(i) {
			c.streams = c.streams[:1]
			continue
		}
		s.conn = p.subscribe(none, s.group, steady)
		p.conns[s.conn].streams = []int32{int32(i)}
	}
	for i := range p.conns {
		if p.conns[i].channel != none {
			p.conns[i].streams = nil
		}
	}
}

// requestOf is the opening handshake of a connection.
func (r *run) requestOf(c *conn) []byte {
	d, ok := r.dialect.(pathDialect)
	if !ok {
		return r.request
	}
	channel, publishes := r.purposeOf(c)
	_, subprotocol := r.dialect.Handshake()
	return handshakeRequest(r.target.JoinPath(d.ChannelPath(channel, publishes)), subprotocol)
}

// purposeOf returns the channel that a connection subscribes to, or publishes to, where each has one purpose.
func (r *run) purposeOf(c *conn) (channel string, publishes bool) {
	if c.channel != "" {
		return c.channel, false
	}
	return channelName(r.plan.streams[r.plan.conns[c.plan].streams[0]].channel), true
}

// greeted answers what a server says first.
func (w *worker) greeted(c *conn, greeting string) error {
	d, ok := w.run.dialect.(greetedDialect)
	if !ok || c.state != connSetup {
		return fmt.Errorf("the server greets at the wrong time: %s", greeting)
	}
	channel, _ := w.run.purposeOf(c)
	c.out = appendFrame(c.out, w.run.dialect.Opcode(), d.AppendAnswer(nil, greeting, w.run.target, w.run.secret, channel))
	w.mark(c)
	return nil
}
