package cluster

import (
	"errors"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/hub"
	"github.com/nu7hatch/webrocket/pubsub"
)

// What is published when a node has been closed is refused at once, also if one of its batches
// comes back after that: nobody would ever answer.
func TestAppendAfterClose(t *testing.T) {
	a := appender{timeout: time.Hour, most: 1 << 20, wake: func() {}, latency: func(time.Duration) {}}
	a.use(epoch{id: 1, seq: 1})
	var got []error
	publish := func() {
		a.append(0, &pubsub.Message{Channel: []byte("c"), Event: []byte("e")}, func(_ hub.Published, err error) { got = append(got, err) })
	}
	publish()
	number := a.next(0).number
	publish()
	a.close()
	a.stored(0, number, nil)
	publish()
	if len(got) != 3 {
		t.Fatalf("%d of 3 publishes are answered", len(got))
	}
	for _, err := range got {
		if !errors.Is(err, hub.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
	}
}
