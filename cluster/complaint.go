package cluster

import (
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nu7hatch/webrocket/measure"
)

// complaints are the errors of the client of NATS, which tries several times in a second to
// connect: one of a kind is logged in a minute.
type complaints struct {
	mu   sync.Mutex
	last map[string]time.Duration // by text without its numbers, which may be ports
}

// natsError is logged with an error of NATS that has no line of its own.
const natsError = "NATS reports an error"

// Limits of complaints.
const (
	complaintEvery = time.Minute
	complaintsMax  = 100 // kinds that are remembered
)

func (c *complaints) log(to *slog.Logger, what string, err error) {
	kind := what + strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, err.Error())
	c.mu.Lock()
	defer c.mu.Unlock()
	now := measure.Now()
	if last, known := c.last[kind]; known && now-last < complaintEvery {
		return
	}
	if c.last == nil || len(c.last) >= complaintsMax {
		c.last = make(map[string]time.Duration)
	}
	c.last[kind] = now
	to.Warn(what, "error", err)
}
