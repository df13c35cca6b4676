package faults

import "testing"

// An ear notices what is missing or doubled, within a publisher's connection and between two,
// and knows of what it was told, before or after it was missed.
func TestEar(t *testing.T) {
	const channel = "c0"
	type step struct{ run, event int } // run -1: a notice of so many that are lost
	for _, tt := range []struct {
		name  string
		steps []step
		want  heardOf
	}{
		{"all", []step{{0, 3}, {0, 4}, {1, 0}, {1, 1}}, heardOf{heard: 4}},
		{"one is missing", []step{{0, 0}, {0, 2}}, heardOf{heard: 2, missed: 1, untold: 1}},
		{"the end of a connection is missing", []step{{0, 3}, {1, 0}}, heardOf{heard: 2, missed: 1, untold: 1}},
		{"the beginning of the next is missing", []step{{0, 4}, {1, 2}}, heardOf{heard: 2, missed: 2, untold: 2}},
		{"a whole connection is missing", []step{{0, 4}, {2, 0}}, heardOf{heard: 2, missed: 3, untold: 3}},
		{"an event without a reply", []step{{0, 4}, {0, 5}, {1, 0}}, heardOf{heard: 3}},
		{"one comes twice", []step{{0, 1}, {0, 1}}, heardOf{heard: 2, doubled: 1}},
		{"two change places", []step{{0, 0}, {0, 2}, {0, 1}}, heardOf{heard: 3, missed: 1, untold: 1, doubled: 1}},
		{"an old connection comes again", []step{{1, 0}, {0, 4}}, heardOf{heard: 2, doubled: 1}},
		{"told before", []step{{0, 0}, {-1, 2}, {0, 3}}, heardOf{heard: 2, missed: 2, notices: 1}},
		{"told afterwards", []step{{0, 0}, {0, 3}, {-1, 2}}, heardOf{heard: 2, missed: 2, notices: 1}},
		{"too few are told", []step{{0, 0}, {-1, 1}, {0, 3}}, heardOf{heard: 2, missed: 2, untold: 1, notices: 1}},
		{"some are told", []step{{0, 0}, {-1, 0}, {0, 3}}, heardOf{heard: 2, missed: 2, notices: 1}},
		{"some are told afterwards", []step{{0, 0}, {0, 2}, {0, 4}, {-1, 0}}, heardOf{heard: 3, missed: 2, notices: 1}},
		{"a notice counts once", []step{{0, 0}, {-1, 0}, {0, 2}, {0, 4}}, heardOf{heard: 3, missed: 2, untold: 1, notices: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := &union{mouths: []*mouth{{channel: channel, runs: []int{5, 3, 9}}}}
			e := &ear{union: u, known: map[string]*place{}}
			for _, s := range tt.steps {
				if s.run < 0 {
					e.tell(channel, s.event)
				} else {
					e.hear(channel, mark{s.run, s.event})
				}
			}
			if got := e.take(); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// An ear that has heard all that has an ok is where the publisher is.
func TestEarReached(t *testing.T) {
	m := &mouth{channel: "c0", runs: []int{5, 3}}
	e := &ear{union: &union{mouths: []*mouth{m}}, known: map[string]*place{}}
	for _, tt := range []struct {
		at   mark
		want bool
	}{{mark{0, 4}, false}, {mark{1, 1}, false}, {mark{1, 2}, true}} {
		e.hear("c0", tt.at)
		if got := e.reached([]mark{m.mark()}); got != tt.want {
			t.Errorf("after %+v: got %v, want %v", tt.at, got, tt.want)
		}
	}
}
