package js_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/nu7hatch/webrocket/js"
)

// A page gets the file of the sources byte for byte, and once only.
func TestHandler(t *testing.T) {
	want, err := os.ReadFile("webrocket.js")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(js.Handler())
	defer server.Close()
	get := func(etag string) (*http.Response, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/webrocket.js", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("If-None-Match", etag)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, string(body)
	}
	first, body := get("")
	if first.StatusCode != http.StatusOK || body != string(want) || string(js.Bundle()) != string(want) {
		t.Errorf("status %d, %d bytes, want 200 and the %d of webrocket.js", first.StatusCode, len(body), len(want))
	}
	if got := first.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/javascript") {
		t.Errorf("Content-Type is %q, want text/javascript", got)
	}
	if got := first.Header.Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("Access-Control-Allow-Origin is %q: pages of other origins may not load it", got)
	}
	if again, body := get(first.Header.Get("ETag")); again.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("with the ETag: status %d and %d bytes, want 304 and none", again.StatusCode, len(body))
	}
	if other, _ := get(`"other"`); other.StatusCode != http.StatusOK {
		t.Errorf("with another ETag: status %d, want 200", other.StatusCode)
	}
}
