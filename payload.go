package webrocket

import (
	"errors"

	"github.com/nu7hatch/webrocket/auth"
	"github.com/nu7hatch/webrocket/hub"
)

// Payload is one message of the native protocol, decoded: an object with one
// member that names the event, and perhaps an "id". No function of this package
// takes or returns a Payload: the names in this file are those of webrocket
// 0.2, kept on purpose for programs that build or read messages with them.
//
//	Payload{"subscribe": map[string]any{"channel": "news"}, "id": 7}
type Payload map[string]any

// Data is the object that belongs to the event of a Payload.
type Data map[string]any

// The replies of the native protocol. Do not modify them.
var (
	Ok                 = Payload{"ok": true}
	InvalidData        = Payload{"err": hub.InvalidData.String()}
	InvalidCredentials = Payload{"err": hub.InvalidCredentials.String()}
	InvalidChannelName = Payload{"err": hub.InvalidChannelName.String()}
	InvalidChannel     = Payload{"err": hub.InvalidChannel.String()}
	AccessDenied       = Payload{"err": hub.AccessDenied.String()}
	LimitExceeded      = Payload{"err": hub.LimitExceeded.String()}
	RateLimited        = Payload{"err": hub.RateLimited.String()}
)

// errPayload is the error of Event and Data if there is not exactly one member
// beside the id.
var errPayload = errors.New("webrocket: a payload has one member beside the id")

// Event returns the name of the event, or an error if there is not exactly one.
func (p Payload) Event() (string, error) {
	event, members := "", 0
	for name := range p {
		if name != "id" {
			event = name
			members++
		}
	}
	if members != 1 {
		return "", errPayload
	}
	return event, nil
}

// Data returns the object that belongs to the event, or an error if there is
// none: the value of {"logout":true} is not an object.
func (p Payload) Data() (Data, error) {
	event, err := p.Event()
	if err != nil {
		return nil, err
	}
	switch data := p[event].(type) {
	case Data:
		return data, nil
	case map[string]any:
		return data, nil
	}
	return nil, errors.New("webrocket: the data of " + event + " is not an object")
}

// Credentials are the secrets of a hub, one for each access. With an empty
// secret every client gets that access.
type Credentials = auth.Credentials

// Access is what a session may do.
type Access = auth.Access

// Access levels. ReadWriteAccess includes reading.
const (
	ReadOnlyAccess  = auth.ReadOnly
	ReadWriteAccess = auth.ReadWrite
)

// AccessCodes are the names of the access levels on the wire. Do not modify it.
var AccessCodes = auth.Codes
