package faults

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPageComesBack(t *testing.T) {
	for _, tt := range []struct {
		err   error
		after time.Duration
		back  bool
	}{
		{errors.New("reset"), time.Second, true},
		{&closed{code: 1001}, time.Second, true},
		{&closed{code: 1006}, time.Second, true},
		{&closed{code: 4001}, 0, false},
		{&closed{code: 4009}, 0, false},
		{fmt.Errorf("it ends: %w", &closed{code: 4100}), time.Second, true},
		{&closed{code: 4200}, 0, true},
		{&closed{code: 4201}, 0, true},
		{&closed{code: 4301}, 0, false},
	} {
		p := new(page)
		if after, back := p.comesBack(tt.err); after != tt.after || back != tt.back {
			t.Errorf("%v: got %v, %v, want %v, %v", tt.err, after, back, tt.after, tt.back)
		}
	}
}

func TestPageSeesMembers(t *testing.T) {
	p := &page{user: "1"}
	for _, tt := range []struct {
		event, data string
		want        int
	}{
		{"pusher_internal:subscription_succeeded", `{"presence":{"ids":["1","2"],"hash":{},"count":2}}`, 2},
		{"pusher_internal:member_added", `{"user_id":"3"}`, 3},
		{"pusher_internal:member_added", `{"user_id":"3"}`, 3},
		{"pusher_internal:member_removed", `{"user_id":"2"}`, 2},
		{"pusher_internal:subscription_succeeded", `{"presence":{"ids":["1"],"hash":{},"count":1}}`, 1},
	} {
		if err := p.see(pusherMessage{tt.event, tt.data}); err != nil || p.knows() != tt.want {
			t.Errorf("after %s %s: %d members, %v, want %d", tt.event, tt.data, p.knows(), err, tt.want)
		}
	}
}

func TestReceiver(t *testing.T) {
	for _, tt := range []struct {
		name, channels  string
		distinct, again int
		inOrder         bool
	}{
		{"right", "c0 c1 c2", 3, 0, true},
		{"a request again", "c0 c1 c0 c1 c2", 3, 2, true},
		{"one is missing", "c0 c2", 2, 0, false},
		{"out of order", "c1 c0 c2", 3, 0, false},
	} {
		r := newReceiver()
		for channel := range strings.FieldsSeq(tt.channels) {
			body := `{"events":[{"name":"channel_occupied","channel":"` + channel + `"}]}`
			r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/hook", strings.NewReader(body)))
		}
		if r.distinct() != tt.distinct || r.again() != tt.again || r.inOrder(3) != tt.inOrder {
			t.Errorf("%s: %d, %d again, in order %v", tt.name, r.distinct(), r.again(), r.inOrder(3))
		}
	}
}
