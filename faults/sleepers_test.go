package faults

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nu7hatch/webrocket/codec"
)

// Who wakes up notices gaps, and whether it is told why it is thrown out.
func TestAwakening(t *testing.T) {
	const code = codec.StatusTryAgainLater
	tests := []struct {
		name    string
		numbers []int64
		end     []byte
		want    awakening
	}{
		{"told", []int64{5, 6, 7}, codec.AppendClose(nil, code, "too slow"), awakening{events: 3, told: 1}},
		{"two gaps", []int64{5, 7, 8, 10}, codec.AppendClose(nil, code, "too slow"), awakening{events: 4, gaps: 2, told: 1}},
		{"twice the same", []int64{5, 5}, codec.AppendClose(nil, code, "too slow"), awakening{events: 2, gaps: 1, told: 1}},
		{"not told why", []int64{5}, codec.AppendClose(nil, code, ""), awakening{events: 1}},
		{"another code", nil, codec.AppendClose(nil, codec.StatusGoingAway, "good-bye"), awakening{}},
		{"no word", []int64{1}, nil, awakening{events: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			go func() {
				defer theirs.Close()
				for _, n := range test.numbers {
					event := strings.Replace(publishCommand("c", stamp{number: n}, nil), `{"publish":`, "", 1)
					_, _ = theirs.Write(codec.AppendFrame(nil, codec.OpText, []byte(event)))
				}
				_, _ = theirs.Write(test.end)
			}()
			got := newClient(ours).wake(code)
			if (got.lastWord == nil) != (test.want.told == 1) {
				t.Errorf("told %d, and the last word is %v", got.told, got.lastWord)
			}
			got.lastWord = nil
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestEach(t *testing.T) {
	const n = 1000
	wrong := errors.New("wrong")
	var calls [n]atomic.Int64
	err := each(n, func(i int) error {
		calls[i].Add(1)
		if i == n/2 {
			return fmt.Errorf("%d: %w", i, wrong)
		}
		return nil
	})
	if !errors.Is(err, wrong) {
		t.Errorf("got %v, want the error of one call", err)
	}
	for i := range calls {
		if got := calls[i].Load(); got != 1 {
			t.Errorf("%d calls for %d, want 1", got, i)
		}
	}
}
