package codec

import (
	"errors"
	"unicode/utf8"
)

// MaxChannelName is the longest name that a channel can have, in bytes.
const MaxChannelName = 255

// ErrInvalidData says that a message is not a command.
var ErrInvalidData = errors.New("invalid data")

// An InvalidDataError says why a message is not a command. errors.Is finds ErrInvalidData in it.
type InvalidDataError struct {
	Reason string // a short sentence for the client's developer: "publish: event is missing"
}

func (e *InvalidDataError) Error() string { return ErrInvalidData.Error() + ": " + e.Reason }

// Unwrap returns ErrInvalidData.
func (e *InvalidDataError) Unwrap() error { return ErrInvalidData }

// Kind says what a Command asks for. The zero value is no command.
type Kind uint8

// The commands.
const (
	Auth Kind = iota + 1
	Subscribe
	Unsubscribe
	Publish
	Logout
	Disconnect
)

var kindNames = [...]string{"none", "auth", "subscribe", "unsubscribe", "publish", "logout", "disconnect"}

// String returns the name that the command has on the wire, "none" for the zero value.
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return "unknown"
	}
	return kindNames[k]
}

// Access levels that an Auth command can ask for.
const (
	ReadOnly  = "read-only"
	ReadWrite = "read-write"
)

// Command is what a client asks for. Fields that its Kind does not use are zero.
// The byte slices are valid until the bytes of the message or the Command are used again; do not modify them.
type Command struct {
	Kind   Kind
	ID     []byte // a JSON string or number as it was sent, nil if there is none
	Access string // ReadOnly or ReadWrite (Auth)
	Secret string // (Auth)

	Channel []byte // any string: see ValidChannelName (Subscribe, Unsubscribe, Publish)
	Event   []byte // not empty (Publish)
	Data    []byte // JSON exactly as it was sent, nil if there is none (Publish)
}

// Codec is one way to write commands, replies and events as messages. All methods may be called from any goroutine.
//
// A codec may implement one method more, as JSON does:
//
//	// AppendLost extends dst by what a slow reader is told that has missed events of a channel.
//	AppendLost(dst []byte, l Lost) []byte
type Codec interface {
	// Opcode is the kind of frame that the messages travel in.
	Opcode() Opcode
	// ParseCommand reads a message into cmd, whatever was in it before. The error is ErrInvalidData or an
	// *InvalidDataError; then cmd holds nothing, except the ID if the message was well-formed and its ID was valid.
	ParseCommand(msg []byte, cmd *Command) error
	// AppendReply extends dst by the answer to a command.
	AppendReply(dst []byte, r Reply) []byte
	// AppendEvent extends dst by what a subscriber hears of a publish. It runs under a lock of the hub, and must not
	// call it.
	AppendEvent(dst []byte, e Event) []byte
}

// A Reply is the answer to a command. Later versions may have more members.
type Reply struct {
	Err    string // the error code, "" for success
	Reason string // for the developer of the client, in plain words, "" for none
	ID     []byte // what ParseCommand gave, nil for none
}

// An Event is what a subscriber hears of a publish. The slices are valid until the call returns. Later versions may
// have more members.
type Event struct {
	Channel []byte
	Event   []byte
	Data    []byte // in the codec's own format, nil for none
}

// Lost says how many events of a channel a subscriber has missed.
type Lost struct {
	N       int
	Channel []byte
}

// ValidChannelName reports whether b can name a channel: 1 to MaxChannelName bytes of valid UTF-8 without control
// characters (U+0000 to U+001F, U+007F to U+009F).
func ValidChannelName(b []byte) bool {
	if len(b) == 0 || len(b) > MaxChannelName {
		return false
	}
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r < 0x20 || r >= 0x7f && r <= 0x9f || r == utf8.RuneError && n == 1 {
			return false
		}
		b = b[n:]
	}
	return true
}
