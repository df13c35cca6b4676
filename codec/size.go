package codec

// Sizes of messages, in bytes.
const (
	// DefaultMaxMessageSize is the limit of a message where none is set.
	DefaultMaxMessageSize = 64 << 10

	// MaxMessageSize is the highest limit of a message that can be set: a message is in memory as a whole, and no sum of
	// sizes overflows.
	MaxMessageSize = 1 << 30
)

// PublishSize returns how long the message of a client is, in JSON, that publishes an event. The data is JSON; if it is
// empty, the command has none.
func PublishSize(channel, event string, data []byte) int {
	const (
		empty  = `{"publish":{"channel":,"event":}}`
		member = `,"data":`
	)
	var room [256]byte // enough for most names
	n := len(empty) + len(appendString(room[:0], []byte(channel))) + len(appendString(room[:0], []byte(event)))
	if len(data) > 0 {
		n += len(member) + len(data)
	}
	return n
}
