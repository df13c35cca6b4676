package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A backend publishes by HTTP on one connection, one event after the other.
type backend struct {
	dialect apiDialect
	addr    string
	stream  uint32
	data    []byte

	// Read after publish has returned.
	sent, refused int64
	took          *hdrhistogram.Histogram // of the measurement
}

func newBackend(d apiDialect, addr string, stream uint32, size int) *backend {
	return &backend{dialect: d, addr: addr, stream: stream, data: payload(size), took: newHistogram()}
}

// publish publishes until the measurement is over.
func (b *backend) publish(ctx context.Context, p *phases) error {
	conn, err := net.Dial("tcp4", b.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	answers := bufio.NewReader(conn)
	var request, body []byte
	for p.now.Load() != phaseOver {
		b.sent++
		putStamp(b.data[1:], b.stream, uint32(b.sent), 0)
		request = b.dialect.AppendPost(request[:0], b.addr, apiKey, channelName(0), b.data)
		at := time.Now()
		if _, err := conn.Write(request); err != nil {
			return err
		}
		var status int
		if status, body, err = readAnswer(answers, body[:0]); err != nil {
			return err
		}
		if p.now.Load() == phaseMeasured {
			_ = b.took.RecordValue(min(time.Since(at).Nanoseconds(), maxLatency)) // it is in range
		}
		if status != http.StatusOK || !b.dialect.Posted(body) {
			if b.refused++; b.refused > 100 {
				return fmt.Errorf("it refuses: %d %.200s", status, body)
			}
		}
	}
	return nil
}

var errAnswer = errors.New("an answer that is not understood")

// readAnswer reads an answer with a Content-Length, and appends its body. It makes the generator less work than net/http
// would.
func readAnswer(r *bufio.Reader, body []byte) (status int, _ []byte, err error) {
	length := -1
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first {
			if _, err := fmt.Sscanf(string(line), "HTTP/1.1 %d", &status); err != nil {
				return 0, nil, fmt.Errorf("%w: %.100q", errAnswer, line)
			}
			continue
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			length = 0
			for _, digit := range bytes.TrimSpace(value) {
				length = length*10 + int(digit-'0')
			}
		}
	}
	if length < 0 || length > maxFrame {
		return 0, nil, fmt.Errorf("%w: it has no Content-Length", errAnswer)
	}
	body = append(body, make([]byte, length)...)
	_, err = io.ReadFull(r, body)
	return status, body, err
}

// An ear is the subscriber that hears all backends, and knows what comes next of each.
type ear struct {
	verifier
	dialect Dialect
	conn    net.Conn
	in      *bufio.Reader
	data    []byte       // of a publish; the stamp is that of the one that is expected
	owed    atomic.Int64 // deliveries that are to come in all, once that is known
}

// listenTo subscribes to the channel of a run.
func listenTo(d Dialect, addr string, backends, size int) (*ear, error) {
	conn, err := net.Dial("tcp4", addr)
	if err != nil {
		return nil, err
	}
	e := &ear{dialect: d, conn: conn, in: bufio.NewReaderSize(conn, 2*maxFrame), data: payload(size)}
	e.newCells(backends)
	if err := e.subscribe(addr); err != nil {
		conn.Close()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return e, nil
}

func (e *ear) subscribe(addr string) error {
	path, _ := e.dialect.Handshake()
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", path, addr)
	if _, err := e.conn.Write(request); err != nil {
		return err
	}
	response, err := http.ReadResponse(e.in, nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("%w: %s", errAnswer, response.Status)
	}
	setUp := appendFrame(nil, e.dialect.Opcode(), e.dialect.AppendHello(nil, ""))
	setUp = appendFrame(setUp, e.dialect.Opcode(), e.dialect.AppendSubscribe(nil, channelName(0)))
	if _, err := e.conn.Write(setUp); err != nil {
		return err
	}
	for replies := 0; replies < 2; {
		err := e.next(func(m Message) {
			if m.Kind == Reply {
				replies++
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// next reads a frame, and calls f for each of its messages.
func (e *ear) next(f func(Message)) error {
	for {
		b, _ := e.in.Peek(e.in.Buffered()) // they are there
		opcode, start, end, err := parseFrame(b)
		switch {
		case errors.Is(err, errShort):
			if _, err := e.in.Peek(len(b) + 1); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		case opcode == opClose:
			return fmt.Errorf("%w: it closes the connection", errAnswer)
		case opcode == opPing:
			_, err = e.conn.Write(appendFrame(nil, opPong, b[start:end]))
		case opcode == e.dialect.Opcode():
			for rest := b[start:end]; len(rest) > 0; {
				m, n, err := e.dialect.Parse(rest)
				if err != nil {
					return err
				}
				f(m)
				rest = rest[n:]
			}
		}
		_, _ = e.in.Discard(end) // they are there
		return err
	}
}

// lookUp is how often a silent ear looks whether all has come.
const lookUp = 100 * time.Millisecond

// listen takes deliveries until all have come, or nothing comes for so long.
func (e *ear) listen(patience time.Duration) error {
	var since time.Time // nothing has come
	for {
		delivered := e.Delivered
		_ = e.conn.SetReadDeadline(time.Now().Add(lookUp))
		var err error
		for err == nil {
			err = e.next(e.take)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		owed := e.owed.Load()
		if e.Delivered > delivered || owed == 0 {
			since = time.Now()
		}
		if owed > 0 && (e.Delivered >= owed || time.Since(since) > patience) {
			return nil
		}
	}
}

// take looks at a delivery.
func (e *ear) take(m Message) {
	if m.Kind != Delivery {
		return
	}
	stream, seq, _, ok := uint32(0), uint32(0), int64(0), len(m.Data) == len(e.data)
	if ok {
		stream, seq, _, ok = parseStamp(m.Data[1:])
	}
	if !ok || int(stream) >= len(e.verifier.next) || !bytes.Equal(m.Data[1+stampLen:], e.data[1+stampLen:]) {
		e.Corrupted++
		return
	}
	if string(m.Channel) != channelName(0) {
		e.Astray++
		return
	}
	e.see(stream, seq)
}
