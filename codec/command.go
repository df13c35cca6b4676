package codec

import (
	"errors"
	"unicode/utf8"
)

// MaxChannelName is the longest name that a channel can have, in bytes.
const MaxChannelName = 255

// ErrInvalidData says that a message is no command.
var ErrInvalidData = errors.New("invalid data")

// An InvalidDataError is an ErrInvalidData that says why, to errors.Is too. The client gets the reason if the codec
// implements AppendReason.
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
// A codec may implement two methods more. JSON has both.
//
//	// AppendReason is AppendReply for an error with a reason for the client's developer.
//	AppendReason(dst []byte, errCode, reason string, id []byte) []byte
//	// AppendLost extends dst by what a slow reader is told that has missed n events of a channel.
//	AppendLost(dst []byte, n int, channel []byte) []byte
type Codec interface {
	// Opcode is the kind of frame that the messages travel in.
	Opcode() Opcode
	// ParseCommand reads a message into cmd, whatever was in it before. The error is ErrInvalidData or an
	// *InvalidDataError; then cmd holds nothing, except the ID if the message was well-formed and its ID was valid.
	ParseCommand(msg []byte, cmd *Command) error
	// AppendReply extends dst by the answer to a command: success if errCode is empty. The id is one that
	// ParseCommand gave, or nil.
	AppendReply(dst []byte, errCode string, id []byte) []byte
	// AppendEvent extends dst by what a subscriber hears of a publish. The data is in the codec's own format,
	// nil for none.
	AppendEvent(dst []byte, event, channel, data []byte) []byte
}

// ValidChannelName tells whether b can name a channel: 1 to MaxChannelName bytes of valid UTF-8 without control
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
