package faults

import (
	"fmt"
	"strings"
	"testing"
)

// A listener notices what is missing, doubled or not whole.
func TestHearing(t *testing.T) {
	events := func(numbers ...int) (messages []string) {
		for _, n := range numbers {
			messages = append(messages, streamEvent(n))
		}
		return messages
	}
	offset := func(n, offset int) string {
		return fmt.Sprintf(`%s,"offset":%d}`, strings.TrimSuffix(streamEvent(n), "}"), offset)
	}
	tests := []struct {
		name     string
		messages []string
		want     hearing
		through  int // the last end that it is through with
	}{
		{"all", events(0, 1, 2, 3, 4, 5), hearing{heard: 6}, 6},
		{"channels may overtake each other", events(2, 1, 0), hearing{heard: 3}, 3},
		{"one is missing", events(0, 1, 2, 6), hearing{heard: 4, skipped: 1}, 4},
		{"the first is missing", events(3), hearing{heard: 1, skipped: 1}, 1},
		{"one comes twice", events(0, 1, 1, 2), hearing{heard: 4, doubled: 1}, 3},
		{"two change places", events(3, 0), hearing{heard: 2, skipped: 1, doubled: 1}, 1},
		{"some are lost", append([]string{`{"lost":2,"channel":"c0"}`}, events(6, 1, 2)...), hearing{heard: 3, lost: 2, missing: [streamChannels]int{2}, notices: 1}, 4},
		{"more are lost than that", append([]string{`{"lost":2,"channel":"c0"}`}, events(9)...), hearing{heard: 1, lost: 2, missing: [streamChannels]int{2}, skipped: 1, notices: 1}, 1},
		{"fewer are lost than that", append([]string{`{"lost":2,"channel":"c0"}`}, events(3)...), hearing{heard: 1, lost: 2, missing: [streamChannels]int{2}, doubled: 1, notices: 1}, 1},
		{"lost in a channel that is none", []string{`{"lost":2,"channel":"d"}`}, hearing{broken: 1}, 0},
		{"offsets", []string{offset(0, 1), offset(3, 2), offset(1, 1)}, hearing{heard: 3}, 2},
		{"a wrong offset", []string{offset(0, 1), offset(3, 3)}, hearing{heard: 1, broken: 1}, 1},
		{"half an event", []string{streamEvent(7)[:100] + `"}`}, hearing{broken: 1}, 0},
		{"not JSON", []string{"{"}, hearing{broken: 1}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := newHearing()
			for _, m := range test.messages {
				got.take([]byte(m))
			}
			if !got.through(test.through) || got.through(test.through+1) {
				t.Errorf("next is %v, want it to be through with %d and no more", got.next, test.through)
			}
			got.next, got.newest = test.want.next, test.want.newest
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// Who has the newest of each channel and name is current, whatever came before.
func TestHearingIsCurrent(t *testing.T) {
	const end = 5 * streamTopics
	h := newHearing()
	for n := end - streamTopics; n < end; n++ {
		if h.current(end) {
			t.Errorf("current before event %d of %d", n, end)
		}
		h.event(n)
	}
	if !h.current(end) || h.skipped != end-streamTopics {
		t.Errorf("got %+v, want the newest and %d skipped", h, end-streamTopics)
	}
}
