package pusher

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// repeats remembers the signatures of requests while they are valid, for Config.RefuseRepeats.
type repeats struct {
	mu      sync.Mutex
	minutes map[int64]map[uint64]struct{} // signatures by the minute of their time; guarded by mu
	n       int                           // of all; guarded by mu
}

// repeatsMax is how many signatures are remembered, in some 20 MB.
const repeatsMax = 1 << 20

var (
	errRepeated = &refused{http.StatusUnauthorized, "the request was sent before; two that are equal need different times"}
	errManyKept = &refused{http.StatusTooManyRequests, "too many requests have to be remembered; AuthWindow says for how long"}
)

// take remembers a request whose signature is good, or refuses it. at is its time in seconds.
// Of the signature the first 64 bits are enough: who has no key cannot choose them.
func (r *repeats) take(now time.Time, window time.Duration, at int64, signature string) error {
	key, err := strconv.ParseUint(signature[:16], 16, 64)
	if err != nil {
		return err // it cannot be: the signature is good
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	minute := at / 60
	if _, seen := r.minutes[minute][key]; seen {
		return errRepeated
	}
	if r.minutes[minute] == nil {
		r.forget(now.Add(-window).Unix())
		if r.minutes == nil {
			r.minutes = make(map[int64]map[uint64]struct{})
		}
		r.minutes[minute] = make(map[uint64]struct{})
	}
	if r.n >= repeatsMax {
		return errManyKept
	}
	r.minutes[minute][key] = struct{}{}
	r.n++
	return nil
}

// forget drops what is older than a time in seconds, and so refused anyway. mu is held.
func (r *repeats) forget(oldest int64) {
	for minute, signatures := range r.minutes {
		if (minute+1)*60 <= oldest {
			r.n -= len(signatures)
			delete(r.minutes, minute)
		}
	}
}
