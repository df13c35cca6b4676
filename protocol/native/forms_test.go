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
	a, b := New(h, codec.JSON{}), New(h, codec.JSON{})
	if a.forms != b.forms {
		t.Error("two protocols of one encoding have forms of their own")
	}
	c, d := New(h, counting{}), New(h, counting{})
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
	p := New(h, codec.JSON{})
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
		plain := engine.Endpoint{Protocol: New(h, codec.JSON{})}
		higher := engine.Endpoint{Protocol: New(h, codec.JSON{}), Compression: tt.endpoint.Compression, CompressionThreshold: 9000}
		SetThresholds(map[string]engine.Endpoint{"/a": higher, "/b": tt.endpoint, "/c": plain})
		if got := p.forms.threshold.Load(); got != tt.threshold {
			t.Errorf("%s: got a threshold of %d, want %d", tt.name, got, tt.threshold)
		}
	}
}
