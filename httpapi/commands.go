package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	commandsMax = 64

	// commandsTimeout is how long a hub may take to read commands.
	commandsTimeout = 10 * time.Second
)

func (a *API) register(id string, s *stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.streams[id] = s
}

func (a *API) unregister(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.streams, id)
}

func (a *API) streamOf(id string) *stream {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.streams[id]
}

// errNoSession is the same for a session that never was, one that has ended, and one
// of another process.
var errNoSession = &problem{http.StatusNotFound, "no_session", "this server has no stream of this session; open a new one", 0}

// commands is POST /v1/commands: the first line says of which stream, each further one
// is a command. The replies come in the stream.
func (a *API) commands(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	var head struct {
		Session string `json:"session"`
		Seq     uint64 `json:"seq"`
	}
	first, rest, _ := bytes.Cut(body, []byte{'\n'})
	if err := decode(first, &head); err != nil {
		return invalid(`the first line: want {"session":"…","seq":1}, then a command on each line`)
	}
	var lines [][]byte
	for line := range bytes.Lines(rest) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines = append(lines, line)
		}
	}
	if len(lines) > commandsMax {
		return invalid("there are %d commands; send at most %d at once", len(lines), commandsMax)
	}
	s := a.streamOf(head.Session)
	if s == nil {
		return errNoSession
	}
	if err := s.obey(head.Seq, lines); err != nil {
		return err
	}
	return reply(w, http.StatusAccepted, json.RawMessage(`{"ok":true}`))
}

// obey gives the hub commands, in the order of seq. One that is repeated, because the
// answer was lost, has no effect.
func (s *stream) obey(seq uint64, lines [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case seq == s.seq+1:
	case seq == s.seq && seq > 0:
		return nil
	default:
		return &problem{http.StatusConflict, "out_of_order", fmt.Sprintf("want seq %d: send one request at a time", s.seq+1), 0}
	}
	_ = s.pipe.SetWriteDeadline(time.Now().Add(commandsTimeout))
	if s.pipe.send(lines...) != nil {
		_ = s.pipe.Close() // what has been sent cannot be told
		return errNoSession
	}
	_ = s.pipe.SetWriteDeadline(time.Time{})
	s.seq = seq
	return nil
}
