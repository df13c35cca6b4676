package codec

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ParseOrigin reads an entry of a list of allowed origins and returns it as browsers spell origins (RFC 6454 §6.2): the
// host in lower case, IP addresses in their shortest form, without a default port and without a slash at the end. It may
// be "null", "*" for any origin, or have a wildcard in place of subdomains, as in "https://*.example.com".
//
// Other spellings that no browser sends are an error, which says what to write. So are hosts that are not in ASCII:
// browsers send those in punycode.
func ParseOrigin(s string) (string, error) {
	s = strings.TrimSpace(s)
	switch o := strings.ToLower(s); o {
	case "*", "null":
		return o, nil
	case "file://", "file:///":
		return "file://", nil
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return "", originError("it has no scheme", "https://"+s)
	}
	scheme = strings.ToLower(scheme)
	switch scheme {
	case "ws":
		return "", originError("an origin has the scheme of the page, not ws:", "http://"+rest)
	case "wss":
		return "", originError("an origin has the scheme of the page, not wss:", "https://"+rest)
	}
	if !isScheme(scheme) {
		return "", errors.New("its scheme is not valid")
	}
	rest = strings.TrimSuffix(rest, "/")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return "", originError("an origin has no path", scheme+"://"+rest[:i])
	}
	if _, host, found := strings.Cut(rest, "@"); found {
		return "", originError("an origin has no user name", scheme+"://"+host)
	}
	host, port, err := splitOrigin(scheme, rest)
	if err != nil {
		return "", err
	}
	if host, err = originHost(host); err != nil {
		return "", err
	}
	return scheme + "://" + host + port, nil
}

// originError says what is wrong with an origin, and what to write if that is valid.
func originError(wrong, write string) error {
	o, err := ParseOrigin(write)
	if err != nil {
		return errors.New(wrong)
	}
	return fmt.Errorf("%s; write %q", wrong, o)
}

// isScheme reports whether s is a URL's scheme in lower case (RFC 3986 §3.1).
func isScheme(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || strings.IndexByte("0123456789+-.", c) < 0) {
			return false
		}
	}
	return s != ""
}

// defaultPorts are those that browsers leave out.
var defaultPorts = map[string]int{"http": 80, "https": 443}

// splitOrigin separates the host from the port. The port has its colon, and is empty if it is the scheme's default.
func splitOrigin(scheme, s string) (host, port string, err error) {
	if isIPv6(s) {
		return "", "", originError(wantBrackets, scheme+"://["+s+"]")
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") {
		return s, "", nil
	}
	host, port = s[:i], s[i+1:]
	if isIPv6(host) {
		return "", "", originError(wantBrackets, scheme+"://["+host+"]:"+port)
	}
	if port == "" {
		return host, "", nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", "", errors.New("its port is not a number from 1 to 65535")
	}
	if int(n) == defaultPorts[scheme] {
		return host, "", nil
	}
	return host, fmt.Sprintf(":%d", n), nil
}

const wantBrackets = "an IPv6 address has brackets"

// isIPv6 reports whether s is an IPv6 address without brackets.
func isIPv6(s string) bool {
	ip, err := netip.ParseAddr(s)
	return err == nil && ip.Is6()
}

// originHost returns a host as browsers spell it. It may begin with the wildcard "*.".
func originHost(s string) (string, error) {
	name, wildcard := strings.CutPrefix(strings.ToLower(s), "*.")
	ip, isIP, err := parseHostIP(name)
	switch {
	case name == "":
		return "", errors.New("it has no host")
	case err != nil:
		return "", err
	case strings.Contains(name, "*"):
		return "", errors.New(`a * stands alone, for any origin, or for subdomains as in "https://*.example.com"`)
	case isIP && wildcard:
		return "", errors.New("an IP address has no subdomains")
	case isIP:
		return ip, nil
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if err := checkLabel(label); err != nil {
			return "", err
		}
	}
	if wildcard {
		return "*." + name, nil
	}
	return name, nil
}

// parseHostIP returns the IP address that a host is. It is an error if the host can only be an IP address and is not
// valid (https://url.spec.whatwg.org/#host-parsing).
func parseHostIP(host string) (ip string, isIP bool, err error) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		switch {
		case !ok || err != nil || !ip.Is6() || ip.Zone() != "":
			return "", false, errors.New("its host is not an IPv6 address")
		case ip.Is4In6(): // for which netip has another form than browsers
			b := ip.As16()
			return fmt.Sprintf("[::ffff:%x:%x]", uint(b[12])<<8|uint(b[13]), uint(b[14])<<8|uint(b[15])), true, nil
		}
		return "[" + ip.String() + "]", true, nil
	}
	host = strings.TrimSuffix(host, ".") // browsers leave it out of IPv4 addresses only
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == "" || strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x") {
		return "", false, nil
	}
	four, err := netip.ParseAddr(host)
	if err != nil {
		return "", false, errors.New("its host is not an IPv4 address of four decimal numbers")
	}
	return four.String(), true, nil
}

// checkLabel accepts what stands between the dots of a host name in lower case.
func checkLabel(label string) error {
	if label == "" {
		return errors.New("its host has an empty part between dots")
	}
	for _, c := range []byte(label) {
		switch {
		case c >= 0x80:
			return errors.New("its host is not in ASCII; write it in punycode (xn--…), as browsers send it")
		case c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z'):
			return fmt.Errorf("its host has the character %q", c)
		}
	}
	return nil
}

// MatchOrigin reports whether the value of an Origin field is one that allowed stands for, which ParseOrigin has
// returned. A wildcard stands for one or more subdomains, not for none.
func MatchOrigin(allowed string, origin []byte) bool {
	if allowed == "*" {
		return true
	}
	scheme, domain, wildcard := strings.Cut(allowed, "*")
	if !wildcard {
		return len(origin) == len(allowed) && equalFold(origin, allowed)
	}
	n := len(origin) - len(domain)
	if n <= len(scheme) || !equalFold(origin[:len(scheme)], scheme) || !equalFold(origin[n:], domain) {
		return false
	}
	for _, c := range origin[len(scheme):n] {
		if class[c]&inHost == 0 { // not a part of the host any more
			return false
		}
	}
	return true
}
