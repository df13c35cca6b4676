package cluster

import "testing"

// A node that never had a fact says nothing about facts; one that has had one tells its versions
// with each beat, and a change once. What changes nothing is not told.
func TestTellsWhatChanges(t *testing.T) {
	n := newTeller(1)
	k := factKey{hub: "/", channel: "c", name: "n", kind: 'k'}
	want := func(what string, changes, beats int) {
		t.Helper()
		got := map[kind]int{}
		n.beat(0, func(m []byte) {
			k, _, _, err := parseHead(m)
			if err != nil {
				t.Fatal(err)
			}
			got[k]++
		})
		if got[kindFacts] != changes || got[kindVersions] != beats || len(got) > 2 {
			t.Errorf("%s: got %v", what, got)
		}
	}
	want("no fact yet", 0, 0)
	n.unset(k)
	want("the end of what does not hold", 0, 0)
	n.set(k, "1")
	want("a fact", 1, 1)
	n.set(k, "1")
	want("the same value", 0, 1)
	n.set(k, "2")
	if got := n.len(); got != 1 {
		t.Errorf("%d facts hold, want 1", got)
	}
	want("another value", 1, 1)
	n.unset(k)
	want("its end", 1, 1)
	n.unset(k)
	want("its end again", 0, 1)
	if got := n.len(); got != 0 {
		t.Errorf("%d facts hold, want none", got)
	}
}
