package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// nats is the client protocol of nats-server over its WebSocket listener: lines, in binary frames that need not hold
// whole messages. Publishes are not answered; a PING behind each command of the set-up makes sure that it was done.
type nats struct{}

func (nats) Name() string                { return "nats" }
func (nats) Handshake() (string, string) { return "/", "" }
func (nats) Opcode() byte                { return opBinary }
func (nats) Acks() bool                  { return false }
func (nats) Stream() bool                { return true }

func (nats) AppendHello(dst []byte, secret string) []byte {
	return fmt.Appendf(dst, "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true,\"auth_token\":%q}\r\nPING\r\n", secret)
}

func (nats) AppendSubscribe(dst []byte, channel string) []byte {
	return fmt.Appendf(dst, "SUB %s 1\r\nPING\r\n", channel)
}

func (nats) AppendUnsubscribe(dst []byte, _ string) []byte {
	return append(dst, "UNSUB 1\r\nPING\r\n"...)
}

func (nats) AppendPublish(dst []byte, channel string, data []byte) []byte {
	return fmt.Appendf(dst, "PUB %s %d\r\n%s\r\n", channel, len(data), data)
}

var errNATS = errors.New("not a message of nats-server")

func (nats) Parse(b []byte) (Message, int, error) {
	eol := bytes.IndexByte(b, '\n')
	if eol < 0 {
		if len(b) > maxFrame {
			return Message{}, 0, errNATS
		}
		return Message{}, 0, nil
	}
	line := bytes.TrimSuffix(b[:eol], []byte("\r"))
	verb, rest, _ := bytes.Cut(line, []byte(" "))
	switch string(verb) {
	case "MSG":
		return parseMSG(b, rest, eol+1)
	case "PONG":
		return Message{Kind: Reply}, eol + 1, nil
	case "PING":
		return Message{Kind: Ask, Text: "PONG\r\n"}, eol + 1, nil
	case "INFO", "+OK":
		return Message{Kind: Noise}, eol + 1, nil
	case "-ERR":
		return Message{Kind: Refusal, Text: string(rest)}, eol + 1, nil
	}
	return Message{}, 0, errNATS
}

// parseMSG reads "subject sid size" and the data that starts at b[at:].
func parseMSG(b, args []byte, at int) (Message, int, error) {
	subject, rest, _ := bytes.Cut(args, []byte(" "))
	_, size, ok := bytes.Cut(rest, []byte(" "))
	n := 0
	for _, c := range size {
		if c < '0' || c > '9' || n > maxFrame {
			return Message{}, 0, errNATS
		}
		n = n*10 + int(c-'0')
	}
	if !ok || len(size) == 0 || n > maxFrame {
		return Message{}, 0, errNATS
	}
	if len(b) < at+n+2 {
		return Message{}, 0, nil
	}
	return Message{Kind: Delivery, Channel: subject, Data: b[at : at+n]}, at + n + 2, nil
}

func (nats) Serve(binary, dir string, port, _ int) ([]string, error) {
	file := filepath.Join(dir, "nats.conf")
	conf := fmt.Sprintf("listen: \"127.0.0.1:-1\"\nmax_pending: 256MB\nwebsocket { listen: \"127.0.0.1:%s\", no_tls: true }\n", strconv.Itoa(port))
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	return []string{binary, "-c", file}, nil
}
