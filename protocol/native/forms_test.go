package native

import (
	"testing"

	"github.com/nu7hatch/webrocket/codec"
	"github.com/nu7hatch/webrocket/engine"
	"github.com/nu7hatch/webrocket/hub"
)

// counting is a codec that cannot be compared.
type counting struct {
	codec.JSON
	_ func()
}

// Two paths at which a hub is served in one encoding share its forms, so that an
// event is encoded once for both. A codec that cannot be compared has its own.
func TestFormsAreShared(t *testing.T) {
	h, err := hub.New("test", hub.Config{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := speak(t, h, codec.JSON{}), speak(t, h, codec.JSON{})
	if a.forms != b.forms {
		t.Error("two protocols of one encoding have forms of their own")
	}
	c, d := speak(t, h, counting{}), speak(t, h, counting{})
	if c.forms == d.forms || c.forms == a.forms {
		t.Error("codecs that may differ share forms")
	}
}

// embedding is a protocol of a program that changes a part of the native one.
type embedding struct{ *Protocol }

// Of the endpoints that share a form, the one with the lowest threshold counts,
// and one that does not compress changes nothing.
func TestSetThresholds(t *testing.T) {
	h, err := hub.New("test", hub.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p := speak(t, h, codec.JSON{})
	for _, tt := range []struct {
		name      string
		endpoint  engine.Endpoint
		threshold int64
	}{
		{"no compression", engine.Endpoint{CompressionThreshold: 5}, 1<<63 - 1},
		{"by default", engine.Endpoint{Compression: true}, engine.DefaultCompressionThreshold},
		{"set", engine.Endpoint{Compression: true, CompressionThreshold: 5}, 5},
		{"every message", engine.Endpoint{Compression: true, CompressionThreshold: -1}, -1},
	} {
		tt.endpoint.Protocol = embedding{p}
		plain := engine.Endpoint{Protocol: speak(t, h, codec.JSON{})}
		higher := engine.Endpoint{Protocol: speak(t, h, codec.JSON{}), Compression: tt.endpoint.Compression, CompressionThreshold: 9000}
		SetThresholds(map[string]engine.Endpoint{"/a": higher, "/b": tt.endpoint, "/c": plain})
		if got := p.forms.threshold.Load(); got != tt.threshold {
			t.Errorf("%s: got a threshold of %d, want %d", tt.name, got, tt.threshold)
		}
	}
}

func speak(t *testing.T, h *hub.Hub, c codec.Codec) *Protocol {
	t.Helper()
	p, err := New(h, c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A hub that is served in as many encodings as it has room for refuses another, and
// goes on with those that it has.
func TestTooManyEncodings(t *testing.T) {
	h, err := hub.New("test", hub.Config{})
	if err != nil {
		t.Fatal(err)
	}
	first := speak(t, h, codec.JSON{})
	for range 3 {
		speak(t, h, counting{})
	}
	for range 2 {
		if _, err := New(h, counting{}); err == nil {
			t.Error("there is room for a fifth encoding")
		}
		if speak(t, h, codec.JSON{}).forms != first.forms {
			t.Error("an encoding that is known has other forms")
		}
	}
}
