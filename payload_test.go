package webrocket_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/codec"
)

func TestPayload(t *testing.T) {
	tests := []struct {
		name  string
		json  string
		event string         // "" for an error
		data  webrocket.Data // nil for an error
	}{
		{"command", `{"subscribe":{"channel":"c"}}`, "subscribe", webrocket.Data{"channel": "c"}},
		{"with an id", `{"id":1,"subscribe":{"channel":"c"}}`, "subscribe", webrocket.Data{"channel": "c"}},
		{"no object", `{"logout":true}`, "logout", nil},
		{"null", `{"logout":null}`, "logout", nil},
		{"empty", `{}`, "", nil},
		{"only an id", `{"id":1}`, "", nil},
		{"two events", `{"a":{},"b":{}}`, "", nil},
		{"two events, one without a name", `{"":{},"b":{}}`, "", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var p webrocket.Payload
			if err := json.Unmarshal([]byte(test.json), &p); err != nil {
				t.Fatal(err)
			}
			event, err := p.Event()
			if event != test.event || (err != nil) != (test.event == "") {
				t.Errorf("Event: got %q, %v, want %q", event, err, test.event)
			}
			data, err := p.Data()
			if !reflect.DeepEqual(data, test.data) || (err != nil) != (test.data == nil) {
				t.Errorf("Data: got %v, %v, want %v", data, err, test.data)
			}
		})
	}
	p := webrocket.Payload{"e": webrocket.Data{"n": 1}}
	if data, err := p.Data(); err != nil || data["n"] != 1 {
		t.Errorf("Data of type Data: got %v, %v", data, err)
	}
}

// The predefined payloads are what the server sends.
func TestPredefinedPayloads(t *testing.T) {
	tests := []struct {
		payload webrocket.Payload
		code    string
	}{
		{webrocket.Ok, ""},
		{webrocket.InvalidData, "invalid_data"},
		{webrocket.InvalidCredentials, "invalid_credentials"},
		{webrocket.InvalidChannelName, "invalid_channel_name"},
		{webrocket.InvalidChannel, "invalid_channel"},
		{webrocket.AccessDenied, "access_denied"},
		{webrocket.LimitExceeded, "limit_exceeded"},
	}
	for _, test := range tests {
		got, err := json.Marshal(test.payload)
		want := codec.JSON{}.AppendReply(nil, codec.Reply{Err: test.code})
		if err != nil || string(got) != string(want) {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}

func TestAccessCodes(t *testing.T) {
	want := map[string]webrocket.Access{
		codec.ReadOnly:  webrocket.ReadOnlyAccess,
		codec.ReadWrite: webrocket.ReadWriteAccess,
	}
	if !reflect.DeepEqual(webrocket.AccessCodes, want) {
		t.Errorf("got %v, want %v", webrocket.AccessCodes, want)
	}
}
