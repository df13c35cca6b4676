package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/hub"
)

// startKeeping starts a server that keeps so many events of each channel.
func startKeeping(t *testing.T, events int) (target string) {
	t.Helper()
	s := webrocket.NewServer("127.0.0.1:0")
	s.Log = slog.New(slog.DiscardHandler)
	h := webrocket.NewJSONHandler()
	h.Rules = []hub.Rule{{Match: "**", History: hub.History{Size: events, TTL: time.Hour}}}
	if err := s.Handle("/", h); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	return "ws://" + s.Addr().String() + "/"
}

// Clients that come back have all that the server keeps; what it does not keep is found lost.
func TestRecovery(t *testing.T) {
	const conns, rounds, missed = 10, 2, 5
	tests := []struct {
		name string
		kept int
		lost int64
	}{
		{"all is kept", 50, 0},
		{"as much as is missed is kept", missed, 0},
		{"less is kept", missed - 2, conns * rounds * missed}, // the position has expired: nothing is replayed
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sc := ScenarioNamed("recovery")
			o := quick(sc, startKeeping(t, tt.kept), 0)
			o.ServerPID = os.Getpid()
			o.Channels, o.Publishers, o.Rounds, o.Missed, o.History = 2, 2, rounds, missed, 50
			o.Drain = 300 * time.Millisecond
			if tt.lost == 0 {
				o.Drain = time.Minute
			}
			res, err := Run(t.Context(), sc, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			c, want := res.Check, int64(conns*(rounds*missed+1))-tt.lost
			if c.Lost != tt.lost || c.Delivered != want || c.Duplicated+c.OutOfOrder+c.Astray+c.Corrupted+c.Unanswered > 0 {
				t.Errorf("check %+v, want %d delivered and %d lost", c, want, tt.lost)
			}
			if len(res.Returns) != rounds || res.Returns[0].Clients != conns || res.perReturn() <= 0 {
				t.Errorf("returns %+v", res.Returns)
			}
			var text bytes.Buffer
			if err := WriteText(&text, res); err != nil || !strings.Contains(text.String(), "10 clients are back, each with the 5 events that it missed") {
				t.Errorf("text %s, %v", &text, err)
			}
		})
	}
}

// The other scenarios check their deliveries in channels with a history, too.
func TestScenariosWithHistory(t *testing.T) {
	for _, name := range []string{"fanout", "chat", "churn"} {
		t.Run(name, func(t *testing.T) {
			sc := ScenarioNamed(name)
			o := quick(sc, startKeeping(t, 20), 200)
			o.History = 20
			if name == "churn" {
				o.Rate, o.Saturate, o.Churn, o.Hold, o.Duration, o.Count = 1000, 0, 200, 20*time.Millisecond, 200*time.Millisecond, 0
			}
			res, err := Run(t.Context(), sc, o, nil)
			if err != nil || !res.Good() || res.Check.Delivered == 0 {
				t.Errorf("check %+v, %v", res.Check, err)
			}
		})
	}
}

// A server that is started for an entry with a history is told to keep one.
func TestServersKeepAHistory(t *testing.T) {
	for _, dialect := range []string{"rocket", "centrifugo"} {
		d, err := DialectNamed(dialect)
		if err != nil {
			t.Fatal(err)
		}
		for _, events := range []int{0, 77} {
			o := DefaultOptions()
			o.History = events
			args, _, err := commandLine(&o, d, dialect, t.TempDir(), 1)
			if err != nil {
				t.Fatal(err)
			}
			conf, _ := os.ReadFile(args[len(args)-1]) // a server without a history may have none
			if keeps := bytes.Contains(conf, []byte(":77")); keeps != (events > 0) {
				t.Errorf("%s: a history of %d is configured as %s", dialect, events, conf)
			}
			if len(conf) > 0 && !json.Valid(conf) {
				t.Errorf("%s: not JSON: %s", dialect, conf)
			}
		}
	}
}

func TestNoHistory(t *testing.T) {
	so := SuiteOptions{Base: DefaultOptions(), Only: []string{"S1h"}, Sides: []Side{{Dialect: "nats"}}, Repeat: 2}
	results, err := RunSuite(context.Background(), so, nil, nil)
	if err != nil || len(results) != 1 || results[0].NotRun != "it is started without a history only" {
		t.Errorf("%d results, %v", len(results), err)
	}
}

// An entry with a history is run in turns with the one without, and compared with it run by run.
func TestHistoryIsComparedInTurns(t *testing.T) {
	so := SuiteOptions{Only: []string{"S1", "S1h", "S4h", "S6"}, Sides: []Side{{Dialect: "rocket"}}, Repeat: 2}
	var order []string
	for _, turn := range so.turns() {
		order = append(order, turn.entry.ID)
	}
	if want := []string{"S1", "S1h", "S1", "S1h", "S4h", "S4h", "S6", "S6"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}

	labelled := func(label string, micros float64) *Result {
		r := sample("rocket", micros)
		r.Label = label
		return r
	}
	wrong := labelled("S1h", 9)
	wrong.Check.Lost = 1
	back := labelled("S7h", 0)
	back.Load, back.Returns = nil, []Return{{ServerMicros: 30}, {ServerMicros: 31}, {ServerMicros: 50}}
	plainBack := labelled("S7", 0)
	plainBack.Load, plainBack.Returns = nil, []Return{{ServerMicros: 20}}
	results := []*Result{
		labelled("S1", 2), labelled("S1h", 3), labelled("S1", 4), labelled("S1h", 4), labelled("S1", 4), wrong, plainBack, back,
	}
	compareToPlain(results)
	for i, want := range []float64{0, 1.5, 0, 1, 0, 0, 0, 1.55} {
		if got := results[i].ToPlain; got != want {
			t.Errorf("result %d: %v, want %v", i, got, want)
		}
	}
	var table bytes.Buffer
	if err := WriteTable(&table, ByDialect(results)); err != nil || !strings.Contains(table.String(), "1.25 (1.00–1.50)  ≤ 1.10 missed") {
		t.Errorf("%v in\n%s", err, &table)
	}
}
