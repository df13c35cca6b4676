package pubsub

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
}

// forms are a message's forms as far as they have been made.
type forms [formsMax][]byte

// encodings are those of a hub. They are replaced, never modified.
type encodings struct{ list []Encoding }

// AddForm gives the hub a further form and returns its number, counted from 0.
// It panics if there are 8 already. Any goroutine.
func (h *Hub) AddForm(e Encoding) Form {
	for {
		old := h.encodings.Load()
		next := new(encodings)
		if old != nil {
			next.list = append(next.list, old.list...)
		}
		f := Form(len(next.list))
		if f >= formsMax {
			panic("pubsub: a hub has too many forms")
		}
		next.list = append(next.list, e)
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
func (e *encodings) make(made *forms, f Form, m Message) []byte {
	if made[f] != nil {
		return made[f]
	}
	encoding := &e.list[f]
	var base []byte
	if encoding.Base != Itself {
		base = e.make(made, encoding.Base, m)
	}
	if encoding.Base == Itself || len(base) > 0 {
		made[f] = encoding.Encode(m, base)
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

// prepare makes the costly forms that a channel is heard in, without its lock.
func (h *Hub) prepare(e *encodings, made *forms, st *stripe, m Message) {
	var heard [formsMax]bool
	st.mu.Lock()
	if ch := st.channels[string(m.Channel)]; ch != nil {
		for _, a := range ch.audiences {
			heard[a.form] = true
		}
	}
	st.mu.Unlock()
	for f := range e.list {
		if e.list[f].Costly && heard[f] {
			e.make(made, Form(f), m)
		}
	}
}

// of makes the form of a message that an audience gets. The stripe is locked.
func (e *encodings) of(made *forms, f Form, m Message) []byte {
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
