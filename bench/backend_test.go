package bench

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestReadAnswer(t *testing.T) {
	for text, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok...":                     "200 ok",
		"HTTP/1.1 429 Too Many\r\nA: b\r\ncontent-length:3\r\n\r\nno!":          "429 no!",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n": "not understood",
		"hello\r\n\r\n": "not understood",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok": "EOF",
	} {
		status, body, err := readAnswer(bufio.NewReader(strings.NewReader(text)), nil)
		switch {
		case errors.Is(err, errAnswer):
			if want != "not understood" {
				t.Errorf("%q: got %v", text, err)
			}
		case errors.Is(err, io.ErrUnexpectedEOF):
			if want != "EOF" {
				t.Errorf("%q: got %v", text, err)
			}
		case err != nil || strings.Join([]string{map[int]string{200: "200", 429: "429"}[status], string(body)}, " ") != want:
			t.Errorf("%q: got %d %s %v, want %s", text, status, body, err, want)
		}
	}
}

// What a server does wrong is counted.
func TestEar(t *testing.T) {
	data := func(stream, seq uint32, spoil byte) []byte {
		b := payload(64)
		putStamp(b[1:], stream, seq, 0)
		if spoil != 0 {
			b[50] = spoil
		}
		return b
	}
	tests := []struct {
		name   string
		events [][]byte
		owed   int64
		want   Check
	}{
		{"in order", [][]byte{data(0, 1, 0), data(1, 1, 0), data(0, 2, 0)}, 3, Check{Delivered: 3}},
		{"twice", [][]byte{data(0, 1, 0), data(0, 1, 0)}, 1, Check{Delivered: 1, Duplicated: 1}},
		{"overtaken", [][]byte{data(0, 2, 0), data(0, 1, 0)}, 2, Check{Delivered: 2, OutOfOrder: 1}},
		{"lost", [][]byte{data(0, 1, 0), data(0, 3, 0)}, 3, Check{Delivered: 2}},
		{"other bytes", [][]byte{data(0, 1, 'X')}, 1, Check{Corrupted: 1}},
		{"of nobody", [][]byte{data(7, 1, 0)}, 1, Check{Corrupted: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			here, there := net.Pipe()
			defer here.Close()
			defer there.Close()
			go func() {
				for _, e := range tt.events {
					_, _ = there.Write(serverFrame(opText, append(append([]byte(`{"event":"e","channel":"c0000000","data":`), e...), '}')))
				}
			}()
			e := &ear{dialect: rocket{}, conn: here, in: bufio.NewReaderSize(here, 2*maxFrame), data: payload(64)}
			e.newCells(2)
			e.owed.Store(tt.owed)
			if err := e.listen(time.Millisecond); err != nil {
				t.Fatal(err)
			}
			if e.Check != tt.want {
				t.Errorf("got %+v, want %+v", e.Check, tt.want)
			}
		})
	}
}
