package hub

import (
	"time"

	"github.com/nu7hatch/webrocket/pubsub"
)

// A Code says how a command ended. Its text is the error code of the native
// protocol; other protocols have codes of their own for it.
type Code uint8

// The codes.
const (
	Success Code = iota
	InvalidData
	InvalidCredentials
	InvalidChannelName
	InvalidChannel // the channel has no subscriber and is not permanent
	AccessDenied
	LimitExceeded
	RateLimited
	InternalError // a fault of the server, not of the client
	NotRecovered  // the history since the position that was asked for is not kept
	NotAvailable  // the channel keeps no history, or the hub has no patterns
	TokenExpired  // the token is over; an earlier login stands
	Unavailable   // the token cannot be verified yet, and an earlier login stands; or the event could not be stored in time
	Overlapping   // the session hears some of that already

	Codes // how many there are
)

// String returns the error code, "" for Success.
func (c Code) String() string {
	return [Codes]string{
		"",
		"invalid_data",
		"invalid_credentials",
		"invalid_channel_name",
		"invalid_channel",
		"access_denied",
		"limit_exceeded",
		"rate_limited",
		"internal_error",
		"not_recovered",
		"not_available",
		"token_expired",
		"unavailable",
		"overlapping",
	}[c]
}

// A Result is what came of a command. The zero value is success.
type Result struct {
	Code     Code
	LoggedIn bool   // a login has succeeded; Session.User says whose
	Reason   string // for developers, in plain words; "" if the code says it all

	Begun  *Begun       // where a subscription began, if the channel has a history or a position was asked for
	Stored Stored       // what became of a publish, if the channel has a history or there was a key
	Page   *pubsub.Page // what a history command asked for

	Later *Turn // of a publish whose result comes later; nothing else is set then

	Presence *Presences // what a presence command asked for, or how many are there

	Expires time.Duration // of a login: until its token expires; negative for one without a token
}

// Begun says where a subscription began.
type Begun struct {
	pubsub.Begun
	Asked bool // a position was asked for
}

// Stored says what became of a publish.
type Stored struct {
	pubsub.Published
	Keyed bool // there was a key
}

// OK reports whether the command was obeyed.
func (r Result) OK() bool { return r.Code == Success }
