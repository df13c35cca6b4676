package webrocket_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	hubpkg "github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/pubsub"
)

// others is a Caller by which other nodes give these answers.
type others []hubpkg.Answer

func (others) Join(*hubpkg.Hub)                 {}
func (others) Send(*hubpkg.Hub, pubsub.Message) {}
func (others) Behind() bool                     { return false }
func (others) Nodes() []string                  { return nil }

func (others) Serve(string, func(context.Context, []byte) ([]byte, error)) {}

func (o others) Call(context.Context, string, []byte, time.Duration) ([]hubpkg.Answer, error) {
	return o, nil
}

// That there is no such connection is said if all nodes have said so.
func TestConnectionOfNoNode(t *testing.T) {
	has := hubpkg.Answer{Node: "b", Data: []byte(`{"Count":1}`)}
	hasNot := hubpkg.Answer{Node: "b", Data: []byte(`{"NoConnection":true}`)}
	silent := hubpkg.Answer{Node: "c", Err: webrocket.ErrNoAnswer}
	for _, tt := range []struct {
		name    string
		answers others
		want    error
	}{
		{"no node has it", others{hasNot}, webrocket.ErrNoConnection},
		{"one is silent", others{hasNot, silent}, webrocket.ErrNoAnswer},
		{"one is silent, another has it", others{has, silent}, nil},
		{"there is no other node", nil, webrocket.ErrNoConnection},
	} {
		s := webrocket.NewServer("")
		s.Broker = tt.answers
		if err := s.Disconnect(t.Context(), "0-1-1@a", 1000, ""); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}
