package pubsub

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

// How long a hub remembers the keys of messages, and how many, unless RememberKeys
// says something else.
const (
	DefaultKeyWindow = 2 * time.Minute
	DefaultKeys      = 100_000
)

// A digest stands for a channel and a key.
type digest [16]byte

func digestOf(channel, key []byte) digest {
	var scratch [256]byte
	b := binary.AppendUvarint(scratch[:0], uint64(len(channel)))
	sum := sha256.Sum256(append(append(b, channel...), key...))
	return digest(sum[:])
}

// keyring is what all stripes have in common.
type keyring struct {
	window atomic.Int64 // nanoseconds
	max    atomic.Int64
	count  atomic.Int64

	trimming sync.Mutex
	hand     int // the stripe that is trimmed next
}

// A keys remembers the keys of the messages of a stripe, which guards it, and the
// offsets that these messages got. A key is written into the younger map, is in the
// older one for the next window, and is gone then: it is remembered for one to two
// windows.
type keys struct {
	younger, older map[digest]uint64
	began          time.Duration // when the younger map did
}

// RememberKeys says for how long, at least, a message's key keeps others with the
// same key from being published, and how many keys the hub remembers. If there are
// more, the part of the table that the next key belongs to forgets its older ones.
// If one is 0: DefaultKeyWindow, DefaultKeys. Any goroutine.
func (h *Hub) RememberKeys(window time.Duration, n int) {
	if window <= 0 {
		window = DefaultKeyWindow
	}
	if n <= 0 {
		n = DefaultKeys
	}
	h.keys.window.Store(int64(window))
	h.keys.max.Store(int64(n))
}

// find returns the offset of the message that a key was used for.
func (r *keyring) find(st *stripe, d digest, now time.Duration) (offset uint64, found bool) {
	r.age(st, now)
	if st.keys == nil {
		return 0, false
	}
	if offset, found = st.keys.younger[d]; !found {
		offset, found = st.keys.older[d]
	}
	return offset, found
}

// add remembers a key that was not found.
func (r *keyring) add(st *stripe, d digest, offset uint64, now time.Duration) {
	k := st.keys
	if k == nil {
		k = &keys{began: now}
		st.keys = k
	}
	if int64(len(k.younger)) >= max(r.max.Load()/2, 1) {
		r.swap(k, now) // so that trim never has to forget the younger ones of one channel
	}
	if k.younger == nil {
		k.younger = make(map[digest]uint64)
	}
	k.younger[d] = offset
	r.count.Add(1)
}

// age forgets the keys of a stripe that are out of date.
func (r *keyring) age(st *stripe, now time.Duration) {
	k := st.keys
	if k == nil {
		return
	}
	window := time.Duration(r.window.Load())
	if now-k.began >= window {
		r.swap(k, now)
		if len(k.older) == 0 {
			st.keys = nil
		}
	}
}

// swap makes the younger map the older one. One that has not been written into for a
// whole window is out of date itself.
func (r *keyring) swap(k *keys, now time.Duration) {
	r.count.Add(-int64(len(k.older)))
	if now-k.began >= 2*time.Duration(r.window.Load()) {
		r.count.Add(-int64(len(k.younger)))
		k.younger = nil
	}
	k.older, k.younger, k.began = k.younger, nil, now
}

// trim forgets keys where there are too many. A hand goes round: a stripe that has
// not less than the mean loses its older keys, and the younger are the older ones now.
func (r *keyring) trim(h *Hub, now time.Duration) {
	over := func() bool { return r.count.Load() > r.max.Load() }
	if !over() || !r.trimming.TryLock() {
		return
	}
	defer r.trimming.Unlock()
	for over() {
		r.trimOne(&h.stripes[r.hand], now)
		r.hand = (r.hand + 1) % stripeCount
	}
}

func (r *keyring) trimOne(st *stripe, now time.Duration) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if k := st.keys; k != nil && int64(len(k.older)+len(k.younger)) >= r.count.Load()/stripeCount {
		r.swap(k, now)
	}
}

// sweep is age for a stripe that is not locked.
func (r *keyring) sweep(st *stripe, now time.Duration) {
	st.mu.Lock()
	defer st.mu.Unlock()
	r.age(st, now)
}
