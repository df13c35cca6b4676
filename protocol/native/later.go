package native

import (
	"bytes"
	"iter"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/pubsub"
)

// How many replies of a connection wait until no more of its messages are obeyed, and how
// many are left when that goes on.
const (
	waitingMax  = 256
	waitingLess = waitingMax / 2
)

// mustWait reports whether a message of a connection some of whose replies wait cannot be
// obeyed yet: it is no publish, or one that comes behind another such message.
func (p *Protocol) mustWait(s *hub.Session, message []byte) bool {
	if s.Defers() {
		return true
	}
	var cmd codec.Command
	return p.codec.ParseCommand(message, &cmd) == nil && cmd.Kind != codec.Publish
}

// waits reports whether a command waits until this node has the events before its positions.
func (p *Protocol) waits(c *engine.Conn, s *hub.Session, cmd *codec.Command, message []byte) bool {
	if cmd.Since.Epoch == "" && cmd.Channels == nil && cmd.Positions == nil {
		return false
	}
	var kept []byte
	waits := s.DeferUntil(positionsIn(cmd), func() {
		c.Guarded(func() { p.obeyMessage(c, s, kept, true) })
		unthrottle(c, s)
	})
	if waits {
		kept = bytes.Clone(message)
		throttle(c, s)
	}
	return waits
}

// positionsIn are the positions that a command has.
func positionsIn(cmd *codec.Command) iter.Seq2[[]byte, pubsub.Position] {
	return func(yield func([]byte, pubsub.Position) bool) {
		if cmd.Since.Epoch != "" && !yield(cmd.Channel, pubsub.Position(cmd.Since)) {
			return
		}
		for i := range cmd.Channels {
			if one := &cmd.Channels[i]; one.Since.Epoch != "" && !yield(one.Channel, pubsub.Position(one.Since)) {
				return
			}
		}
		for channel, p := range cmd.Positions {
			if !yield([]byte(channel), pubsub.Position(p)) {
				return
			}
		}
	}
}

// Owes makes Protocol an engine.Owing.
func (p *Protocol) Owes(c *engine.Conn) bool { return c.Value().(*hub.Session).Waits() > 0 }

// replyLater answers a publish when its result is known.
func (p *Protocol) replyLater(c *engine.Conn, s *hub.Session, cmd *codec.Command, later *hub.Turn, size int) {
	kept := codec.Command{
		Kind: cmd.Kind, ID: bytes.Clone(cmd.ID), Channel: bytes.Clone(cmd.Channel), Event: bytes.Clone(cmd.Event),
	}
	later.Then(func(result hub.Result) {
		s.Note(c.Loop().Began(), &kept, result.Code, size)
		p.reply(c, &kept, result, nil)
		unthrottle(c, s)
	})
	throttle(c, s)
}

// replyInTurn answers a command, behind the replies that wait.
func (p *Protocol) replyInTurn(c *engine.Conn, s *hub.Session, cmd *codec.Command, result hub.Result, each []codec.Reply) {
	if s.Waits() == 0 {
		p.reply(c, cmd, result, each)
		return
	}
	kept := codec.Command{Kind: cmd.Kind, ID: bytes.Clone(cmd.ID)}
	s.After(func() {
		p.reply(c, &kept, result, each)
		unthrottle(c, s)
	})
	throttle(c, s)
}

// throttle stops the input of a connection for which too many replies wait.
func throttle(c *engine.Conn, s *hub.Session) {
	if s.Waits() >= waitingMax {
		c.Pause()
	}
}

// unthrottle goes on with the input of a connection for which few replies wait, and with its end
// where that waits for them.
func unthrottle(c *engine.Conn, s *hub.Session) {
	if s.Waits() <= waitingLess {
		c.Resume()
	}
}
