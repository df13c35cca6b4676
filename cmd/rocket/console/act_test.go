package console

import (
	"fmt"
	"strings"
	"testing"
)

// Operators may use the codes that are for applications, and those of the RFC
// that are for a Close frame of a server (RFC 6455 §7.4).
func TestDisconnectCodes(t *testing.T) {
	o := operate(t, nil)
	for code, want := range map[int]int{
		999: 400, 1000: 200, 1001: 200, 1002: 400, 1005: 400, 1006: 400, 1008: 200, 1011: 200, 1012: 200, 1013: 200,
		1014: 400, 1015: 400, 2999: 400, 3000: 200, 4000: 200, 4999: 200, 5000: 400, 65536: 400,
	} {
		o.ask("POST", "/api/disconnect", fmt.Sprintf(`{"hub":"/","channel":"news","code":%d}`, code), want)
	}
}

// What is too much begins where the package's documentation and openapi.yaml say.
func TestLimitsOfRequests(t *testing.T) {
	o := operate(t, nil)
	const message = `{"hub":"/","channel":"nobody","event":"e"}`
	const disconnect = `{"hub":"/","channel":"news"}`
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/api/disconnect", disconnect + strings.Repeat(" ", 8<<20-len(disconnect)), 200},
		{"POST", "/api/disconnect", disconnect + strings.Repeat(" ", 8<<20-len(disconnect)+1), 413},
		{"POST", "/api/publish", `{"messages":[` + strings.Repeat(message+",", 999) + message + `]}`, 200},
		{"POST", "/api/publish", `{"messages":[` + strings.Repeat(message+",", 1000) + message + `]}`, 400},
		{"GET", "/api/channels?limit=1000", "", 200},
		{"GET", "/api/channels?limit=1001", "", 400},
		{"GET", "/api/connections?limit=1000", "", 200},
		{"GET", "/api/connections?limit=1001", "", 400},
		{"GET", "/api/connections?limit=0", "", 400},
		{"GET", "/api/connections/slowest?limit=1000", "", 200},
		{"GET", "/api/connections/slowest?limit=1001", "", 400},
		{"POST", "/api/debug", `{"hub":"/","channel":"news","seconds":600}`, 200},
		{"POST", "/api/debug", `{"hub":"/","channel":"news","seconds":601}`, 400},
	} {
		o.ask(tt.method, tt.path, tt.body, tt.want)
	}
}
