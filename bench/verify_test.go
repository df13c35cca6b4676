package bench

import (
	"slices"
	"testing"
)

func TestVerifier(t *testing.T) {
	tests := []struct {
		name string
		seen []uint32
		sent uint32
		want Check
	}{
		{"all", []uint32{1, 2, 3}, 3, Check{Delivered: 3}},
		{"none", nil, 2, Check{Lost: 2}},
		{"first lost", []uint32{2, 3}, 3, Check{Delivered: 2, Lost: 1}},
		{"middle lost", []uint32{1, 4}, 4, Check{Delivered: 2, Lost: 2}},
		{"last lost", []uint32{1, 2}, 3, Check{Delivered: 2, Lost: 1}},
		{"twice", []uint32{1, 2, 2, 3}, 3, Check{Delivered: 3, Duplicated: 1}},
		{"an old one again", []uint32{1, 2, 3, 1}, 3, Check{Delivered: 3, Duplicated: 1}},
		{"two swapped", []uint32{2, 1, 3}, 3, Check{Delivered: 3, OutOfOrder: 1}},
		{"from the middle of a gap", []uint32{1, 6, 4, 3, 2, 5}, 6, Check{Delivered: 6, OutOfOrder: 4}},
		{"late, then again", []uint32{2, 1, 1}, 2, Check{Delivered: 2, OutOfOrder: 1, Duplicated: 1}},
		{"late, and others lost", []uint32{1, 5, 3}, 6, Check{Delivered: 3, OutOfOrder: 1, Lost: 3}},
		{"zero never was", []uint32{0, 1}, 1, Check{Delivered: 1, Duplicated: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var v verifier
			other := v.newCells(3)
			cell := other + 1
			for _, seq := range tt.seen {
				v.see(cell, seq)
			}
			v.Lost += v.owed(cell, tt.sent)
			if v.Check != tt.want {
				t.Errorf("seeing %v of %d: %+v, want %+v", tt.seen, tt.sent, v.Check, tt.want)
			}
		})
	}
}

// Who joins may start anywhere up to the first publish after its subscription was answered.
func TestVerifierJoin(t *testing.T) {
	tests := []struct {
		name  string
		early []uint32 // before the answer
		sent  uint32   // at the answer
		late  []uint32
		end   uint32
		want  Check
	}{
		{"quiet", nil, 5, nil, 5, Check{}},
		{"from then on", nil, 5, []uint32{6, 7}, 7, Check{Delivered: 2}},
		{"some from before", nil, 5, []uint32{4, 5, 6}, 6, Check{Delivered: 3}},
		{"before the answer", []uint32{3, 4}, 5, []uint32{5, 6}, 6, Check{Delivered: 4}},
		{"the first is lost", nil, 5, []uint32{7}, 7, Check{Delivered: 1, Lost: 1}},
		{"all is lost", nil, 5, nil, 7, Check{Lost: 2}},
		{"a hole before the answer", []uint32{3}, 5, []uint32{5}, 5, Check{Delivered: 2, Lost: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var v verifier
			cell := v.newCells(1)
			v.join(cell)
			for _, seq := range tt.early {
				v.see(cell, seq)
			}
			v.joined(cell, tt.sent)
			for _, seq := range tt.late {
				v.see(cell, seq)
			}
			v.Lost += v.owed(cell, tt.end)
			if v.Check != tt.want {
				t.Errorf("%+v, want %+v", v.Check, tt.want)
			}
		})
	}
}

// The model keeps what it saw in a list.
func FuzzVerifier(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Add([]byte{9, 1, 8, 2, 2, 7})
	f.Fuzz(func(t *testing.T, order []byte) {
		const sent = 255
		var v verifier
		cell := v.newCells(1)
		var want Check
		var seen []uint32
		for _, b := range order {
			seq := uint32(b)
			if seq == 0 {
				continue
			}
			v.see(cell, seq)
			switch {
			case slices.Contains(seen, seq):
				want.Duplicated++
				continue
			case len(seen) > 0 && seq < slices.Max(seen):
				want.OutOfOrder++
			}
			want.Delivered++
			seen = append(seen, seq)
		}
		want.Lost = sent - int64(len(seen))
		v.Lost += v.owed(cell, sent)
		if v.Check != want {
			t.Errorf("seeing %v: %+v, want %+v", order, v.Check, want)
		}
	})
}
