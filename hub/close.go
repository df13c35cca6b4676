package hub

// Close codes beside those of RFC 6455 §7.4: the client must do something else after each of
// them. They are from the range for applications, 4000 to 4999.
const (
	CloseExpired    = 4001 // the session, or its token, has expired: come back with a new token
	CloseLoginGone  = 4401 // the secret or the token of the login is not valid any more
	CloseUnfinished = 4408 // a message did not arrive in time
	CloseTooFast    = 4429 // too many commands, or bytes, in a second
)
