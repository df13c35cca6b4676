package pubsub

// endedMax is how many logs that are gone a stripe knows one by one: 2 MiB or so in a hub
// that has had very many.
const endedMax = 128

// An ended is where the logs of a stripe have ended. Offsets of a channel never come twice,
// so a new log goes on from where the one before it ended. Without the log of an idle
// channel nothing is missing either: a client that comes back to it has nothing to load.
// That is known of the channels whose logs have ended last. Of all others there is one
// number, the highest of theirs, so that no channel costs anything for ever. The stripe
// guards it.
type ended struct {
	floor uint64

	// By channel; what the younger half has counts. When it is full the older one is
	// forgotten.
	younger, older map[string]uint64
}

// top returns the offset from which a new log of a channel goes on.
func (e *ended) top(channel string) uint64 {
	for _, half := range []map[string]uint64{e.younger, e.older} {
		if top, ok := half[channel]; ok {
			return top
		}
	}
	return e.floor
}

// put notes that the log of a channel has ended at an offset.
func (e *ended) put(channel string, top uint64) {
	if len(e.younger) >= endedMax/2 {
		e.age()
	}
	if e.younger == nil {
		e.younger = make(map[string]uint64)
	}
	e.younger[channel] = top
}

// age forgets the channels of the older half.
func (e *ended) age() {
	e.forget(e.older)
	e.younger, e.older = nil, e.younger
}

// forget makes the floor stand for what is known of channels.
func (e *ended) forget(half map[string]uint64) {
	for _, top := range half {
		e.floor = max(e.floor, top)
	}
}

// skip makes the positions of a channel that has no log expire.
func (e *ended) skip(channel string) { e.put(channel, e.top(channel)+1) }

// skipAll does that for all channels that have none.
func (e *ended) skipAll() {
	e.forget(e.younger)
	e.forget(e.older)
	e.younger, e.older = nil, nil
	e.floor++
}
