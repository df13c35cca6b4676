package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A stream is events of which each is known by its number, from 0: its channel, its name and all its data. So a reader
// can check whether they are whole and in order, and which are missing.
const (
	streamChannels = 3
	streamTopics   = 4 * streamChannels // a channel has events of four names
	streamLongest  = 4 << 10            // bytes of data, about
)

func streamChannel(n int) string { return "c" + strconv.Itoa(n%streamChannels) }

func streamEvent(n int) string {
	fill := strings.Repeat(string(rune('a'+n%26)), n*7919%streamLongest)
	return fmt.Sprintf(`{"event":"e%d","channel":%q,"data":"%d %s"}`, n%streamTopics/streamChannels, streamChannel(n), n, fill)
}

func streamCommand(n int) string { return `{"publish":` + streamEvent(n) + `}` }

// withoutOffset returns an event as it is where its channel keeps no history, and the offset, 0 if there is none.
func withoutOffset(message []byte) (event []byte, offset int) {
	head, tail, found := bytes.Cut(message, []byte(`,"offset":`))
	offset, err := strconv.Atoi(strings.TrimSuffix(string(tail), "}"))
	if !found || err != nil {
		return message, 0
	}
	return append(head[:len(head):len(head)], '}'), offset
}

// hearing is what one subscriber of a stream has heard.
type hearing struct {
	heard   int
	doubled int                 // that came again, or out of order
	skipped int                 // that did not come, without a notice
	lost    int                 // that did not come, and the subscriber was told
	missing [streamChannels]int // of these, by channel
	notices int                 // in which it was told
	broken  int                 // messages that are none of the stream

	next   [streamChannels]int // number that comes next, by channel
	newest [streamTopics]int   // number that came last, and 1
}

func newHearing() hearing {
	var h hearing
	for i := range h.next {
		h.next[i] = i
	}
	return h
}

// take takes a message in.
func (h *hearing) take(message []byte) {
	var m struct {
		Lost    int    `json:"lost"`
		Channel string `json:"channel"`
		Data    string `json:"data"`
	}
	err := json.Unmarshal(message, &m)
	number, _, _ := strings.Cut(m.Data, " ")
	n, noNumber := strconv.Atoi(number)
	message, offset := withoutOffset(message)
	switch {
	case err != nil:
		h.broken++
	case m.Lost > 0:
		h.tell(m.Channel, m.Lost)
	case noNumber != nil || n < 0 || !bytes.Equal(message, []byte(streamEvent(n))) || offset > 0 && offset != n/streamChannels+1:
		h.broken++
	default:
		h.event(n)
	}
}

// tell takes in that events are lost.
func (h *hearing) tell(channel string, n int) {
	for i := range h.next {
		if streamChannel(i) == channel {
			h.lost += n
			h.missing[i] += n
			h.notices++
			h.next[i] += n * streamChannels
			return
		}
	}
	h.broken++
}

func (h *hearing) event(n int) {
	h.heard++
	i := n % streamChannels
	if n < h.next[i] {
		h.doubled++
		return
	}
	h.skipped += (n - h.next[i]) / streamChannels
	h.next[i] = n + streamChannels
	h.newest[n%streamTopics] = n + 1
}

// through reports whether nothing more can come of the events below end.
func (h *hearing) through(end int) bool {
	for _, next := range h.next {
		if next < end {
			return false
		}
	}
	return true
}

// current reports whether it has the newest event of each channel and name.
func (h *hearing) current(end int) bool {
	for n := max(end-streamTopics, 0); n < end; n++ {
		if h.newest[n%streamTopics] != n+1 {
			return false
		}
	}
	return true
}

// add adds the counts of another subscriber.
func (h *hearing) add(o *hearing) {
	h.heard += o.heard
	h.doubled += o.doubled
	h.skipped += o.skipped
	h.lost += o.lost
	for i, n := range o.missing {
		h.missing[i] += n
	}
	h.notices += o.notices
	h.broken += o.broken
}

// gapless reports whether nothing is missing between what was heard.
func (h *hearing) gapless() bool { return h.inOrder() && h.skipped == 0 && h.lost == 0 }

// inOrder reports whether what was heard came whole, once and in order.
func (h *hearing) inOrder() bool { return h.heard > 0 && h.doubled == 0 && h.broken == 0 }

// listener is a subscriber of a stream.
type listener struct {
	*client
	hearing
}

// listen subscribes to the channels of a stream.
func (d dialer) listen(ctx context.Context) (*listener, error) {
	c, err := d.join(ctx, streamChannel(0), "")
	if err != nil {
		return nil, err
	}
	for i := 1; i < streamChannels; i++ {
		err = errors.Join(err, c.do(subscribe(streamChannel(i))))
	}
	if err != nil {
		c.abort()
		return nil, err
	}
	return &listener{c, newHearing()}, nil
}

// hear reads until it is through with the events below end.
func (l *listener) hear(end int) error {
	for !l.through(end) {
		if err := l.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		b, err := l.receive()
		if err != nil {
			return err
		}
		l.take(b)
	}
	return nil
}
