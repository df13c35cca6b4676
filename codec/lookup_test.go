package codec

import "testing"

func TestLookup(t *testing.T) {
	r, _, err := ParseRequest([]byte("GET /a?x=1&y=a%20b&x=2&bad=%zz HTTP/1.1\r\nHost: x\r\nX-One:  \t1 \r\nx-two: a\r\nX-Two: b\r\nX-TWO:\r\nX-Two: c , d\r\n" +
		"Cookie: sid=abc; theme=\"dark\"\r\nCookie: late=1; sid=no\r\nEmpty:\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, got, want string }{
		{"a header", r.Header("X-One"), "1"},
		{"in another case", r.Header("x-ONE"), "1"},
		{"sent twice", r.Header("X-Two"), "a, b, , c , d"},
		{"empty", r.Header("Empty"), ""},
		{"part of a name", r.Header("X-"), ""},
		{"a parameter", r.Param("y"), "a b"},
		{"one sent twice", r.Param("x"), "1"},
		{"one that is not well-formed", r.Param("bad"), ""},
		{"none", r.Param("z"), ""},
		{"the last segment", segment("/app/b%C3%BC%2Fc?x=/y"), "bü/c"},
		{"the last segment, which is empty", segment("/app/"), ""},
		{"a cookie", r.Cookie("sid"), "abc"},
		{"a quoted cookie", r.Cookie("theme"), "dark"},
		{"of a second line", r.Cookie("late"), "1"},
		{"no cookie", r.Cookie("other"), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}

func segment(target string) string {
	r, _, err := ParseRequest([]byte("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n"))
	if err != nil {
		return err.Error()
	}
	return r.LastSegment()
}
