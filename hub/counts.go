package hub

import (
	"time"

	"github.com/nu7hatch/webrocket/codec"
)

// kinds is how many kinds of commands there are, with none.
const kinds = codec.Disconnect + 1

// Counts is what one event loop has counted for one hub.
type Counts struct {
	Sessions int
	Commands [kinds][Codes]uint64 // by kind and result
}

// Add counts what o has counted.
func (c *Counts) Add(o *Counts) {
	c.Sessions += o.Sessions
	for kind := range o.Commands {
		for result, n := range o.Commands[kind] {
			c.Commands[kind][result] += n
		}
	}
}

// Counts calls f with what the loop has counted for each hub. The counts are
// valid until f returns.
func (w *Worker) Counts(f func(*Hub, *Counts)) {
	for _, d := range w.desks {
		f(d.hub, &d.counts)
	}
}

// Note counts a command and what came of it, and logs it if it is watched. size
// is the length of its message in bytes; now is the current time by the clock of
// measure.Now.
func (s *Session) Note(now time.Duration, cmd *codec.Command, result Code, size int) {
	s.desk.counts.Commands[cmd.Kind][result]++
	if s.desk.worker.watch != nil {
		s.desk.worker.look(now, s, cmd, result, size)
	}
}
