package faults

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// What was seen is the same each time, whatever directory the case was given.
func TestFindingsNameFilesShortly(t *testing.T) {
	for _, test := range []struct{ saw, want string }{
		{`status 1: /tmp/rocket-faults-123/full/pid: no space left`, `status 1: pid: no space left`},
		{`"/tmp/rocket-faults-123/rocket.json:6:15"`, `"rocket.json:6:15"`},
		{`open /tmp/rocket-faults-123/a/b/c, not /etc/passwd`, `open c, not /etc/passwd`},
	} {
		tr := &trial{dir: "/tmp/rocket-faults-123", notes: io.Discard}
		tr.check(true, "it must", "%s", test.saw)
		if got := tr.findings[0].Saw; got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// No error is a word that says what that means.
func TestSaid(t *testing.T) {
	if got := fmt.Sprint(said(nil, "accepted"), ", ", said(errors.New("refused"), "accepted")); got != "accepted, refused" {
		t.Errorf("got %q", got)
	}
}
