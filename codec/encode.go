package codec

import (
	"strconv"
	"unicode/utf8"

	"github.com/goccy/go-json"
)

// AppendReply extends dst by {"ok":true} or {"err":…}, with the reason, and the id as it was sent.
func (JSON) AppendReply(dst []byte, r Reply) []byte {
	if r.Err == "" {
		dst = append(dst, `{"ok":true`...)
	} else {
		dst = appendString(append(dst, `{"err":`...), []byte(r.Err))
	}
	if r.Reason != "" {
		dst = appendString(append(dst, `,"reason":`...), []byte(r.Reason))
	}
	if r.ID != nil {
		dst = append(append(dst, `,"id":`...), r.ID...)
	}
	if r.Channel != nil {
		dst = appendString(append(dst, `,"channel":`...), r.Channel)
	}
	if r.Login != nil {
		dst = r.Login.append(dst)
	}
	if r.Begun != nil {
		dst = r.Begun.append(dst)
	}
	dst = r.Stored.append(dst)
	if r.Page != nil {
		dst = r.Page.append(dst)
	}
	if r.Present != nil {
		dst = r.Present.append(dst)
	}
	if r.Results != nil {
		dst = appendResults(dst, r.Results)
	}
	return append(dst, '}')
}

func (l *Login) append(dst []byte) []byte {
	dst = appendString(append(dst, `,"client":`...), []byte(l.Client))
	if l.User != "" {
		dst = appendString(append(dst, `,"user":`...), []byte(l.User))
	}
	if l.Expires >= 0 {
		dst = appendNumber(dst, `,"expires":`, uint64(l.Expires))
	}
	if l.Version != "" {
		dst = appendString(append(dst, `,"version":`...), []byte(l.Version))
	}
	if l.PingInterval > 0 {
		dst = appendNumber(dst, `,"pingInterval":`, uint64(l.PingInterval))
	}
	if l.MaxMessageSize > 0 {
		dst = appendNumber(dst, `,"maxMessageSize":`, uint64(l.MaxMessageSize))
	}
	return dst
}

func appendResults(dst []byte, results []Reply) []byte {
	dst = append(dst, `,"results":[`...)
	for i, r := range results {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = JSON{}.AppendReply(dst, r)
	}
	return append(dst, ']')
}

func (b *Begun) append(dst []byte) []byte {
	if b.Epoch != "" {
		dst = appendString(append(dst, `,"epoch":`...), []byte(b.Epoch))
		dst = appendNumber(dst, `,"offset":`, b.Offset)
		if b.Replays {
			dst = appendNumber(dst, `,"top":`, b.Top)
		}
	}
	if b.Asked {
		dst = strconv.AppendBool(append(dst, `,"recovered":`...), b.Recovered)
	}
	if b.Lost > 0 {
		dst = appendNumber(dst, `,"lost":`, b.Lost)
	}
	return dst
}

func (s Stored) append(dst []byte) []byte {
	if s.Offset > 0 {
		dst = appendNumber(dst, `,"offset":`, s.Offset)
	}
	if s.Keyed {
		dst = strconv.AppendBool(append(dst, `,"duplicate":`...), s.Duplicate)
	}
	return dst
}

func (p *Page) append(dst []byte) []byte {
	dst = appendString(append(dst, `,"epoch":`...), []byte(p.Epoch))
	dst = appendNumber(dst, `,"first":`, p.First)
	dst = appendNumber(dst, `,"top":`, p.Top)
	dst = append(dst, `,"events":[`...)
	for i, e := range p.Events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, e...)
	}
	return strconv.AppendBool(append(dst, `],"more":`...), p.More)
}

func (p *Present) append(dst []byte) []byte {
	dst = appendNumber(dst, `,"version":`, p.Version)
	dst = appendNumber(dst, `,"clients":`, uint64(p.Clients))
	dst = appendNumber(dst, `,"users":`, uint64(p.Users))
	if p.Listed {
		dst = appendMembers(append(dst, `,"members":`...), p.Members)
		dst = strconv.AppendBool(append(dst, `,"more":`...), p.More)
	}
	return dst
}

func (m *Moves) append(dst []byte) []byte {
	dst = appendNumber(dst, `{"from":`, m.From)
	dst = appendNumber(dst, `,"version":`, m.Version)
	dst = appendNumber(dst, `,"clients":`, uint64(m.Clients))
	dst = appendNumber(dst, `,"users":`, uint64(m.Users))
	if len(m.Joined) > 0 {
		dst = appendMembers(append(dst, `,"joined":`...), m.Joined)
	}
	if len(m.Left) > 0 {
		dst = appendMembers(append(dst, `,"left":`...), m.Left)
	}
	return append(dst, '}')
}

func appendMembers(dst []byte, all []Member) []byte {
	dst = append(dst, '[')
	for i, m := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = m.append(dst)
	}
	return append(dst, ']')
}

func (m *Member) append(dst []byte) []byte {
	dst = append(dst, '{')
	if m.Client != "" {
		dst = append(appendString(append(dst, `"client":`...), []byte(m.Client)), ',')
	}
	if m.User != "" {
		dst = append(appendString(append(dst, `"user":`...), []byte(m.User)), ',')
	}
	if m.Info != "" {
		dst = append(append(append(dst, `"info":`...), m.Info...), ',')
	}
	return append(appendNumber(dst, `"at":`, m.At), '}')
}

func appendNumber(dst []byte, name string, n uint64) []byte {
	return strconv.AppendUint(append(dst, name...), n, 10)
}

// AppendEvent extends dst by {"event":…,"channel":…,"data":…}. The data must be valid JSON; it is copied as it is.
func (JSON) AppendEvent(dst []byte, e Event) []byte {
	dst = appendString(append(dst, `{"event":`...), e.Event)
	dst = appendString(append(dst, `,"channel":`...), e.Channel)
	if e.Data != nil {
		dst = append(append(dst, `,"data":`...), e.Data...)
	}
	if e.Offset > 0 {
		return JSON{}.AppendOffset(dst, e.Offset)
	}
	return append(dst, '}')
}

// AppendOffset extends dst, an event without its last byte, by the offset and the end. The offset is the last member of
// an event, so that one that is compressed already can get it.
func (JSON) AppendOffset(dst []byte, offset uint64) []byte {
	return append(appendNumber(dst, `,"offset":`, offset), '}')
}

// EventName returns the name in an event that AppendEvent has made.
func (JSON) EventName(event []byte) string {
	s := scanner{b: event}
	if !s.take('{') {
		return ""
	}
	if name, ok := s.next(true); !ok || string(name) != "event" {
		return ""
	}
	at := s.i
	if name := s.text(); name != nil {
		return string(name)
	}
	s.i = at // there are escapes in it
	var name string
	_ = json.Unmarshal(s.raw(), &name)
	return name
}

// AppendLost extends dst by {"lost":n,"channel":…}, which tells a subscriber how many events it has missed.
func (JSON) AppendLost(dst []byte, l Lost) []byte {
	dst = strconv.AppendInt(append(dst, `{"lost":`...), int64(l.N), 10)
	dst = appendString(append(dst, `,"channel":`...), l.Channel)
	if l.Epoch != "" {
		dst = appendString(append(dst, `,"epoch":`...), []byte(l.Epoch))
	}
	if l.Offset > 0 {
		return JSON{}.AppendOffset(dst, l.Offset)
	}
	return append(dst, '}')
}

// AppendNotice extends dst by {"expires":n}, {"subscribed":…,"channel":…}, {"unsubscribed":…,"channel":…},
// {"presence":…,"channel":…} or {"presenceEnded":…,"channel":…}.
func (JSON) AppendNotice(dst []byte, n Notice) []byte {
	switch {
	case n.Subscribed != "":
		dst = appendString(append(dst, `{"subscribed":`...), []byte(n.Subscribed))
	case n.Moves != nil:
		dst = n.Moves.append(append(dst, `{"presence":`...))
	case n.Unsubscribed != "":
		dst = appendString(append(dst, `{"unsubscribed":`...), []byte(n.Unsubscribed))
	case n.Unwatched != "":
		dst = appendString(append(dst, `{"presenceEnded":`...), []byte(n.Unwatched))
	default:
		return append(strconv.AppendInt(append(dst, `{"expires":`...), int64(n.Expires), 10), '}')
	}
	if n.Pattern != nil {
		return append(appendString(append(dst, `,"pattern":`...), n.Pattern), '}')
	}
	dst = appendString(append(dst, `,"channel":`...), n.Channel)
	if n.Reason != "" {
		dst = appendString(append(dst, `,"reason":`...), []byte(n.Reason))
	}
	if n.Begun != nil {
		dst = n.Begun.append(dst)
	}
	return append(dst, '}')
}

// AppendEventFrame returns the frame in which subscribers get an event, in one allocation.
func AppendEventFrame(c Codec, e Event) []byte {
	const members, offset = `{"event":"","channel":"","data":}`, `,"offset":9007199254740991`
	room := frameHeaderMax + len(members) + len(e.Event) + len(e.Channel) + len(e.Data)
	if e.Offset > 0 {
		room += len(offset)
	}
	b := make([]byte, frameHeaderMax, room)
	b = c.AppendEvent(b, e)
	var head [frameHeaderMax]byte
	header := AppendHeader(head[:0], c.Opcode(), len(b)-frameHeaderMax)
	frame := b[frameHeaderMax-len(header):]
	copy(frame, header)
	return frame
}

// appendString extends dst by s as a JSON string (RFC 8259 §7).
// What is not valid UTF-8 becomes U+FFFD, so that a text message is always valid.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	for len(s) > 0 {
		n := plainPrefix(s)
		dst = append(dst, s[:n]...)
		s = s[n:]
		if len(s) == 0 {
			break
		}
		r, n := utf8.DecodeRune(s)
		dst = appendRune(dst, r)
		s = s[n:]
	}
	return append(dst, '"')
}

// plainPrefix returns how many bytes of s stand for themselves in a JSON string.
func plainPrefix(s []byte) int {
	for i, c := range s {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return i
		}
	}
	return len(s)
}

// appendRune extends dst by a character as it must be within a JSON string: "All Unicode characters may be placed
// within the quotation marks, except for the characters that MUST be escaped: quotation mark, reverse solidus, and
// the control characters (U+0000 through U+001F)." (RFC 8259 §7)
func appendRune(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r < ' ':
		return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
	default:
		return utf8.AppendRune(dst, r)
	}
}
