package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/measure"
)

// Questions that stand are for all nodes, also those that are away, or start later. Each
// node keeps all that it has learned of, and numbers them as it learns them. Its beat has
// the last number; a node that has not come so far with it fetches the rest. So they
// reach every node, in whichever order the nodes come and go, for as long as one of
// those that know them is there.
const (
	// kindFetch asks a node for what it has learned after a number.
	kindFetch kind = 'F'

	// kindStand is the answer: the number of the last one in it, and the questions.
	kindStand kind = 'S'
)

// Limits of what stands.
const (
	standingMax = 100_000 // questions
	standBytes  = 32 << 20
	standPage   = 128 << 10                 // bytes of one answer, beside the first question in it
	standMost   = 10 * 366 * 24 * time.Hour // that a question may stand
	fetchAgain  = time.Second               // what is not answered is asked again
)

// A questionID names a question in the cluster.
type questionID struct{ node, number uint64 }

// A standing is a question that stands.
type standing struct {
	id    questionID
	at    uint64        // its number at this node
	until time.Duration // on the clock of measure.Now
	topic string
	text  []byte
}

func (s *standing) size() int { return 100 + len(s.topic) + len(s.text) }

// standings are those that a node knows.
type standings struct {
	all     []standing // by number
	bytes   int
	known   map[questionID]struct{}
	learned uint64             // the last number
	first   time.Duration      // when the first of them is over; 0: none is there
	sources map[uint64]*source // other nodes, by incarnation
}

// A source is how far a node has come with what another one knows.
type source struct {
	until uint64
	asked time.Duration // 0: it may be asked at once
}

func newStandings() standings {
	return standings{known: make(map[questionID]struct{}), sources: make(map[uint64]*source)}
}

// stand keeps a question that stands for a while. mu is held. It returns hub.ErrStanding if
// there is no room.
func (c *calls) stand(now time.Duration, id questionID, q question) error {
	st := &c.standing
	st.forget(now)
	if _, ok := st.known[id]; ok || q.keep <= 0 {
		return nil
	}
	s := standing{id, st.learned + 1, now + q.keep, q.topic, bytes.Clone(q.text)}
	if len(st.all) >= standingMax || st.bytes+s.size() > standBytes {
		return hub.ErrStanding
	}
	st.learned++
	st.all = append(st.all, s)
	st.bytes += s.size()
	st.known[id] = struct{}{}
	if st.first == 0 || s.until < st.first {
		st.first = s.until
	}
	c.node.exchange.standing.Store(st.learned)
	return nil
}

// forget drops what is over.
func (st *standings) forget(now time.Duration) {
	if st.first == 0 || now < st.first {
		return
	}
	kept := st.all[:0]
	st.first, st.bytes = 0, 0
	for _, s := range st.all {
		if s.until <= now {
			delete(st.known, s.id)
			continue
		}
		kept = append(kept, s)
		st.bytes += s.size()
		if st.first == 0 || s.until < st.first {
			st.first = s.until
		}
	}
	clear(st.all[len(kept):])
	st.all = kept
}

// fetch asks the other nodes for what they have learned and this one has not, and reports
// whether it knows all that it has heard of.
func (c *calls) fetch(now time.Duration) (all bool) {
	others := c.node.exchange.others()
	c.mu.Lock()
	defer c.mu.Unlock()
	all = true
	there := make(map[uint64]bool, len(others))
	for _, p := range others {
		there[p.id] = true
		s := c.standing.sources[p.id]
		if s == nil {
			s = new(source)
			c.standing.sources[p.id] = s
		}
		if s.until >= p.standing {
			continue
		}
		all = false
		if s.asked > 0 && now-s.asked < fetchAgain || now-p.heard > silentAfter {
			continue
		}
		s.asked = now
		_ = c.tell(p.id, appendNumbered(nil, kindFetch, c.node.exchange.id, s.until))
	}
	for id := range c.standing.sources {
		if !there[id] {
			delete(c.standing.sources, id)
		}
	}
	return all
}

// takeFetch answers with what another node has not learned.
func (c *calls) takeFetch(from uint64, b []byte) error {
	after, _, err := parseNumbered(b)
	if err != nil {
		return err
	}
	now := measure.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.standing.forget(now)
	var list []byte
	page := min(standPage, c.node.exchange.out.room()-headSize-8)
	last := c.standing.learned
	for i := range c.standing.all {
		s := &c.standing.all[i]
		if s.at <= after {
			continue
		}
		if len(list) > 0 && len(list)+s.size() > page {
			last = s.at - 1
			break
		}
		list = appendStanding(list, s, now)
	}
	return c.tell(from, append(appendNumbered(nil, kindStand, c.node.exchange.id, last), list...))
}

// takeStand learns what another node knows, and asks for more if there is more.
func (c *calls) takeStand(from uint64, b []byte) error {
	last, b, err := parseNumbered(b)
	if err != nil {
		return err
	}
	now := measure.Now()
	for len(b) > 0 {
		var id questionID
		var q question
		if id, q, b, err = parseStanding(b); err != nil {
			return err
		}
		c.learn(now, id, q)
	}
	c.mu.Lock()
	if s := c.standing.sources[from]; s != nil {
		s.until, s.asked = max(s.until, last), 0
	}
	c.mu.Unlock()
	c.fetch(now)
	return nil
}

// learn keeps and obeys what another node knows, unless this one knows it.
func (c *calls) learn(now time.Duration, id questionID, q question) {
	c.mu.Lock()
	_, known := c.standing.known[id]
	f := c.handlers[q.topic]
	err := c.stand(now, id, q)
	c.mu.Unlock()
	if !known && f != nil {
		_, failed := c.handle(f, q.text)
		err = errors.Join(err, failed)
	}
	if err != nil {
		c.node.log.Error("what another node has asked all to do was not done", "topic", q.topic, "error", err)
	}
}

func appendStanding(dst []byte, s *standing, now time.Duration) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, s.id.node)
	dst = binary.LittleEndian.AppendUint64(dst, s.id.number)
	return appendQuestion(dst, question{s.until - now, s.topic, s.text})
}

// parseStanding reads a question from the beginning of b, and returns the rest.
func parseStanding(b []byte) (id questionID, q question, rest []byte, err error) {
	if len(b) < 16 {
		return questionID{}, question{}, nil, errFrame
	}
	id = questionID{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
	q, rest, err = parseQuestion(b[16:])
	return id, q, rest, err
}

// stands returns how many questions stand.
func (c *calls) stands() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.standing.forget(measure.Now())
	return len(c.standing.all)
}
