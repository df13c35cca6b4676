package embedded

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// repeatAfter is how long an error of one kind is not logged again: a node that cannot be
// reached, or has another secret, tries several times in a second.
const repeatAfter = time.Minute

// toldMax is how many kinds of errors are remembered.
const toldMax = 1000

// A logger logs the errors of nats-server as warnings: this process goes on, and serves its
// own clients. What else it has to say is for those who debug it. It warns of passwords
// and certificates that are in files as a rule, and are made at the start here.
type logger struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[string]time.Time // by text without its numbers; guarded by mu
	end  string               // why the server does not start; guarded by mu
}

func (l *logger) Errorf(format string, v ...any) {
	text := "nats: " + fmt.Sprintf(format, v...)
	level := slog.LevelWarn
	if strings.Contains(text, "has a duplicate name") {
		text = "two nodes of the cluster have one name, and NATS lets one of them in; give each its own Node"
		level = slog.LevelError
	}
	if l.again(text, time.Now()) {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, text)
}

// again reports whether much the same was logged shortly before: with another port,
// attempt or number of a connection in it, perhaps.
func (l *logger) again(text string, now time.Time) bool {
	key := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, known := l.told[key]; known && now.Sub(last) < repeatAfter {
		return true
	}
	if l.told == nil || len(l.told) > toldMax {
		l.told = make(map[string]time.Time)
	}
	l.told[key] = now
	return false
}

// Fatalf is called where nats-server would end its process, which is not its own here.
func (l *logger) Fatalf(format string, v ...any) {
	l.mu.Lock()
	l.end = cmp.Or(l.end, fmt.Sprintf(format, v...))
	l.mu.Unlock()
	l.Errorf(format, v...)
}

// whyNot returns why the server does not start, "" if it has not said so.
func (l *logger) whyNot() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

func (l *logger) Warnf(format string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }

func (l *logger) Noticef(format string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }

func (l *logger) Debugf(string, ...any) {}
func (l *logger) Tracef(string, ...any) {}
