package console

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// misnamed says that a request was for a host that is not known to be this one.
// Without a token that must be known: a web page may have its own host's name
// resolved to the address of this port, and read here what its visitor may
// (DNS rebinding). It cannot do that for an address, nor for the names here.
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
