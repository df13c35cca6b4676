package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/sys/unix"

	"github.com/nu7hatch/webrocket/codec"
)

// checkHost accepts what can stand before ":port" in an address.
func checkHost(s string) error {
	if net.ParseIP(s) == nil && strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || strings.ContainsRune(":/[]", r) }) {
		return errWant
	}
	return nil
}

// checkAdmin accepts "off" and what can be listened on.
func checkAdmin(s string) error {
	host, port, err := net.SplitHostPort(s)
	if s == "off" {
		return nil
	}
	if n, notNumber := strconv.Atoi(port); err != nil || notNumber != nil || n < 0 || n > 65535 {
		return errWant
	}
	return checkHost(host)
}

// checkPath accepts a path that clients can ask for.
func checkPath(s string) error {
	if normal := codec.NormalPath(s); s != normal {
		return wantError(fmt.Sprintf("; write %q", normal))
	}
	return nil
}

// checkPrefix accepts a path that others begin with.
func checkPrefix(s string) error {
	first, _, _ := strings.Cut(strings.TrimPrefix(s, "/"), "/")
	switch {
	case s == "":
		return nil
	case slices.Contains(reserved, first):
		return fmt.Errorf("paths below /%s/ are taken; give another", first)
	case strings.HasSuffix(s, "/"):
		return errWant
	}
	return checkPath(s)
}

// checkChannel accepts the name of a channel.
func checkChannel(s string) error {
	if !codec.ValidChannelName([]byte(s)) {
		return errWant
	}
	return nil
}

// parseOrigin returns an origin as browsers spell it.
func parseOrigin(s string) (string, error) {
	ascii, err := punycode(s)
	if err == nil {
		ascii, err = codec.ParseOrigin(ascii)
	}
	if err != nil {
		return "", wantError(": " + err.Error())
	}
	return ascii, nil
}

// punycode returns an origin with its host in ASCII, as browsers send it.
func punycode(origin string) (string, error) {
	scheme, rest, found := strings.Cut(origin, "://")
	if !found {
		scheme, rest = "", origin
	}
	end := strings.IndexAny(rest, ":/?#")
	if end < 0 {
		end = len(rest)
	}
	host, wildcard := strings.CutPrefix(rest[:end], "*.")
	if !strings.ContainsFunc(host, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return origin, nil
	}
	host, err := idna.Lookup.ToASCII(host)
	if err != nil {
		return "", errors.New("its host is not a valid name")
	}
	if wildcard {
		host = "*." + host
	}
	if found {
		scheme += "://"
	}
	return scheme + host + rest[end:], nil
}

// checkToken accepts a token, as a subprotocol must be.
func checkToken(s string) error {
	if !codec.ValidToken([]byte(s)) {
		return errWant
	}
	return nil
}

// checkReadable accepts a file that can be read, or no file.
func checkReadable(name string) error {
	if name == "" {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("cannot read %s: %s", name, reason(err))
	}
	return f.Close()
}

// appending is how a log is opened. With O_NONBLOCK a pipe without a reader is
// an error at once; without it the open would wait for a reader.
const appending = os.O_WRONLY | os.O_APPEND | unix.O_NONBLOCK

// checkAppendable accepts a log that can be written, without creating it. It
// does not open a pipe: when it closed the pipe, the reader would see the end
// of the file.
func checkAppendable(name string) error {
	if name == "" || name == "-" {
		return nil
	}
	if info, err := os.Stat(name); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		if err := unix.Access(name, unix.W_OK); err != nil {
			return fmt.Errorf("cannot append to %s: %w", name, err)
		}
		return nil
	}
	f, err := os.OpenFile(name, appending, 0)
	if err == nil {
		return f.Close()
	}
	dir := filepath.Dir(name)
	if os.IsNotExist(err) {
		if err = unix.Access(dir, unix.W_OK|unix.X_OK); err == nil {
			return nil
		}
		return fmt.Errorf("cannot create %s: directory %s: %w", name, dir, err)
	}
	return fmt.Errorf("cannot append to %s: %s", name, reason(err))
}

// socketMax is how long the name of a socket's file may be (unix(7)).
const socketMax = 107

// checkSocket accepts a name that a socket's file can have. Its directory may be made
// later, as systemd makes that of RuntimeDirectory.
func checkSocket(name string) error {
	if len(name) > socketMax {
		return fmt.Errorf("the name has %d bytes, and that of a socket's file at most %d; choose a shorter one", len(name), socketMax)
	}
	if info, err := os.Lstat(name); err == nil && info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("cannot listen at %s: %s", name, inTheWay(name))
	}
	return nil
}

// checkPEM finds what hides the first certificate of a file in PEM, or all of them.
func checkPEM(name string, text []byte) error {
	if isWide(text) {
		return fmt.Errorf("%s: the file is in UTF-16 or UTF-32; save it as UTF-8", name)
	}
	if bytes.HasPrefix(text, []byte("\ufeff")) {
		return fmt.Errorf("%s: the file begins with a byte order mark; save it without", name)
	}
	return nil
}

// checkPEMFile is checkPEM for a file. Pipes can be read only once, so it leaves them.
func checkPEMFile(name string) error {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil //nolint:nilerr // whoever reads the file says what is wrong
	}
	text, _ := os.ReadFile(name)
	return checkPEM(name, text)
}
