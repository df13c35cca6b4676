package faults

import (
	"strings"
	"testing"
)

// A member notices what a server must not do.
func TestMemberChecksNumbers(t *testing.T) {
	tests := []struct {
		name    string
		numbers []int64
		lost    int64
		doubled int64
	}{
		{"all in order", []int64{1, 2, 3}, 0, 0},
		{"one is left out", []int64{1, 3}, 1, 0},
		{"one comes twice", []int64{1, 2, 2, 3}, 0, 1},
		{"two change places", []int64{1, 3, 2, 4}, 1, 1},
		{"the first is left out", []int64{2, 3}, 1, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := &audience{}
			a.forget()
			m := &member{a: a, next: 1}
			for i, n := range test.numbers {
				m.heard(stamp{number: n}, i == 0)
			}
			if m.tally.lost != test.lost || m.tally.doubled != test.doubled {
				t.Errorf("got %d lost, %d doubled; want %d, %d", m.tally.lost, m.tally.doubled, test.lost, test.doubled)
			}
		})
	}
}

func TestStampSurvives(t *testing.T) {
	want := stamp{number: 1234567890, due: 1<<62 + 1}
	command := publishCommand("a channel", want, []byte("xxx"))
	data := command[strings.Index(command, `"data"`):]
	got, ok := parseStamp([]byte(`{"event":"e","channel":"a channel",` + data))
	if !ok || got != want {
		t.Errorf("got %+v, %v; want %+v", got, ok, want)
	}
}

// A run is good if nothing fails, and something was tried.
func TestGood(t *testing.T) {
	tests := []struct {
		name     string
		findings []Finding
		want     bool
	}{
		{"nothing was tried", nil, false},
		{"all hold", []Finding{{Verdict: Holds}, {Verdict: Shown}}, true},
		{"one fails", []Finding{{Verdict: Holds}, {Verdict: Fails}}, false},
	}
	for _, test := range tests {
		if got := Good(test.findings); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestDocument(t *testing.T) {
	const document = "before\n" + tableBegin + "\nstale\n" + tableEnd + "\nafter\n"
	got, err := Document(document, "here", []Finding{{"stalled", "a|b", "c\nd", Holds}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n", "\nhere\n", `| a\|b | c d | holds |`, "\nafter\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if strings.Contains(got, "stale") {
		t.Errorf("%q still has the old table", got)
	}
	if _, err := Document("no marks", "here", nil); err == nil {
		t.Error("got no error for a document without marks")
	}
}
