package cluster

import "sync"

// A teller has the facts that hold at this node, and tells them to the others. Its methods
// may be called from any goroutine.
type teller struct {
	from uint64 // incarnation of the node
	max  int    // bytes of a message

	sending sync.Mutex // held while messages are made and sent, so that they go in their order

	mu       sync.Mutex
	facts    [shards]map[factKey]string
	versions [shards]uint64
	count    int
	begun    bool   // there has been a fact
	open     []byte // message of changes that is being filled; nil if there is none
	ready    [][]byte
	waiting  int    // bytes of both
	wanted   uint64 // shards that others have asked for
}

func newTeller(from uint64) *teller { return &teller{from: from, max: 1 << 20} }

// setMax sets how many bytes a message may have.
func (t *teller) setMax(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.max = n
}

// set makes a fact hold, with that value.
func (t *teller) set(k factKey, value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	shard := k.shard()
	old, ok := t.facts[shard][k]
	if ok && old == value || headSize+16+k.size(value) > t.max {
		return
	}
	if t.facts[shard] == nil {
		t.facts[shard] = make(map[factKey]string)
	}
	if !ok {
		t.count++
	}
	t.begun = true
	t.facts[shard][k] = value
	t.change(shard, true, &k, value)
}

// unset ends a fact.
func (t *teller) unset(k factKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	shard := k.shard()
	if _, ok := t.facts[shard][k]; !ok {
		return
	}
	delete(t.facts[shard], k)
	t.count--
	t.change(shard, false, &k, "")
}

// change puts a change among those that are sent next. mu is held.
func (t *teller) change(shard int, holds bool, k *factKey, value string) {
	t.versions[shard]++
	size := 16 + k.size(value)
	if t.waiting+size > factsWaiting {
		return // those that lack it ask for the shard
	}
	if t.open != nil && len(t.open)+size > min(factsBatch, t.max) {
		t.ready = append(t.ready, t.open)
		t.open = nil
	}
	if t.open == nil {
		t.open = appendHead(make([]byte, 0, 512), kindFacts, t.from)
	}
	before := len(t.open)
	t.open = appendChange(t.open, &change{byte(shard), t.versions[shard], holds, *k, value})
	t.waiting += len(t.open) - before
}

// want notes that another node lacks some shards.
func (t *teller) want(mask uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wanted |= mask
}

// flush sends the changes that wait.
func (t *teller) flush(send func([]byte)) {
	t.sending.Lock()
	defer t.sending.Unlock()
	t.mu.Lock()
	changes := t.take()
	t.mu.Unlock()
	for _, m := range changes {
		send(m)
	}
}

// take returns the changes that wait. mu is held.
func (t *teller) take() [][]byte {
	ready := t.ready
	if t.open != nil {
		ready = append(ready, t.open)
	}
	t.ready, t.open, t.waiting = nil, nil, 0
	return ready
}

// beat sends some of the shards that others lack, the changes that wait, and the versions of
// all shards. A node that never had a fact says nothing.
func (t *teller) beat(flags byte, send func([]byte)) {
	t.flush(send)
	t.sending.Lock()
	defer t.sending.Unlock()
	sent := 0
	for shard := 0; shard < shards && sent < factsEach; shard++ {
		for _, m := range t.shard(shard) {
			send(m)
			sent += len(m)
		}
	}
	t.mu.Lock()
	messages := t.take()
	if t.begun {
		messages = append(messages, appendVersions(nil, t.from, flags, &t.versions))
	}
	t.mu.Unlock()
	for _, m := range messages {
		send(m)
	}
}

// shard returns the parts of a shard, if it is wanted. What changes after this is sent after
// it, so that it is the next change for those that take the shard.
func (t *teller) shard(shard int) (parts [][]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wanted&(1<<shard) == 0 {
		return nil
	}
	t.wanted &^= 1 << shard
	p := part{shard: byte(shard), version: t.versions[shard]}
	var facts []byte
	for k, value := range t.facts[shard] {
		if facts != nil && len(facts)+k.size(value) > min(factsBatch, t.max-headSize-32) {
			parts = append(parts, append(appendPart(nil, t.from, p), facts...))
			p.number++
			facts = facts[:0]
		}
		facts = appendFact(facts, &k, value)
	}
	p.last = true
	return append(parts, append(appendPart(nil, t.from, p), facts...))
}

// len returns how many facts hold here.
func (t *teller) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}
