package faults

import (
	"reflect"
	"testing"
)

// A rover notices what is missing, doubled or out of place, also behind an absence, unless it is told.
func TestRover(t *testing.T) {
	yes, no, some := true, false, 0
	event := func(n int, offset uint64) roverMessage {
		return roverMessage{Event: "e", Channel: "c0", Data: n, Offset: offset}
	}
	reply := func(recovered *bool, reason, epoch string, offset uint64) roverMessage {
		return roverMessage{OK: true, ID: new(int), Recovered: recovered, Reason: reason, Epoch: epoch, Offset: offset}
	}
	first := reply(nil, "", "a", 10)
	for _, tt := range []struct {
		name string
		gets []roverMessage
		want roved
	}{
		{"all, with numbers left out", []roverMessage{first, event(3, 11), event(4, 19)}, roved{heard: 2}},
		{"one is missing", []roverMessage{first, event(3, 11), event(5, 12)}, roved{heard: 2, missing: 1}},
		{"one comes twice", []roverMessage{first, event(3, 11), event(3, 12)}, roved{heard: 2, doubled: 1, misplaced: 1}},
		{"an offset does not grow", []roverMessage{first, event(3, 11), event(4, 11)}, roved{heard: 2, misplaced: 1}},
		{"recovered", []roverMessage{first, event(3, 11), reply(&yes, "", "a", 11), event(4, 12)}, roved{heard: 2, returns: 1}},
		{"recovered, further on", []roverMessage{first, event(3, 11), reply(&yes, "", "a", 15), event(4, 16)}, roved{heard: 2, returns: 1}},
		{"recovered, with one missing", []roverMessage{first, event(3, 11), reply(&yes, "", "a", 11), event(6, 12)}, roved{heard: 2, returns: 1, missing: 2}},
		{"recovered, with one again", []roverMessage{first, event(3, 11), reply(&yes, "", "a", 11), event(3, 12)}, roved{heard: 2, returns: 1, doubled: 1, misplaced: 1}},
		{"recovered in an epoch that goes on", []roverMessage{first, event(3, 11), reply(&yes, "", "b", 11), event(4, 12)}, roved{heard: 2, returns: 1}},
		{"recovered further back", []roverMessage{first, event(3, 11), reply(&yes, "", "a", 9)}, roved{heard: 1, returns: 1, misplaced: 1}},
		{
			"not recovered",
			[]roverMessage{first, event(3, 11), reply(&no, "epoch", "b", 2), event(9, 3), event(11, 4)},
			roved{heard: 3, missing: 1, toldOf: 5, notices: 1, reasons: map[string]int{"epoch": 1}},
		},
		{
			"told of lost ones",
			[]roverMessage{first, event(3, 11), {Lost: &some, Channel: "c0", Epoch: "b", Offset: 40}, event(9, 41)},
			roved{heard: 2, toldOf: 5, notices: 1, reasons: map[string]int{"lost": 1}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &stored{}
			s.scribes = []*scribe{{stored: s, channel: "c0"}}
			r := &rover{stored: s, known: make(map[string]*position)}
			for _, m := range tt.gets {
				r.handle(&m)
			}
			if got := r.take(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// Two rovers that hear an event at different offsets of an epoch do not agree.
func TestRoversAgree(t *testing.T) {
	s := &stored{}
	for _, tt := range []struct {
		epoch  string
		offset uint64
		want   int // events out of place
	}{{"a", 11, 0}, {"a", 11, 0}, {"b", 12, 0}, {"a", 12, 1}} {
		r := &rover{stored: s, known: map[string]*position{"c0": {epoch: tt.epoch}}}
		r.handle(&roverMessage{Event: "e", Channel: "c0", Data: 3, Offset: tt.offset})
		if got := r.take().misplaced; got != tt.want {
			t.Errorf("epoch %s, offset %d: %d events out of place, want %d", tt.epoch, tt.offset, got, tt.want)
		}
	}
}

// A rover has reached what was acknowledged when it has heard the last of it, in each channel.
func TestRoverReached(t *testing.T) {
	s := &stored{}
	s.scribes = []*scribe{{stored: s, channel: "c0"}, {stored: s, channel: "c1"}}
	r := &rover{stored: s, known: map[string]*position{"c0": {next: 5}}}
	if r.reached([]int{5, 0}) {
		t.Error("it has not begun in a channel")
	}
	r.known["c1"] = &position{next: 2}
	for _, tt := range []struct {
		marks []int
		want  bool
	}{{[]int{5, 2}, true}, {[]int{4, 1}, true}, {[]int{6, 2}, false}, {[]int{5, 3}, false}} {
		if got := r.reached(tt.marks); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.marks, got, tt.want)
		}
	}
}

// The leader of a log is the node that has become it last.
func TestLeader(t *testing.T) {
	node := func(lines ...string) *server {
		p := &process{log: &logs{}}
		for _, line := range lines {
			p.log.b.WriteString(line + "\n")
		}
		return &server{process: p}
	}
	elected := func(at, log string) string {
		return `{"time":"2026-11-30T18:00:` + at + `Z","level":"DEBUG","msg":"nats: JetStream cluster new stream leader for '$G > ` + log + `'"}`
	}
	s := &stored{union: &union{nodes: []*server{
		node(elected("01", "RK_a"), elected("02", "RK_b"), elected("09", "RK_a")),
		node(elected("05", "RK_a"), elected("06", "RK_c")),
		node(elected("03", "RK_c"), `{"time":"2026-11-30T18:00:59Z","msg":"nats: JetStream cluster new consumer leader for '$G > RK_c > x'"}`),
	}}}
	if node, led := s.leader(); node != 0 || led != (ledLogs{2, 3}) {
		t.Errorf("got node %d, which leads %v; want node 0, which leads 2 of 3 logs", node, led)
	}
}
