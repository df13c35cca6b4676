package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/hub"
)

// A pupil is a Learner that notes what it is told. It wants facts unless it is idle.
type pupil struct {
	idle  bool
	heard []string
}

func (p *pupil) Learn(f hub.Fact, known any) any {
	p.heard = append(p.heard, fmt.Sprint(f.Name, "=", f.Value, " after ", known))
	if p.idle {
		return nil
	}
	return f.Value
}

func (p *pupil) Unlearn(f hub.Fact, known any) {
	p.heard = append(p.heard, fmt.Sprint(f.Name, " ends after ", known))
}

func (p *pupil) want(t *testing.T, what string, want ...string) {
	t.Helper()
	if !slices.Equal(p.heard, want) {
		t.Errorf("%s: got %q, want %q", what, p.heard, want)
	}
	p.heard = nil
}

// lesson returns an owner with one fact, and a learner that is told what the owner sends.
func lesson(t *testing.T, asked *int) (l *learner, owner *teller, tell func(now time.Duration)) {
	t.Helper()
	l = newLearner(1, func(uint64, []byte) { *asked++ })
	owner = newTeller(2)
	owner.set(factKey{hub: "/", channel: "c", name: "n", kind: 'k'}, "1")
	return l, owner, func(now time.Duration) {
		owner.beat(0, func(m []byte) {
			k, from, rest, err := parseHead(m)
			if err == nil {
				err = l.take(now, k, from, rest)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A hub that joins late learns what holds, once; one that takes its place learns all of it anew.
// A hub that did not want a fact is asked again when it joins again.
func TestJoinLate(t *testing.T) {
	asked := 0
	l, owner, tell := lesson(t, &asked)
	tell(time.Second)
	first, second := new(pupil), &pupil{idle: true}
	l.join("/", first)
	l.join("/other", first)
	first.want(t, "a hub that joins", "n=1 after <nil>")
	l.join("/", first)
	first.want(t, "it joins again")
	l.join("/", second)
	second.want(t, "another one in its place", "n=1 after <nil>")
	second.idle = false
	l.join("/", second)
	second.want(t, "it has not wanted it", "n=1 after <nil>")
	owner.set(factKey{hub: "/", channel: "c", name: "n", kind: 'k'}, "2")
	tell(time.Second)
	second.want(t, "another value", "n=2 after 1")
	owner.unset(factKey{hub: "/", channel: "c", name: "n", kind: 'k'})
	tell(time.Second)
	second.want(t, "the end", "n ends after 2")
	first.want(t, "a hub that is no more")
	if asked != 0 {
		t.Errorf("the owner was asked %d times for what was not lost", asked)
	}
}

// An owner is not asked at each beat for what is missing. What it tells twice is learned once, and
// the end of a fact that its hub does not want is not told.
func TestAskedSeldom(t *testing.T) {
	asked := 0
	l, owner, tell := lesson(t, &asked)
	p := &pupil{idle: true}
	l.join("/", p)
	owner.flush(func([]byte) {}) // it is lost
	if !l.informed() {
		t.Error("a learner that has heard nothing is behind")
	}
	for i, want := range []int{1, 1, 2, 2, 3} {
		tell(time.Minute + time.Duration(i)*beatEvery)
		if _, wanted := l.counts(); asked != want || wanted != uint64(want) || l.informed() {
			t.Errorf("beat %d: asked %d times for %d shards, want %d; informed: %v", i, asked, wanted, want, l.informed())
		}
	}
	for range 2 {
		owner.want(1<<shards - 1)
		tell(2 * time.Minute)
	}
	if !l.informed() {
		t.Error("it has all, and does not know it")
	}
	owner.unset(factKey{hub: "/", channel: "c", name: "n", kind: 'k'})
	tell(2 * time.Minute)
	p.want(t, "a fact that is not wanted", "n=1 after <nil>")
}

// An owner that is silent for long is forgotten; until then a late message does not bring back
// what has ended.
func TestOwnerIsForgotten(t *testing.T) {
	asked := 0
	l, owner, tell := lesson(t, &asked)
	p := new(pupil)
	l.join("/", p)
	tell(time.Second)
	owner.beat(factsBye, func(m []byte) {
		k, from, rest, _ := parseHead(m)
		if err := l.take(time.Second, k, from, rest); err != nil {
			t.Fatal(err)
		}
	})
	p.want(t, "it has left", "n=1 after <nil>", "n ends after 1")
	owner.want(1<<shards - 1)
	tell(time.Second + ownerKnown)
	p.want(t, "a message that is late")
	l.tick(time.Second + ownerKnown)
	if len(l.owners) != 1 {
		t.Error("it is forgotten too early")
	}
	l.tick(time.Second + ownerKnown + 1)
	if len(l.owners) != 0 {
		t.Error("it is not forgotten")
	}
}
