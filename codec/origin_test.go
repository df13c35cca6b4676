package codec

import (
	"strings"
	"testing"
)

func TestParseOrigin(t *testing.T) {
	for _, tt := range []struct{ in, want, err string }{
		{"https://example.com", "https://example.com", ""},
		{"http://localhost:3000", "http://localhost:3000", ""},
		{"null", "null", ""},
		{"NULL", "null", ""},
		{"*", "*", ""},

		// These are new URL(in).origin in browsers.
		{"https://example.com:443", "https://example.com", ""},
		{"http://example.com:80", "http://example.com", ""},
		{"http://example.com:443", "http://example.com:443", ""},
		{"https://example.com:0443", "https://example.com", ""},
		{"https://example.com:08443", "https://example.com:8443", ""},
		{"https://example.com:", "https://example.com", ""},
		{"HTTPS://Example.COM", "https://example.com", ""},
		{"https://example.com/", "https://example.com", ""},
		{" https://example.com\n", "https://example.com", ""},
		{"https://example.com.", "https://example.com.", ""},
		{"https://a_b.example.com", "https://a_b.example.com", ""},
		{"https://xn--bcher-kva.example", "https://xn--bcher-kva.example", ""},
		{"https://192.0.2.1:443", "https://192.0.2.1", ""},
		{"https://192.0.2.1.", "https://192.0.2.1", ""},
		{"https://[2001:DB8:0:0:0::1]:443", "https://[2001:db8::1]", ""},
		{"https://[::FFFF:1.2.3.4]:8443", "https://[::ffff:102:304]:8443", ""},

		// Programs that show pages have schemes of their own.
		{"capacitor://localhost", "capacitor://localhost", ""},
		{"chrome-extension://AbcDef", "chrome-extension://abcdef", ""},
		{"file:///", "file://", ""},

		{"https://*.example.com", "https://*.example.com", ""},
		{"HTTPS://*.Example.com:443/", "https://*.example.com", ""},
		{"http://*.localhost:3000", "http://*.localhost:3000", ""},

		{"wss://example.com", "", `an origin has the scheme of the page, not wss:; write "https://example.com"`},
		{"ws://example.com:80", "", `an origin has the scheme of the page, not ws:; write "http://example.com"`},
		{"example.com", "", `it has no scheme; write "https://example.com"`},
		{"*.example.com", "", `it has no scheme; write "https://*.example.com"`},
		{"https://example.com/app", "", `an origin has no path; write "https://example.com"`},
		{"https://example.com?a", "", `an origin has no path; write "https://example.com"`},
		{"https://me:secret@example.com", "", `an origin has no user name; write "https://example.com"`},
		{"https://2001:db8::1", "", `an IPv6 address has brackets; write "https://[2001:db8::1]"`},
		{"https://::ffff:192.0.2.1:8443", "", `an IPv6 address has brackets; write "https://[::ffff:c000:201]:8443"`},
		{"https://2001:db8::1:", "", `an IPv6 address has brackets; write "https://[2001:db8::1]"`},
		{"https://bücher.example", "", "its host is not in ASCII; write it in punycode (xn--…), as browsers send it"},
		{"https://*", "", `a * stands alone, for any origin, or for subdomains as in "https://*.example.com"`},
		{"https://exa*mple.com", "", `a * stands alone, for any origin, or for subdomains as in "https://*.example.com"`},
		{"https://*.*.example.com", "", `a * stands alone, for any origin, or for subdomains as in "https://*.example.com"`},
		{"https://*.192.0.2.1", "", "an IP address has no subdomains"},
		{"https://*.", "", "it has no host"},
		{"https://", "", "it has no host"},
		{"https://example.com:99999", "", "its port is not a number from 1 to 65535"},
		{"https://example.com:https", "", "its port is not a number from 1 to 65535"},
		{"https://127.1", "", "its host is not an IPv4 address of four decimal numbers"},
		{"https://127.1.", "", "its host is not an IPv4 address of four decimal numbers"},
		{"https://0x7f.0x1", "", "its host is not an IPv4 address of four decimal numbers"},
		{"https://[::1", "", "its host is not an IPv6 address"},
		{"https://[fe80::1%eth0]", "", "its host is not an IPv6 address"},
		{"https://a..example", "", "its host has an empty part between dots"},
		{"https://a b", "", "its host has the character ' '"},
		{"https://a.example, https://b.example", "", "an origin has no path"},
		{"1://example.com", "", "its scheme is not valid"},
		{"", "", "it has no scheme"},
	} {
		got, err := ParseOrigin(tt.in)
		reason := ""
		if err != nil {
			reason = err.Error()
		}
		if got != tt.want || reason != tt.err {
			t.Errorf("%q: got %q, %q, want %q, %q", tt.in, got, reason, tt.want, tt.err)
		}
	}
}

func TestMatchOrigin(t *testing.T) {
	for _, tt := range []struct {
		allowed, origin string
		want            bool
	}{
		{"*", "https://example.com", true},
		{"*", "null", true},
		{"null", "null", true},
		{"null", "https://null", false},
		{"https://example.com", "https://example.com", true},
		{"https://example.com", "HTTPS://Example.com", true},
		{"https://example.com", "http://example.com", false},
		{"https://example.com", "https://www.example.com", false},
		{"https://example.com", "https://example.com:8443", false},
		{"https://*.example.com", "https://www.example.com", true},
		{"https://*.example.com", "https://WWW.EXAMPLE.com", true},
		{"https://*.example.com", "https://a.b.example.com", true},
		{"https://*.example.com", "https://example.com", false},
		{"https://*.example.com", "https://.example.com", false},
		{"https://*.example.com", "https://evil-example.com", false},
		{"https://*.example.com", "https://www.example.com.evil.net", false},
		{"https://*.example.com", "http://www.example.com", false},
		{"https://*.example.com", "https://www.example.com:8443", false},
		{"https://*.example.com", "https://evil.net/.example.com", false},
		{"https://*.example.com", "https://evil.net?.example.com", false},
		{"https://*.example.com", "https://evil.net:1.example.com", false},
		{"https://*.example.com", "https://me@www.example.com", false},
		{"https://*.example.com", "https://[.example.com", false},
		{"https://*.example.com", "", false},
		{"https://*.example.com:8443", "https://www.example.com:8443", true},
		{"https://*.example.com:8443", "https://www.example.com", false},
	} {
		if got := MatchOrigin(tt.allowed, []byte(tt.origin)); got != tt.want {
			t.Errorf("%s, %s: got %t, want %t", tt.allowed, tt.origin, got, tt.want)
		}
	}
}

func FuzzParseOrigin(f *testing.F) {
	for _, s := range []string{"https://*.Example.com:443/", "https://[::ffff:1.2.3.4]:1", "wss://a", "null", "*", "https://me@a/b"} {
		f.Add(s, "https://www.example.com")
	}
	f.Fuzz(func(t *testing.T, s, origin string) {
		parsed, err := ParseOrigin(s)
		if err != nil {
			return
		}
		if again, err := ParseOrigin(parsed); again != parsed || err != nil {
			t.Errorf("%q: got %q, and of that %q, %v", s, parsed, again, err)
		}
		if !strings.Contains(parsed, "*") && !MatchOrigin(parsed, []byte(parsed)) {
			t.Errorf("%q does not match itself", parsed)
		}
		MatchOrigin(parsed, []byte(origin))
	})
}
