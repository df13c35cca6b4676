package webrocket

import (
	"errors"

	"github.com/nu7hatch/webrocket/auth"
)

// Payload is one message of the native protocol, decoded: an object with one
// member that names the event, and perhaps an "id".
//
//	Payload{"subscribe": map[string]any{"channel": "news"}, "id": 7}
type Payload map[string]any

// Data is the object that belongs to the event of a Payload.
type Data map[string]any

// The replies of the native protocol. Do not modify them.
var (
	Ok                 = Payload{"ok": true}
	InvalidData        = Payload{"err": invalidData.String()}
	InvalidCredentials = Payload{"err": invalidCredentials.String()}
	InvalidChannelName = Payload{"err": invalidChannelName.String()}
	InvalidChannel     = Payload{"err": invalidChannel.String()}
	AccessDenied       = Payload{"err": accessDenied.String()}
	LimitExceeded      = Payload{"err": limitExceeded.String()}
	RateLimited        = Payload{"err": rateLimited.String()}
)

// code is the result of a command.
type code uint8

const (
	success code = iota
	invalidData
	invalidCredentials
	invalidChannelName
	invalidChannel
	accessDenied
	limitExceeded
	rateLimited
	codes // how many there are
)

// String returns the error code on the wire, "" for success.
func (c code) String() string {
	return [codes]string{
		"",
		"invalid_data",
		"invalid_credentials",
		"invalid_channel_name",
		"invalid_channel",
		"access_denied",
		"limit_exceeded",
		"rate_limited",
	}[c]
}

// errPayload is what Event and Data return for a Payload that is none.
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

// Credentials are the secrets of a hub, one for each access. An empty one opens
// that access to everybody.
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
