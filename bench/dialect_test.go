package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
)

// flat is a Message that can be compared.
type flat struct {
	kind                Kind
	channel, data, text string
	position            Position
	replayed            string // positions and data
}

// parseAll takes messages off b until none is whole.
func parseAll(d Dialect, b []byte) (all []flat, rest []byte, err error) {
	for len(b) > 0 {
		m, n, err := d.Parse(b)
		if err != nil || n == 0 {
			return all, b, err
		}
		one := flat{m.Kind, string(m.Channel), string(m.Data), m.Text, m.Position, ""}
		for _, r := range m.Replayed {
			one.replayed += fmt.Sprintf("%d %s\n", r.Position.Offset, r.Data)
		}
		all = append(all, one)
		b = b[n:]
	}
	return all, nil, nil
}

func TestParse(t *testing.T) {
	data := string(payload(64))
	delivery := flat{kind: Delivery, channel: "c0000003", data: data}
	offset := delivery
	offset.position.Offset = 4711
	tests := []struct {
		name, dialect, in string
		want              []flat
	}{
		{"ok", "rocket", `{"ok":true}`, []flat{{kind: Reply}}},
		{"ok with id", "rocket", `{"ok":true,"id":1}`, []flat{{kind: Reply}}},
		{"error", "rocket", `{"err":"invalid_channel"}`, []flat{{kind: Refusal, text: "invalid_channel"}}},
		{"delivery", "rocket", `{"event":"e","channel":"c0000003","data":` + data + `}`, []flat{delivery}},
		{"delivery in another order", "rocket", `{"data":` + data + `, "channel":"c0000003","event":"e"}`, []flat{delivery}},
		{"ok with an offset", "rocket", `{"ok":true,"offset":4711}`, []flat{{kind: Reply}}},
		{"subscribed", "rocket", `{"ok":true,"epoch":"k3vq","offset":41}`, []flat{{kind: Reply, position: Position{"k3vq", 41}}}},
		{
			"recovered", "rocket", `{"ok":true,"epoch":"k3vq","offset":41,"top":44,"recovered":true}`,
			[]flat{{kind: Reply, position: Position{"k3vq", 41}}},
		},
		{"delivery with an offset", "rocket", `{"event":"e","channel":"c0000003","data":` + data + `,"offset":4711}`, []flat{offset}},
		{"something new", "rocket", `{"hello":1}`, []flat{{kind: Noise}}},

		{"set-up", "nats", "INFO {}\r\nPONG\r\n+OK\r\n", []flat{{kind: Noise}, {kind: Reply}, {kind: Noise}}},
		{"ping", "nats", "PING\r\n", []flat{{kind: Ask, text: "PONG\r\n"}}},
		{"error", "nats", "-ERR 'Authorization Violation'\r\n", []flat{{kind: Refusal, text: "'Authorization Violation'"}}},
		{"deliveries", "nats", "MSG c0000003 1 64\r\n" + data + "\r\nMSG c0000003 1 64\r\n" + data + "\r\n", []flat{delivery, delivery}},

		{"replies", "centrifugo", "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{}}\n", []flat{{kind: Reply}, {kind: Reply}}},
		{"ping", "centrifugo", "{}", []flat{{kind: Ask, text: "{}"}}},
		{"error", "centrifugo", `{"id":1,"error":{"code":103,"message":"permission denied"}}`, []flat{{kind: Refusal, text: "permission denied"}}},
		{"disconnect", "centrifugo", `{"push":{"disconnect":{"code":3000,"reason":"bye"}}}`, []flat{{kind: Refusal, text: "bye"}}},
		{"join", "centrifugo", `{"push":{"channel":"c0000003","join":{}}}`, []flat{{kind: Noise}}},
		{
			"deliveries", "centrifugo",
			`{"push":{"channel":"c0000003","pub":{"data":` + data + "}}}\n" + `{"push":{"channel":"c0000003","pub":{"data":` + data + `,"info":{"client":"a"}}}}`,
			[]flat{delivery, delivery},
		},
		{
			"delivery with an offset", "centrifugo",
			`{"push":{"channel":"c0000003","pub":{"data":` + data + `,"offset":4711}}}`,
			[]flat{offset},
		},
		{
			"recovered", "centrifugo",
			`{"id":2,"subscribe":{"recoverable":true,"epoch":"k3vq","publications":[{"data":"a","offset":42},{"data":"b","offset":43}],"recovered":true,"offset":41}}`,
			[]flat{{kind: Reply, position: Position{"k3vq", 41}, replayed: "42 \"a\"\n43 \"b\"\n"}},
		},
		{"delivery in another order", "centrifugo", `{"push":{"pub":{"data":` + data + `},"channel":"c0000003"}}`, []flat{delivery}},

		{
			"answer to a publish", "nchan", "queued messages: 1\r\nlast requested: 0 sec. ago\r\nactive subscribers: 1\r\nlast message id: 1796005158:0",
			[]flat{{kind: Reply}},
		},
		{"delivery", "nchan", `{"channel":"c0000003","data":` + data + `}`, []flat{delivery}},
		{"delivery in another order", "nchan", `{"data":` + data + `, "channel":"c0000003"}`, []flat{delivery}},

		{
			"greeting", "pusher", `{"event":"pusher:connection_established","data":"{\"socket_id\":\"12.34\",\"activity_timeout\":120}"}`,
			[]flat{{kind: Greeting, text: "12.34"}},
		},
		{"subscribed", "pusher", `{"event":"pusher_internal:subscription_succeeded","channel":"private-c","data":"{}"}`, []flat{{kind: Reply}}},
		{"delivery", "pusher", `{"event":"client-e","channel":"private-c0000003","data":` + data + `}`, []flat{delivery}},
		{"delivery in another order", "pusher", `{"data":` + data + `, "channel":"private-c0000003","event":"client-e"}`, []flat{delivery}},
		{"ping", "pusher", `{"event":"pusher:ping","data":{}}`, []flat{{kind: Ask, text: `{"event":"pusher:pong","data":{}}`}}},
		{"error", "pusher", `{"event":"pusher:error","data":{"message":"no","code":4001}}`, []flat{{kind: Refusal, text: `{"message":"no","code":4001}`}}},
		{"refused", "pusher", `{"event":"pusher:subscription_error","channel":"private-c","data":{"status":401}}`, []flat{{kind: Refusal, text: `{"status":401}`}}},
		{"something new", "pusher", `{"event":"pusher:cache_miss","channel":"c"}`, []flat{{kind: Noise}}},
	}
	for _, tt := range tests {
		t.Run(tt.dialect+" "+tt.name, func(t *testing.T) {
			d, err := DialectNamed(tt.dialect)
			if err != nil {
				t.Fatal(err)
			}
			got, rest, err := parseAll(d, []byte(tt.in))
			if err != nil || len(rest) > 0 {
				t.Fatalf("Parse leaves %q, %v", rest, err)
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("Parse = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestParseRefusesGarbage(t *testing.T) {
	for _, name := range DialectNames() {
		d, _ := DialectNamed(name)
		if m, n, err := d.Parse([]byte("garbage\n")); err == nil {
			t.Errorf("%s: Parse of garbage = %v, %d, want an error", name, m, n)
		}
	}
}

// A stream may be cut anywhere.
func TestNATSCuts(t *testing.T) {
	d := nats{}
	whole := []byte("INFO {}\r\nPONG\r\nMSG c0000003 1 5\r\nhello\r\nPING\r\nMSG a 1 0\r\n\r\n")
	want, _, err := parseAll(d, whole)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range whole {
		first, rest, err := parseAll(d, whole[:cut])
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		second, rest, err := parseAll(d, append(bytes.Clone(rest), whole[cut:]...))
		if err != nil || len(rest) > 0 {
			t.Fatalf("cut at %d: rest %q, %v", cut, rest, err)
		}
		if got := append(first, second...); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("cut at %d: %v, want %v", cut, got, want)
		}
	}
}

// The JSON dialects send commands that are JSON, whatever the secret is.
func TestCommandsAreJSON(t *testing.T) {
	for _, d := range []Dialect{rocket{}, centrifugo{}, nchan{}, pusher{}} {
		for _, command := range [][]byte{
			d.AppendHello(nil, `a"b\c`), d.AppendSubscribe(nil, "c"), d.AppendUnsubscribe(nil, "c"), d.AppendPublish(nil, "c", payload(64)),
			appendRecover(d, "c", Position{`k"3`, 1}),
		} {
			if len(command) > 0 && !json.Valid(command) {
				t.Errorf("%s sends %s, which is not JSON", d.Name(), command)
			}
		}
	}
}

func appendRecover(d Dialect, channel string, since Position) []byte {
	if d, ok := d.(historyDialect); ok {
		return d.AppendRecover(nil, channel, since)
	}
	return nil
}

func fuzzParse(f *testing.F, d Dialect, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, n, err := d.Parse(b)
		switch {
		case n < 0 || n > len(b):
			t.Fatalf("Parse(%q) used %d of %d bytes", b, n, len(b))
		case err == nil && n == 0 && !d.Stream() && len(b) > 0:
			t.Errorf("Parse(%q) used nothing", b)
		case m.Kind == Delivery && !bytes.Contains(b, m.Data):
			t.Errorf("Parse(%q) delivers %q, which was not there", b, m.Data)
		}
	})
}

func FuzzRocket(f *testing.F) {
	fuzzParse(f, rocket{}, `{"ok":true}`, `{"err":"x"}`, `{"event":"e","channel":"c0000003","data":"0"}`)
}

func FuzzNATS(f *testing.F) {
	fuzzParse(f, nats{}, "INFO {}\r\n", "MSG a 1 2\r\nhi\r\n", "PING\r\n", "-ERR x\r\n", "MSG a 1 \r\n")
}

func FuzzCentrifugo(f *testing.F) {
	fuzzParse(f, centrifugo{}, `{}`, `{"id":1}`, `{"push":{"channel":"c0000003","pub":{"data":"0"}}}`, `{"push":{"channel":"c0000003","pub":{"data":"0"`)
}

func FuzzNchan(f *testing.F) {
	fuzzParse(f, nchan{}, "queued messages: 1\r\n", `{"channel":"c0000003","data":"0"}`, `{"data":"0","channel":"c"}`, `{"channel":"c0000003","data":"0"`)
}

func FuzzPusher(f *testing.F) {
	fuzzParse(f, pusher{}, `{"event":"client-e","channel":"private-c0000003","data":"0"}`, `{"event":"pusher:ping"}`,
		`{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\"}"}`)
}
