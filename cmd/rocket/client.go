package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"github.com/nu7hatch/webrocket/codec"
)

// clientFlags are the flags that subscribe and publish share.
type clientFlags struct {
	url, secret string
	token       string
	ca          string // file of authorities
	insecure    bool   // any certificate will do
}

// clientFlagsHelp explains those that are the same in both.
const clientFlagsHelp = `  -ca FILE         certificate authorities to trust for wss://, in PEM (default those
                   of the system)
  -insecure        accept any certificate, also a self-signed one
`

// exitStatusHelp explains how the clients end.
const exitStatusHelp = `Exit status: 0 success or Ctrl-C, 1 another failure, 2 the command line is not valid,
3 no connection to the server, or the connection was lost, 4 the server refuses,
5 the server closed the connection.
`

const defaultURL = "ws://localhost:9772/"

func (c *clientFlags) register(fs *flag.FlagSet) {
	fs.StringVar(&c.url, "url", defaultURL, "")
	fs.StringVar(&c.secret, "secret", "", "")
	fs.StringVar(&c.token, "token", "", "")
	fs.StringVar(&c.ca, "ca", "", "")
	fs.BoolVar(&c.insecure, "insecure", false, "")
}

// client is one connection to a server.
type client struct {
	url  string
	conn *websocket.Conn

	// inbox has what the server sends. It is closed when the connection has
	// ended, and err then says why. A goroutine of its own reads, so that pings
	// are answered while the client waits for something else.
	inbox chan []byte
	err   error
	quit  chan struct{} // closed when nothing is taken from inbox any more
}

// dialTimeout is how long a server may take to accept a connection.
const dialTimeout = 30 * time.Second

// connect opens a connection and logs in with an access. The session lasts
// until close.
func (p *program) connect(ctx context.Context, flags clientFlags, access string) (*client, error) {
	url := flags.url
	if !strings.Contains(url, "://") {
		url = "ws://" + url
	}
	if err := checkURL(url); err != nil {
		return nil, err
	}
	options, err := flags.options()
	if err != nil {
		return nil, err
	}
	dialing, cancel := context.WithTimeoutCause(ctx, dialTimeout, fmt.Errorf("no answer within %s", dialTimeout))
	defer cancel()
	conn, response, err := websocket.Dial(dialing, url, options)
	if err != nil {
		return nil, dialError(url, response, cmp.Or(context.Cause(dialing), err))
	}
	conn.SetReadLimit(-1) // the server is trusted, and has a limit of its own
	c := &client{url: url, conn: conn, inbox: make(chan []byte), quit: make(chan struct{})}
	go c.read()
	if err := c.do(ctx, request{Auth: p.login(flags, access)}, ignore); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// login returns how to log in: with a token if there is one. A flag goes before the
// environment.
func (p *program) login(flags clientFlags, access string) *authArgs {
	variable := func(name string) string { return strings.TrimRight(p.getenv(name), "\r\n") }
	switch {
	case flags.token != "":
		return &authArgs{Token: flags.token}
	case flags.secret == "" && variable("ROCKET_TOKEN") != "":
		return &authArgs{Token: variable("ROCKET_TOKEN")}
	}
	secret := cmp.Or(flags.secret, variable("ROCKET_SECRET"))
	return &authArgs{Access: access, Secret: &secret}
}

// checkURL returns why a server cannot be at a URL.
func checkURL(url string) error {
	u, err := neturl.Parse(url)
	switch {
	case err != nil:
		return usageError(fmt.Sprintf("-url %q: %v", url, innermost(err)))
	case !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme):
		return usageError(fmt.Sprintf("-url %q: want ws:// or wss://", url))
	case u.Hostname() == "":
		return usageError(fmt.Sprintf("-url %q: want a host, as in ws://localhost:9772/", url))
	}
	return nil
}

// options returns how to connect.
func (c clientFlags) options() (*websocket.DialOptions, error) {
	config := &tls.Config{InsecureSkipVerify: c.insecure}
	if c.ca != "" {
		pool, err := poolOf(c.ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	transport := &http.Transport{TLSClientConfig: config} // without a proxy
	return &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}}, nil
}

// failure is the error of a client that cannot connect, has lost its
// connection, or is refused.
type failure struct {
	status int  // the exit status
	passes bool // another connection may do better: the server restarts, or has no room at the moment
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// passes reports whether it may help to connect again.
func passes(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.passes
}

// refused is the failure of a request that the server does not grant.
func refused(format string, args ...any) error {
	return &failure{status: statusRefused, err: fmt.Errorf(format, args...)}
}

func ignore([]byte) error { return nil }

// read puts messages into the inbox until the connection ends.
func (c *client) read() {
	defer close(c.inbox)
	for {
		_, message, err := c.conn.Read(context.Background())
		if err != nil {
			c.err = err
			return
		}
		select {
		case c.inbox <- message:
		case <-c.quit:
			return
		}
	}
}

// close does the closing handshake, and waits until the reading has ended.
func (c *client) close() {
	close(c.quit)
	// The process ends, whatever the server answers.
	_ = c.conn.Close(websocket.StatusNormalClosure, "")
	for range c.inbox {
	}
}

// receive returns the next message of the server.
func (c *client) receive(ctx context.Context) ([]byte, error) {
	select {
	case message, ok := <-c.inbox:
		if !ok {
			return nil, c.ended()
		}
		return message, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ended says why the connection has ended.
func (c *client) ended() error {
	var closed websocket.CloseError
	if !errors.As(c.err, &closed) {
		err := fmt.Errorf("the connection to %s was lost", c.url)
		if !errors.Is(c.err, io.EOF) && !errors.Is(c.err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: %w", err, innermost(c.err))
		}
		return &failure{statusUnreachable, true, err}
	}
	// After any other code the server would close the next connection, too.
	passes := slices.Contains(closedForNow, closed.Code)
	why := strings.TrimSpace(fmt.Sprintf("%d %s", closed.Code, closed.Reason))
	return &failure{statusClosed, passes, errors.New("the server closed the connection: " + why)}
}

// closedForNow are the close codes after which another connection may stay open.
var closedForNow = []websocket.StatusCode{
	websocket.StatusGoingAway, websocket.StatusServiceRestart,
	websocket.StatusInternalError, websocket.StatusTryAgainLater, websocket.StatusBadGateway,
}

// innermost returns the error without what the libraries have put around it.
func innermost(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}

// request is a command of the protocol (docs/protocol.md). One member is set.
type request struct {
	Auth      *authArgs      `json:"auth,omitempty"`
	Subscribe *subscribeArgs `json:"subscribe,omitempty"`
	Publish   *publishArgs   `json:"publish,omitempty"`
}

type authArgs struct {
	Access string  `json:"access,omitempty"`
	Secret *string `json:"secret,omitempty"`
	Token  string  `json:"token,omitempty"`
}

type subscribeArgs struct {
	Channel *string   `json:"channel,omitempty"`
	Pattern string    `json:"pattern,omitempty"` // instead of a channel
	Since   *position `json:"since,omitempty"`
	Rewind  int       `json:"rewind,omitempty"`
}

// name returns the channel or the pattern.
func (a *subscribeArgs) name() string {
	if a.Channel != nil {
		return *a.Channel
	}
	return a.Pattern
}

// position is where a client is in a channel with a history.
type position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

type publishArgs struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
	Key     string          `json:"key,omitempty"`
}

// reply is what a client looks at in a message of the server.
type reply struct {
	Event *string `json:"event"`
	Lost  *uint64 `json:"lost"`
	OK    bool    `json:"ok"`
	Err   string  `json:"err"`

	position
	Recovered bool `json:"recovered"`
	Duplicate bool `json:"duplicate"`

	// What the server tells without having been asked.
	Subscribed, Unsubscribed string
	Expires                  *int
}

// isNotice reports whether a message is no answer and no event.
func (r *reply) isNotice() bool {
	return r.Subscribed != "" || r.Unsubscribed != "" || r.Expires != nil
}

// do sends a request and waits for the reply. Events that arrive before it go
// to deliver, whose error is the end.
func (c *client) do(ctx context.Context, r request, deliver func([]byte) error) error {
	_, err := c.ask(ctx, r, deliver)
	return err
}

// ask is do that returns the reply.
func (c *client) ask(ctx context.Context, r request, deliver func([]byte) error) (reply, error) {
	message, err := encodeJSON(r)
	if err != nil {
		return reply{}, err
	}
	if err := c.conn.Write(ctx, websocket.MessageText, message); err != nil && ctx.Err() != nil {
		return reply{}, ctx.Err()
	}
	// Where writing failed, reading fails too, and knows the close code.
	for {
		message, err := c.receive(ctx)
		if err != nil {
			return reply{}, err
		}
		var got reply
		if err := json.Unmarshal(message, &got); err != nil {
			return reply{}, fmt.Errorf("%s does not speak Rocket's protocol: %w", c.url, err)
		}
		switch {
		case got.Err != "":
			return reply{}, r.explain(got.Err)
		case got.OK:
			return got, nil
		case got.Event != nil, got.Lost != nil, got.isNotice():
			if err := deliver(message); err != nil {
				return reply{}, err
			}
		default: // a hub with the codec Echo, for instance
			return reply{}, fmt.Errorf("%s does not speak Rocket's protocol: it answers neither ok nor an error", c.url)
		}
	}
}

// encodeJSON is json.Marshal that leaves <, > and & as they are.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// explain says what an error of the protocol means to the user.
func (r request) explain(code string) error {
	switch {
	case r.Auth != nil && r.Auth.Token != "" && code == "invalid_credentials":
		return refused("the server refuses the token of -token or ROCKET_TOKEN; ask rocket token explain why")
	case r.Auth != nil && code == "token_expired":
		return refused("the token has expired; give another one with -token or in ROCKET_TOKEN")
	case r.Auth != nil && code == "invalid_credentials":
		return refused("the server refuses the secret for %s access; give the right one with -secret or in ROCKET_SECRET", r.Auth.Access)
	case r.Subscribe != nil && code == "invalid_channel_name":
		return refused("%q cannot be a channel: a name has 1 to %d bytes, or as few as the server's MaxChannelName allows, and no control characters", r.Subscribe.name(), codec.MaxChannelName)
	case r.Subscribe != nil && r.Subscribe.Pattern != "" && code == "not_available":
		return refused("%q is a pattern, and the hub takes none (the server's Patterns); with -names it is the name of a channel", r.Subscribe.Pattern)
	case r.Subscribe != nil && r.Subscribe.Pattern != "" && code == "limit_exceeded":
		return refused("%q is one pattern too many for one connection (the server's MaxPatterns and MaxSubscriptions)", r.Subscribe.Pattern)
	case r.Subscribe != nil && code == "overlapping":
		return refused("%q matches what another argument matches, so its events would come twice; leave one of them out", r.Subscribe.name())
	case r.Subscribe != nil && code == "limit_exceeded":
		return refused("%q is one channel too many, for one connection (the server's MaxSubscriptions) or for the hub (MaxChannels)", r.Subscribe.name())
	case r.Publish != nil && code == "invalid_channel":
		return refused("there is no channel %q: it has no subscribers, and the server's configuration does not name it", r.Publish.Channel)
	case r.Publish != nil && code == "invalid_data" && r.Publish.Event == "":
		return refused("the server refuses the event: its name must not be empty")
	case r.Publish != nil && code == "invalid_data":
		return refused("the server refuses the event: its data has too many arrays and objects inside one another")
	case code == "rate_limited":
		return refused("the server limits how much one connection may send in a second (its CommandRate and ByteRate); send more slowly")
	default:
		return refused("the server answers %s", code)
	}
}

// forNow are the HTTP statuses with which a server, or a proxy in front of it,
// refuses for a short time only.
var forNow = []int{
	http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
	http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// dialError says why there is no connection.
func dialError(url string, response *http.Response, err error) error {
	if response != nil {
		// The client library gives the start of the body, which says why.
		body, _ := io.ReadAll(response.Body)
		return &failure{statusRefused, slices.Contains(forNow, response.StatusCode), fmt.Errorf("%s refuses: %s: %s", url, response.Status, bytes.TrimSpace(body))}
	}
	unknown, untrusted, plain := x509.UnknownAuthorityError{}, (*tls.CertificateVerificationError)(nil), tls.RecordHeaderError{}
	f := &failure{status: statusUnreachable}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		f.passes, f.err = true, fmt.Errorf("nothing listens at %s; is the server running?", url)
	case errors.As(err, &unknown):
		f.err = fmt.Errorf("no authority that is trusted here has signed the certificate of %s; name the authority with -ca, or accept any certificate with -insecure", url)
	case errors.As(err, &untrusted):
		f.err = fmt.Errorf("the certificate of %s is not trusted: %w; -insecure accepts any", url, untrusted.Err)
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &plain):
		f.err = fmt.Errorf("%s does not speak TLS at that port; use %s", url, strings.Replace(url, "s://", "://", 1))
	case strings.Contains(err.Error(), tlsAlert):
		f.err = fmt.Errorf("%s speaks TLS at that port; use %s", url, strings.Replace(url, "://", "s://", 1))
	default:
		f.passes, f.err = true, fmt.Errorf("cannot connect to %s: %w", url, innermost(err))
	}
	return f
}

// tlsAlert is in the error of net/http when a TLS server answers HTTP with an
// alert (RFC 8446 §5.1: content type 21, version 3.x). Rocket itself answers
// with HTTP.
const tlsAlert = `malformed HTTP response "\x15\x03`
