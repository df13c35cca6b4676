package pubsub

// A Kind of subscribers gets its own form of each message: Deflated is for those
// that have agreed on compression. Order and delivery are the same for all.
type Kind uint8

// The kinds.
const (
	Plain Kind = iota
	Deflated

	kinds
)

// Frames are the forms of one message, by kind. A kind without one gets that for
// Plain.
type Frames [kinds][]byte

func (f *Frames) of(k Kind) []byte {
	if f[k] == nil {
		return f[Plain]
	}
	return f[k]
}

// A seat is where a Subscriber belongs. It has room for one pointer only.
type seat struct {
	shard *Shard
	kind  Kind
}
