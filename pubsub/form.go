package pubsub

import (
	"math"
	"slices"
)

// A Form is one way in which members hear a message: a text frame of the native
// protocol, the same compressed, a frame of another protocol. Order and delivery
// are the same for all forms.
type Form uint8

// Itself is the Base of a form that is made of the message alone.
const Itself Form = 255

// formsMax is how many forms a hub can have.
const formsMax = 8

// An Encoding makes one form of the messages of a hub.
type Encoding struct {
	// Encode returns the form of m, immutable from then on, or nil if members get
	// the base form instead; without one, they do not get the message. base is the
	// message in the form Base, nil if that is Itself. Neither m nor base may be
	// modified or kept. It runs under the lock of the channel's stripe unless Costly
	// is set: it must be fast, and must not call the hub.
	Encode func(m Message, base []byte) []byte

	// Base is the form that this one is made of. Itself: the message is enough.
	Base Form

	// Costly says that Encode takes more than a microsecond or so. It is called
	// before the lock is taken, if some member hears in this form then. A member
	// that joins after that gets the base form of this one message.
	Costly bool

	// Stamp finishes a costly form of a message in a channel with a history. Encode
	// was called with Later for the offset, and base was made of the message without
	// one. Stamp runs under the lock; it may write into the frame, and into what it
	// has room for. If nil, members of such channels get the base form.
	Stamp func(frame []byte, offset uint64) []byte

	// Kept says that channels with a history keep this form. It is made of each of
	// their messages, even if no member hears it. A form that is not kept is replayed as
	// its base; one without a base that is kept has no history. A hub that gets a
	// further form to keep begins its logs anew, empty. A costly form cannot be kept.
	Kept bool

	// Event returns the name of the event in a kept frame, for hubs that keep the
	// names of events: replayed items carry it. If nil, they carry none.
	Event func(frame []byte) string
}

// Later is the Offset of a message whose offset is not known yet.
const Later = math.MaxUint64

// forms are a message's forms as far as they have been made.
type forms [formsMax][]byte

// encodings are those of a hub. They are replaced, never modified.
type encodings struct {
	list []Encoding
	kept []Form // those that logs keep

	// replayed is in which of the kept forms, counted from 0, a form is replayed; -1:
	// in none.
	replayed [formsMax]int8
}

// AddForm gives the hub a further form and returns its number, counted from 0.
// It panics if there are 8 already, or if a costly form is to be kept. Any goroutine.
func (h *Hub) AddForm(e Encoding) Form {
	if e.Costly && e.Kept {
		panic("pubsub: a costly form cannot be kept")
	}
	for {
		old := h.encodings.Load()
		next := new(encodings)
		if old != nil {
			*next = *old
			next.list, next.kept = slices.Clone(old.list), slices.Clone(old.kept)
		}
		f := Form(len(next.list))
		if f >= formsMax {
			panic("pubsub: a hub has too many forms")
		}
		next.list = append(next.list, e)
		switch {
		case e.Kept:
			next.replayed[f] = int8(len(next.kept))
			next.kept = append(next.kept, f)
		case e.Base != Itself:
			next.replayed[f] = next.replayed[e.Base]
		default:
			next.replayed[f] = -1
		}
		if h.encodings.CompareAndSwap(old, next) {
			return f
		}
	}
}

// FormsLeft returns how many more forms there is room for. Any goroutine.
func (h *Hub) FormsLeft() int {
	if e := h.encodings.Load(); e != nil {
		return formsMax - len(e.list)
	}
	return formsMax
}

// countCostly counts that n audiences more hear a form, if it is a costly one.
func (h *Hub) countCostly(f Form, n int64) {
	if e := h.encodings.Load(); e != nil && e.list[f].Costly {
		h.costly.Add(n)
	}
}

// leftOut stands for a form in which members do not get the message.
var leftOut = []byte{}

// make makes a form of m, and those that it is made of, unless it is there.
func (e *encodings) make(made *forms, f Form, m *Message) []byte {
	if made[f] != nil {
		return made[f]
	}
	encoding := &e.list[f]
	var base []byte
	if encoding.Base != Itself {
		base = e.make(made, encoding.Base, m)
	}
	if encoding.Base == Itself || len(base) > 0 {
		made[f] = encoding.Encode(*m, base)
	}
	switch {
	case made[f] != nil:
	case base != nil:
		made[f] = base
	default:
		made[f] = leftOut
	}
	return made[f]
}

// prepare makes the costly forms that a channel is heard in, without its lock. It
// reports whether the channel keeps a history: then they lack their offset.
func (h *Hub) prepare(e *encodings, made *forms, st *stripe, m *Message) (unstamped bool) {
	var heard [formsMax]bool
	st.mu.Lock()
	if ch := st.channels[string(m.Channel)]; ch != nil {
		unstamped = ch.log != nil
		for _, a := range ch.audiences {
			heard[a.form] = true
		}
	}
	for _, p := range h.heardBy(m.Channel, nil) {
		p.stripe.mu.Lock()
		for _, a := range p.audiences {
			heard[a.form] = true
		}
		p.stripe.mu.Unlock()
	}
	st.mu.Unlock()
	if unstamped {
		e.prepareUnstamped(made, heard, *m)
		return true
	}
	for f := range e.list {
		if e.list[f].Costly && heard[f] {
			e.make(made, Form(f), m)
		}
	}
	return false
}

// prepareUnstamped makes the costly forms of a message that will have an offset. The
// forms that they are made of are made again when it is known.
func (e *encodings) prepareUnstamped(made *forms, heard [formsMax]bool, m Message) {
	var bases forms
	for f := range e.list {
		encoding := &e.list[f]
		if !encoding.Costly || encoding.Stamp == nil || !heard[f] {
			continue
		}
		var base []byte
		if encoding.Base != Itself {
			m.Offset = 0
			base = e.make(&bases, encoding.Base, &m)
			if len(base) == 0 {
				continue
			}
		}
		m.Offset = Later
		made[f] = encoding.Encode(m, base)
	}
}

// stamp finishes the forms that prepareUnstamped has made.
func (e *encodings) stamp(made *forms, offset uint64) {
	for f := range e.list {
		if made[f] != nil {
			made[f] = e.list[f].Stamp(made[f], offset)
		}
	}
}

// of makes the form of a message that an audience gets. The stripe is locked.
func (e *encodings) of(made *forms, f Form, m *Message) []byte {
	if made[f] == nil && e.list[f].Costly && e.list[f].Base != Itself {
		f = e.list[f].Base
	}
	return e.make(made, f, m)
}

// A seat is where a Subscriber belongs. It has room for one pointer only.
type seat struct {
	shard *Shard
	form  Form
}
