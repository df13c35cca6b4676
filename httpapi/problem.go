package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/nu7hatch/webrocket"
)

// A problem is why a request is refused.
type problem struct {
	status  int
	code    string // as in the protocol, where it has one
	message string // what is wrong, and how to mend it
	retry   int    // seconds after which to try again; 0: never with the same request
}

func (p *problem) Error() string { return p.message }

func invalid(format string, args ...any) *problem {
	return &problem{http.StatusBadRequest, "invalid_data", fmt.Sprintf(format, args...), 0}
}

func denied(format string, args ...any) *problem {
	return &problem{http.StatusForbidden, "access_denied", fmt.Sprintf(format, args...), 0}
}

// problemOf returns the problem that an error of the library is.
func problemOf(err error) *problem {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, webrocket.ErrNoHub):
		return &problem{http.StatusNotFound, "invalid_hub", "there is no hub at this path; hub says which one is meant", 0}
	case errors.Is(err, webrocket.ErrTooLarge):
		return &problem{http.StatusRequestEntityTooLarge, "too_large", "the event is over the hub's MaxMessageSize", 0}
	case errors.Is(err, webrocket.ErrOverloaded):
		return &problem{http.StatusServiceUnavailable, "overloaded", "subscribers cannot be served as fast as events come; nobody got this one", 1}
	case errors.Is(err, webrocket.ErrUnavailable):
		return &problem{http.StatusServiceUnavailable, "unavailable", "the event could not be stored in time; it may be published nevertheless, so try again with the same id", 1}
	case errors.Is(err, webrocket.ErrFull):
		return &problem{http.StatusServiceUnavailable, "limit_exceeded", "the hub has MaxChannels channels already", 5}
	case errors.Is(err, webrocket.ErrInvalidEvent):
		return &problem{http.StatusBadRequest, "invalid_data", "the event needs a name, in UTF-8", 0}
	case errors.Is(err, webrocket.ErrNoHistory):
		return &problem{http.StatusNotFound, "not_available", "the channel keeps no history", 0}
	case errors.Is(err, webrocket.ErrNoPresence):
		return &problem{http.StatusNotFound, "not_available", "the channel has no presence", 0}
	default:
		return &problem{http.StatusBadRequest, "invalid_data", err.Error(), 0}
	}
}

type refusal struct {
	Err     string `json:"err"`
	Message string `json:"message"`
}

// refuse answers with what is wrong.
func refuse(w http.ResponseWriter, _ *http.Request, err error) {
	p := problemOf(err)
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retry))
	}
	if p.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	_ = reply(w, p.status, refusal{p.code, p.message})
}
