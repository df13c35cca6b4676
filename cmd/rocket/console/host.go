package console

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// misnamed returns an error if a request is for a host name that is not known
// to be this machine's. It protects an API without a token: a web page can have
// the name of its own host resolved to this address, and could then read here
// with the rights of its visitor (DNS rebinding). It cannot do that with an IP
// address, nor with the names that are allowed here.
func (c *console) misnamed(r *http.Request) error {
	host := hostOf(r.Host)
	if c.Token != "" || host == "" || strings.EqualFold(host, "localhost") || strings.EqualFold(host, c.Host) {
		return nil // a browser always names one
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	return &failure{http.StatusForbidden, fmt.Sprintf("the server has no admin token, so this answers only requests for an IP address, localhost or the host in Admin, not for %q; set ROCKET_ADMIN_TOKEN or AdminToken", host)}
}

// hostOf returns the host of a Host header, without port and brackets.
func hostOf(header string) string {
	if host, _, err := net.SplitHostPort(header); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(header, "["), "]")
}
