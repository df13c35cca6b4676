package hub

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
	}[c]
}

// A Result is what came of a command. The zero value is success.
type Result struct {
	Code   Code
	Reason string // for developers, in plain words; "" if the code says it all
}

// OK reports whether the command was obeyed.
func (r Result) OK() bool { return r.Code == Success }
