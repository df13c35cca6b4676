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
	History
	Ping
	Presence

	Kinds // how many there are, with the zero value
)

var kindNames = [...]string{"none", "auth", "subscribe", "unsubscribe", "publish", "logout", "disconnect", "history", "ping", "presence"}

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
	Access string // ReadOnly or ReadWrite, "" if there is a Token (Auth)
	Secret string // (Auth)
	Token  string // not empty, unless there is an Access (Auth); of the channel, "" for none (Subscribe)

	Channel []byte // any string: see ValidChannelName (all but Auth, Logout and Disconnect)
	Event   []byte // not empty (Publish)
	Data    []byte // JSON exactly as it was sent, nil if there is none (Publish)
	Key     []byte // 1 to MaxKey bytes, nil if there is none (Publish)

	Since, Until Position  // at most one, none if the epoch is empty (Since: Subscribe, History; Until: History)
	Rewind       int       // at least 1, 0 if it was not asked for (Subscribe)
	Strict       bool      // (Subscribe)
	Signature    Signature // of the channel, with an empty Hex for none (Subscribe)
	Limit        int       // -1 if it was not given (History, Presence)
	Watch        bool      // tell who comes and goes (Subscribe)
	After        uint64    // at most MaxOffset (Presence)

	// Positions has where the client is in channels that its token subscribes it to, nil for none (Auth with a Token)
	Positions map[string]Position

	// Pattern is what the names of channels are to match, any string, nil for a command about a channel: then there is
	// nothing else but the ID (Subscribe, Unsubscribe).
	Pattern []byte

	Channels []Command // a Subscribe for each channel of a list, 1 to MaxList; nil if there is no list (Subscribe)
}

// A Signature of a client's backend lets it subscribe to a channel.
type Signature struct {
	KeyID   string
	Expires int64  // seconds since 1970, at most MaxOffset
	Hex     string // not empty; whether it is hexadecimal is for others to see
}

// A Position is a place in a channel that has a history.
type Position struct {
	Epoch  string // 1 to MaxEpoch characters
	Offset uint64 // at most MaxOffset
}

// Limits of what a client may send.
const (
	MaxKey    = 128           // bytes
	MaxList   = 128           // channels in one subscribe
	MaxEpoch  = 32            // bytes
	MaxOffset = 1<<53 - 1     // every JSON parser reads it exactly
	maxCount  = 1_000_000_000 // of Rewind and Limit
)

// Codec is one way to write commands, replies and events as messages. All methods may be called from any goroutine.
//
// A codec may implement two methods more, as JSON does:
//
//	// AppendLost extends dst by what a slow reader is told that has missed events of a channel.
//	AppendLost(dst []byte, l Lost) []byte
//	// AppendNotice extends dst by what a client is told about its token, what it hears by it, and who comes and goes.
//	AppendNotice(dst []byte, n Notice) []byte
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

	Begun  *Begun // of a subscribe or a failed recovery where the channel has a history, otherwise nil
	Stored Stored // of a publish to such a channel or with a key, otherwise zero
	Page   *Page  // of a history command, otherwise nil
	Login  *Login // of an auth, otherwise nil

	Channel []byte   // of one of Results, otherwise nil
	Results []Reply  // of a subscribe with a list of channels, one for each in their order; otherwise nil
	Present *Present // of a presence command, or a subscribe with Watch where there is presence, otherwise nil
}

// Login says what came of a login, and what a client needs to know of the server. Later versions may have more members.
type Login struct {
	Client  string // what names the connection to others, such as the client's own backend
	User    string // "" for none
	Expires int    // seconds until the token expires; negative for a login that does not

	Version        string // of the server, "" if it does not tell
	PingInterval   int    // seconds of silence after which the server pings, 0 for never
	MaxMessageSize int    // bytes of a client's message, 0 if it is not told
}

// A Notice is what a client is told without having asked. One of its kinds is set: Expires if the others are not. Later
// versions may have more.
type Notice struct {
	Expires      int    // seconds until the token expires: the client gets a new one
	Subscribed   string // who began a subscription: "token", "rule" or "admin"
	Unsubscribed string // why one has ended: "access_denied", "expired", "revoked", "rule" or "admin"
	Unwatched    string // why no more Moves follow, though the subscription stays: one of the same

	Channel []byte // of all but Expires, unless there is a Pattern
	Pattern []byte // of Unsubscribed, nil for none
	Reason  string // of Subscribed: why a position was not recovered, "" for none
	Begun   *Begun // of Subscribed, nil where the channel has no history

	Moves *Moves // who has come and gone
}

// Present says who is present in a channel. Later versions may have more members.
type Present struct {
	Version        uint64 // of the list
	Clients, Users int    // how many there are
	Listed         bool   // the members are told, and not only their number
	Members        []Member
	More           bool // there are more behind the last one
}

// A Member is one entry of the list of those that are present. Later versions may have more members.
type Member struct {
	Client string // "" where the member is a user
	User   string // "" for none
	Info   string // JSON, "" for none
	At     uint64 // the version at which it joined or left
}

// Moves are the changes of a channel's list after one version, up to another. Later versions may have more members.
type Moves struct {
	From, Version  uint64
	Clients, Users int
	Joined, Left   []Member
}

// Begun says where a subscription began. Later versions may have more members.
type Begun struct {
	Position
	Top       uint64 // the newest event that there was
	Asked     bool   // a position was asked for, so that the reply says whether it was recovered
	Recovered bool
	Lost      uint64 // events that are not kept any more, 0 if their number is not known
	Replays   bool   // events up to Top follow that are older than the subscription
}

// Stored says what became of a publish.
type Stored struct {
	Offset    uint64 // 0 where there is no history
	Keyed     bool   // there was a key, so that the reply says whether it was a duplicate
	Duplicate bool
}

// A Page is a part of a channel's history.
type Page struct {
	Epoch      string
	First, Top uint64
	Events     [][]byte // as subscribers heard them: payloads of messages
	More       bool
}

// An Event is what a subscriber hears of a publish. The slices are valid until the call returns. Later versions may
// have more members.
type Event struct {
	Channel []byte
	Event   []byte
	Data    []byte // in the codec's own format, nil for none
	Offset  uint64 // its place in the channel's history, 0 for none
}

// Lost says how many events of a channel a subscriber has missed.
type Lost struct {
	N       int // 0: some may be missing
	Channel []byte
	Offset  uint64 // of the last of them, 0 where the channel has no history
	Epoch   string // that offsets belong to from now on, "" if it is the same
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
