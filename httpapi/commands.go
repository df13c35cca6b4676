package httpapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// headMax is how long the first line of a POST to /v1/commands may be, in bytes.
const headMax = 1 << 10

// commands is POST /v1/commands: the first line says of which stream, each further one
// is a command. The replies come in the stream. What follows the first line is read for
// a stream that there is.
func (a *API) commands(w http.ResponseWriter, r *http.Request, _ string) error {
	body := bufio.NewReaderSize(bodyOf(w, r), headMax)
	first, err := body.ReadSlice('\n')
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return bodyProblem(err)
	}
	session, seq, err := readHead(first)
	if err != nil {
		return err
	}
	s := a.streamOf(session)
	if s == nil {
		return errNoSession
	}
	rest, err := readAll(body)
	if err != nil {
		return err
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
	if err := s.obey(seq, lines); err != nil {
		return err
	}
	return reply(w, http.StatusAccepted, json.RawMessage(`{"ok":true}`))
}

// readHead reads the first line.
func readHead(line []byte) (session string, seq uint64, err error) {
	err = members(line, func(name string, value json.RawMessage) error {
		switch name {
		case "session":
			return text(name, value, &session)
		case "seq":
			return json.Unmarshal(value, &seq)
		}
		return unknown(name)
	})
	if err != nil {
		return "", 0, invalid(`the first line: want {"session":"…","seq":1}, then a command on each line`)
	}
	return session, seq, nil
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
