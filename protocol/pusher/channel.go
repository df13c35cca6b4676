package pusher

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// A Kind is what the name of a channel says about it: a set of the bits below. The
// zero value is a public channel.
type Kind uint8

// The bits of a Kind.
const (
	Private   Kind = 1 << iota // a signature of the application is needed
	Presence                   // members know each other; it is private too
	Cached                     // the last event is kept
	Encrypted                  // the server cannot read the data; it is private too
	OfUser                     // only the user hears it who is in its name
)

// userPrefix begins the names of the channels that one user hears.
const userPrefix = "#server-to-user-"

// kinds are the prefixes of names, each before those that it begins with. The dash
// is part of them: "privateer" is a public channel.
var kinds = [...]struct {
	prefix string
	kind   Kind
}{
	{"private-encrypted-cache-", Private | Encrypted | Cached},
	{"private-encrypted-", Private | Encrypted},
	{"private-cache-", Private | Cached},
	{"private-", Private},
	{"presence-cache-", Private | Presence | Cached},
	{"presence-", Private | Presence},
	{"cache-", Cached},
	{userPrefix, OfUser},
}

// KindOf returns the kind of a channel.
func KindOf(channel string) Kind {
	for _, k := range kinds {
		if strings.HasPrefix(channel, k.prefix) {
			return k.kind
		}
	}
	return 0
}

// is reports whether a kind has one of the given bits.
func (k Kind) is(bits Kind) bool { return k&bits != 0 }

// reserved reports whether a channel is not for every client of a hub.
func reserved(channel []byte) bool {
	return bytes.HasPrefix(channel, []byte("private-")) || bytes.HasPrefix(channel, []byte("presence-")) ||
		bytes.HasPrefix(channel, []byte("#"))
}

// validChannel reports whether a channel may have that name, of at most so many
// bytes: letters, digits and _-=@,.; or the channel of a user.
func validChannel(name string, most int) bool {
	if len(name) == 0 || len(name) > most {
		return false
	}
	if user, ok := strings.CutPrefix(name, userPrefix); ok {
		return validUser(user, most)
	}
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && !strings.ContainsRune("_-=@,.;", rune(c)) {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// validUser reports whether a user may have that id.
func validUser(id string, most int) bool { return id != "" && validText(id, most) }

// validText reports whether a text is UTF-8 without control characters, of at most
// so many bytes.
func validText(text string, most int) bool {
	if len(text) > most || !utf8.ValidString(text) {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}
