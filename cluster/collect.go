package cluster

import (
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/nu7hatch/webrocket/measure"
)

// A message of a log costs the servers that store it about the same for one event as for a hundred.
// So a node gives a small batch to the node whose server leads the log, and that one sends it in one
// message with its own. The batch goes no detour: it has to reach that server anyway.
//
// Nothing depends on that node. A batch that has not come back from the log in time is sent again,
// to the log itself. So it may be stored twice: ledgers take it once, by its number.
//
// A large batch is worth a message of its own. Where much is published batches are large, and few are
// collected.

// Limits of collecting.
const (
	collectEvents = 32      // that a batch has at most which is given to another node
	collectBytes  = 8 << 10 // of such a batch
	collectedMost = 16      // batches that go along with one
	collectedRoom = 64      // batches that wait for that
	collectedFor  = 2 * time.Second
	collectPause  = 5 * time.Second // for which a node does without, after a batch has not come back
)

// A collected is a batch of another node that is to go along.
type collected struct {
	nodeBatch
	count int // of events
	at    time.Duration
}

// small reports whether a batch is to be given to the node that collects.
func (f *flight) small() bool {
	return f.tries == 1 && f.others == 0 && f.answers == 0 && len(f.events) > 0 && len(f.events) <= collectEvents && len(f.data) <= collectBytes
}

// collect takes the message of another node, to let its batch go along. It reports false where that
// cannot be.
func (a *appender) collect(now time.Duration, message []byte) bool {
	h, batches, err := parseLogMessage(nil, message)
	if err != nil || len(batches) != 1 || len(message) > collectBytes {
		return false
	}
	events, err := parseLogEvents(nil, batches[0].events)
	if err != nil || len(events) > collectEvents {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asking || a.epoch.id == 0 || a.epoch != h.epoch || len(a.room) == collectedRoom || h.from == a.id {
		return false
	}
	a.room = append(a.room, collected{batches[0], len(events), now})
	return true
}

// along takes the batches that go along with the next one, of which the message has room for so many
// bytes. It returns how many events they have, and their bytes. mu is held.
func (a *appender) along(most int) (others []collected, events, size int) {
	n := 0
	for ; n < min(len(a.room), collectedMost); n++ {
		more := batchHeadSize + binary.MaxVarintLen32 + len(a.room[n].events)
		if size+more > most {
			break
		}
		events += a.room[n].count
		size += more
	}
	others, a.room = a.room[:n], a.room[n:]
	return others, events, size
}

// forgetCollected forgets what waits for too long: its sender has sent it itself. mu is held.
func (a *appender) forgetCollected(now time.Duration) {
	for len(a.room) > 0 && now-a.room[0].at > collectedFor {
		a.room = a.room[1:]
	}
}

// give notes that a batch is given to another node.
func (a *appender) give(f *flight) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f.given = true
}

// hasGiven reports whether a batch that is sent again was given to another node before, or one that was
// given up since.
func (a *appender) hasGiven(f *flight) (given bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	given = f.given || a.vain
	f.given, a.vain = false, false
	return given
}

// collector returns the subject by which a node collects batches for this log. The server of NATS
// inside it has its name.
func (s *stream) collector(node string) string {
	return s.collecting + "." + base64.RawURLEncoding.EncodeToString([]byte(node))
}

// to returns the subject that a batch goes to: that of the log itself, or of the node that collects.
func (s *stream) to(now time.Duration, f *flight) string {
	if s.appender.hasGiven(f) {
		s.alone = now + collectPause
	}
	node, leader := &s.logs.node.config, s.leader.Load()
	if node.Embedded == nil || !f.small() || now < s.alone || leader == nil || *leader == "" || *leader == node.Node {
		return s.in
	}
	s.appender.give(f)
	return s.collector(*leader)
}

// takeCollected takes a batch that another node gives to this one.
func (s *stream) takeCollected(m *nats.Msg) {
	if !s.appender.collect(measure.Now(), m.Data) {
		_ = m.Respond([]byte(`{"error":{"code":503,"description":"nothing is collected"}}`)) // takeAck reads it
		return
	}
	s.wakeUp()
}
