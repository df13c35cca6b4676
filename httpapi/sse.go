package httpapi

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"

	"github.com/nu7hatch/webrocket"
)

// idMax is how long the id of an event may be, in bytes. It comes with each.
const idMax = 512

// appendEvent extends dst by an event of Server-Sent Events. The data may have line
// breaks, where white space is allowed between the parts of a JSON value: each begins
// another line of data, as the client reads it, and nothing in data can begin another
// field.
func appendEvent(dst []byte, id, name string, data []byte) []byte {
	if id != "" {
		dst = append(append(append(dst, "id: "...), id...), '\n')
	}
	if name != "" {
		dst = append(append(append(dst, "event: "...), name...), '\n')
	}
	for {
		i := bytes.IndexAny(data, "\r\n")
		if i < 0 {
			break
		}
		dst = append(append(append(dst, "data: "...), data[:i]...), '\n')
		if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
			i++
		}
		data = data[i+1:]
	}
	return append(append(append(dst, "data: "...), data...), "\n\n"...)
}

// positions are how far a stream has come in its channels that have a history.
type positions struct {
	names []string // as they were asked for
	at    map[string]webrocket.Position
}

// id returns all positions as one text, "" if there are none: that is what a client
// sends as Last-Event-ID. What is too much is left out, but never of the channel that
// the event is of.
func (p *positions) id(channel string) string {
	first, ok := p.at[channel]
	if !ok {
		return ""
	}
	id := positionText(channel, first)
	for _, name := range p.names {
		at, ok := p.at[name]
		if !ok || name == channel {
			continue
		}
		if more := "," + positionText(name, at); len(id)+len(more) <= idMax {
			id += more
		}
	}
	return id
}

func positionText(channel string, p webrocket.Position) string {
	return url.QueryEscape(channel) + "@" + p.Epoch + "." + strconv.FormatUint(p.Offset, 10)
}

// parseID reads what id has returned. What is malformed is ignored: an error would keep
// an EventSource from ever connecting again.
func parseID(id string) map[string]webrocket.Position {
	at := make(map[string]webrocket.Position)
	if len(id) > 4*idMax {
		return at
	}
	for one := range strings.SplitSeq(id, ",") {
		name, position, _ := strings.Cut(one, "@")
		channel, err := url.QueryUnescape(name)
		epoch, digits, _ := strings.Cut(position, ".")
		offset, bad := strconv.ParseUint(digits, 10, 53)
		if err == nil && bad == nil && channel != "" && epoch != "" && !strings.ContainsAny(epoch, "\r\n\"\\") {
			at[channel] = webrocket.Position{Epoch: epoch, Offset: offset}
		}
	}
	return at
}
