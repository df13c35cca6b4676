package hub

import (
	"cmp"
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// A Watch says which commands a loop logs: which commands came and how they
// ended, never their data.
type Watch struct {
	Hub     *Hub     // whose commands are logged that concern
	Channel string   // this channel; or
	Session *Session // the one whose commands are logged
	Every   int      // 1 of so many is logged; if less than 1, all

	// Until is when that ends, by the clock of measure.Now.
	Until time.Duration
}

// watching is a Watch in progress.
type watching struct {
	Watch
	seen int
}

// Watch begins to log, and ends what an earlier call has begun. nil only ends
// that.
func (w *Worker) Watch(ask *Watch) {
	w.watch = nil
	if ask != nil {
		w.watch = &watching{Watch: *ask}
	}
}

// look logs a command if it is watched.
func (w *Worker) look(now time.Duration, s *Session, cmd *codec.Command, result Code, size int) {
	if now >= w.watch.Until {
		w.watch = nil
		return
	}
	if !w.watch.wants(s, cmd) {
		return
	}
	s.Hub().Log().Info("a watched command", "connection", w.out.Name(s.subscriber.ID()), "command", cmd.Kind.String(),
		"channel", string(cmd.Channel), "event", string(cmd.Event), "bytes", size,
		"result", cmp.Or(result.String(), "ok"))
}

// wants reports whether a command is in the sample.
func (w *watching) wants(s *Session, cmd *codec.Command) bool {
	if w.Session != nil {
		if s != w.Session {
			return false
		}
	} else if s.Hub() != w.Hub || string(cmd.Channel) != w.Channel {
		return false
	}
	w.seen++
	return (w.seen-1)%max(w.Every, 1) == 0
}
