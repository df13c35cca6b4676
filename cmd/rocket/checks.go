package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nu7hatch/webrocket/codec"
)

// checkHost accepts what can stand before ":port" in an address.
func checkHost(s string) error {
	if net.ParseIP(s) == nil && strings.ContainsAny(s, ":/[] ") {
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

// checkPath accepts what can be the path of a request, and is not a pattern.
func checkPath(s string) error {
	u, err := url.Parse(s)
	if err != nil || !strings.HasPrefix(s, "/") || u.EscapedPath() != s {
		return errWant
	}
	return nil
}

// checkChannel accepts the name of a channel.
func checkChannel(s string) error {
	if !codec.ValidChannelName([]byte(s)) {
		return errWant
	}
	return nil
}

// checkOrigin accepts an origin as browsers write it (RFC 6454 §6.2).
func checkOrigin(s string) error {
	u, err := url.Parse(s)
	if s != "null" && (err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != s) {
		return errWant
	}
	return nil
}

// checkToken accepts a token (RFC 9110 §5.6.2), as a subprotocol must be.
func checkToken(s string) error {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return errWant
		}
	}
	if s == "" {
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

// appending is how a log is opened: for a pipe that nobody reads there is an error,
// in place of a wait for who does.
const appending = os.O_WRONLY | os.O_APPEND | unix.O_NONBLOCK

// checkAppendable accepts a log that can be written, without creating it. It does not
// open a pipe: closing that is the end of the file for who reads it.
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
