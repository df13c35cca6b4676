// Package js answers: what does a page load to talk to Rocket?
//
// It is the JavaScript client as one file, built from src/ by `make js`, so that a page needs
// neither npm nor another server, and has the client that fits this server.
package js

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"time"
)

//go:embed webrocket.js
var bundle []byte

// etag changes with the bundle.
var etag = func() string {
	sum := sha256.Sum256(bundle)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}()

// Bundle returns a copy of the client as a classic script, which sets the global webrocket.
func Bundle() []byte { return bytes.Clone(bundle) }

// Handler serves the bundle, whatever the path, to pages of every origin. Browsers keep
// it, and ask by its ETag whether there is another one.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		h.Set("ETag", etag)
		h.Set("Cache-Control", "no-cache")
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(bundle))
	})
}
