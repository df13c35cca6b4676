package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket/cluster"
	"github.com/nu7hatch/webrocket/cluster/embedded"
	"github.com/nu7hatch/webrocket/hub"
)

// A clerk answers questions about one topic, and remembers them.
type clerk struct {
	mu    sync.Mutex
	heard []string
}

func (c *clerk) serve(n *cluster.Node, topic string) {
	n.Serve(topic, func(_ context.Context, question []byte) ([]byte, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.heard = append(c.heard, string(question))
		if string(question) == "bad" {
			return nil, errors.New("no")
		}
		return fmt.Appendf(nil, "%s of %s", question, n.Stats().Node), nil
	})
}

// has reports whether a question has come.
func (c *clerk) has(question string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.heard, question)
}

// said returns answers as a text.
func said(answers []hub.Answer) string {
	var all []string
	for _, a := range answers {
		text := string(a.Data)
		if a.Err != nil {
			text = a.Err.Error()
		}
		all = append(all, a.Node+": "+text)
	}
	return strings.Join(all, ", ")
}

// A question is answered by every other node; one that has not answered is named.
func TestCall(t *testing.T) {
	t.Parallel()
	nodes := joinAll(t, 3, noSecret)
	var b, c clerk
	b.serve(nodes[1].Node, "t")
	c.serve(nodes[2].Node, "t")
	ask := func(question string, within time.Duration) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		answers, err := nodes[0].Call(ctx, "t", []byte(question), 0)
		if err != nil {
			t.Fatal(err)
		}
		return said(answers)
	}
	if got, want := ask("who", patience), "n1: who of n1, n2: who of n2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := ask("bad", patience), "n1: no, n2: no"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	const century = 100 * 366 * 24 * time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answers, err := nodes[0].Call(ctx, "t", []byte("stay"), century)
	if got, want := said(answers), "n1: stay of n1, n2: stay of n2"; err != nil || got != want {
		t.Errorf("a question that stands for a century: got %q, %v", got, err)
	}
	nodes[2].Serve("t", func(ctx context.Context, _ []byte) ([]byte, error) {
		<-ctx.Done() // it does not answer in time
		return nil, ctx.Err()
	})
	short, cancel := context.WithTimeout(t.Context(), 5*time.Second) // in which the other one answers
	defer cancel()
	answers, err = nodes[0].Call(short, "t", []byte("slow"), 0)
	if err != nil || len(answers) != 2 || answers[0].Err != nil || !errors.Is(answers[1].Err, hub.ErrNoAnswer) {
		t.Errorf("got %s, %v", said(answers), err)
	}
	if answers, err := nodes[1].Call(t.Context(), "nobody serves this", nil, 0); err != nil || answers[0].Err == nil || answers[1].Err == nil {
		t.Errorf("got %s, %v", said(answers), err)
	}
	nodes[1].Serve("large", func(context.Context, []byte) ([]byte, error) { return make([]byte, 9<<20), nil })
	answers, err = nodes[0].Call(ctx, "large", nil, 0)
	if err != nil || len(answers) != 2 || answers[0].Err == nil || !strings.Contains(answers[0].Err.Error(), "larger than a message") {
		t.Errorf("an answer that NATS has no room for: got %s, %v", said(answers), err)
	}
	nodes[2].end()
	waitFor(t, "the end of a node", func() bool { return ask("end", time.Second) == "n1: end of n1" })
	nodes[1].server.Shutdown() // without a word
	waitFor(t, "the silence of a node", func() bool { return !nodes[0].Stats().Peers[0].Alive })
	answers, err = nodes[0].Call(context.Background(), "t", nil, 0) // that would wait for ever
	if err != nil || len(answers) != 1 || !errors.Is(answers[0].Err, hub.ErrNoAnswer) {
		t.Errorf("a node that is silent: got %s, %v", said(answers), err)
	}
}

// A question that stands reaches the nodes that come later, also from those that have only
// heard of it, and before they have begun to serve; it does not after its time.
func TestStanding(t *testing.T) {
	t.Parallel()
	sitsOut(t)
	addresses := freePorts(t, 4)
	start := func(i int) *member {
		return join(t, embedded.Config{Node: "n" + strconv.Itoa(i), Listen: addresses[i], Routes: addresses})
	}
	a, b := start(0), start(1)
	var heard clerk
	heard.serve(b.Node, "t")
	waitFor(t, "the other node", func() bool { return len(a.Stats().Peers) == 1 })
	stand := func(question string, keep time.Duration) {
		t.Helper()
		if _, err := a.Call(t.Context(), "t", []byte(question), keep); err != nil {
			t.Fatal(err)
		}
	}
	stand("for good", time.Hour)
	stand("for a moment", time.Millisecond)
	waitFor(t, "the question", func() bool { return heard.has("for good") })
	a.server.Shutdown() // without a word
	c := start(2)
	var late clerk
	late.serve(c.Node, "t")
	if !late.has("for good") {
		t.Error("a node that has just started does not know what stands")
	}
	b.server.Shutdown()
	d := start(3)
	var later clerk
	later.serve(d.Node, "t")
	waitFor(t, "what stands, from a node that came later", func() bool { return later.has("for good") })
	if late.has("for a moment") || later.has("for a moment") {
		t.Error("a question came after its time")
	}
}

// Where NATS takes small messages alone, what stands reaches a node that starts later in many.
func TestStandingInSmallMessages(t *testing.T) {
	address := freePorts(t, 1)[0]
	natsServerFor(t, address, "token", 4096)
	start := func(name string) *cluster.Node {
		n, err := cluster.Start(cluster.Config{Node: name, Servers: []string{"nats://" + address}, Token: "token"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close(context.Background()) })
		return n
	}
	a := start("a")
	const most = 100
	long := strings.Repeat("x", 100)
	for i := range most {
		if _, err := a.Call(t.Context(), "t", []byte(long+strconv.Itoa(i)), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	var heard clerk
	heard.serve(start("b"), "t")
	waitFor(t, "all that stands", func() bool { return heard.has(long + strconv.Itoa(most-1)) })
}

// While a node is cut off, what stands waits for it; it is not lost by what it has missed.
func TestStandingAfterOutage(t *testing.T) {
	address := freePorts(t, 1)[0]
	nats := natsServer(t, address)
	start := func(name string) *cluster.Node {
		n, err := cluster.Start(cluster.Config{Node: name, Servers: []string{"nats://" + address}, Token: "token"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close(context.Background()) })
		return n
	}
	a, b := start("a"), start("b")
	var heard clerk
	heard.serve(b, "t")
	waitFor(t, "each other", func() bool { return len(a.Stats().Peers) == 1 })
	nats.Shutdown()
	waitFor(t, "the end of the connection", func() bool { return !a.Connected() && !b.Connected() })
	const most = 3000 // more than one answer has room for
	long := strings.Repeat("x", 100)
	for i := range most {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nobody could answer
		answers, err := a.Call(ctx, "t", []byte(long+strconv.Itoa(i)), time.Hour)
		if err != nil || len(answers) != 1 || answers[0].Err == nil {
			t.Fatalf("got %s, %v", said(answers), err)
		}
	}
	natsServer(t, address)
	waitFor(t, "all that stands", func() bool { return heard.has(long + strconv.Itoa(most-1)) })
	heard.mu.Lock()
	defer heard.mu.Unlock()
	for i := range most {
		if !slices.Contains(heard.heard, long+strconv.Itoa(i)) {
			t.Fatalf("question %d has not come", i)
		}
	}
	if text, err := json.Marshal(b.Stats()); err != nil || b.Stats().Unreadable > 0 {
		t.Errorf("%s, %v", text, err)
	}
}
