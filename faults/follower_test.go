package faults

import "testing"

// A follower notices what a server must not do, and lets pass what it may.
func TestFollowerChecksWhatFollowsItsPosition(t *testing.T) {
	yes, no, three := true, false, uint64(3)
	type step struct {
		m      message
		number int64 // of an event
	}
	reply := func(m message) step { m.OK = true; return step{m: m} }
	event := func(number int64, offset uint64) step { return step{message{Event: "e", Offset: offset}, number} }
	first := []step{reply(message{Epoch: "a", Offset: 7}), event(1, 8), event(2, 9)}
	tests := []struct {
		name  string
		steps []step
		want  [3]int64 // missing, doubled, misplaced
	}{
		{"recovered with what it missed", []step{reply(message{Epoch: "a", Offset: 9, Top: 10, Recovered: &yes}), event(3, 10), event(4, 11)}, [3]int64{}},
		{"recovered, and one is missing", []step{reply(message{Epoch: "a", Offset: 9, Recovered: &yes}), event(4, 10)}, [3]int64{1, 0, 0}},
		{"recovered, and one comes again", []step{reply(message{Epoch: "a", Offset: 9, Recovered: &yes}), event(2, 10)}, [3]int64{0, 1, 0}},
		{"recovered in another epoch", []step{reply(message{Epoch: "b", Offset: 9, Recovered: &yes}), event(3, 10)}, [3]int64{0, 0, 1}},
		{"recovered from another position", []step{reply(message{Epoch: "a", Offset: 8, Recovered: &yes}), event(3, 9)}, [3]int64{0, 0, 1}},
		{"told that it is not recovered", []step{reply(message{Epoch: "b", Offset: 4, Recovered: &no, Reason: "epoch"}), event(9, 5), event(10, 6)}, [3]int64{}},
		{"told, and one is missing after that", []step{reply(message{Epoch: "b", Offset: 4, Recovered: &no}), event(9, 5), event(11, 6)}, [3]int64{1, 0, 0}},
		{"told of lost events", []step{{m: message{Lost: &three, Offset: 12}}, event(6, 13)}, [3]int64{}},
		{"an offset is left out", []step{event(3, 11)}, [3]int64{0, 0, 1}},
		{"an offset comes again", []step{event(3, 9)}, [3]int64{0, 0, 1}},
		{"no history for a while", []step{event(3, 0), event(4, 12), event(5, 13)}, [3]int64{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var f follower
			for _, s := range append(first[:len(first):len(first)], test.steps...) {
				if s.m.OK {
					f.began(s.m)
				} else {
					f.take(s.m, stamp{number: s.number})
				}
			}
			if got := [3]int64{f.missing, f.doubled, f.misplaced}; got != test.want || f.right() != (got == [3]int64{}) {
				t.Errorf("got %v missing, doubled, misplaced; want %v", got, test.want)
			}
		})
	}
}
