package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/nu7hatch/webrocket/protocol/pusher"
)

const healthHelp = `
It asks the admin port of a server whether every event loop makes progress, and
ends with status 0 or 1: for the health check of a container, which has no other
program in it. Where the admin port is off it asks the port for clients, which shows
that one of the event loops answers. FILE is the configuration of the server; without
it there are the variables.

  -admin ADDRESS   where the server has its admin port (default
                   127.0.0.1:9773, or ROCKET_ADMIN)
  -ready           ask whether new connections are served instead

Examples:
  rocket health
  rocket health -ready -admin 10.0.0.7:9773
`

// healthTimeout is how long an answer may take.
const healthTimeout = 5 * time.Second

// runHealth is the command health.
func runHealth(ctx context.Context, p *program, args []string) error {
	fs := newFlags("health")
	var remote adminClient
	remote.register(fs, p)
	ready := fs.Bool("ready", false, "")
	file, err := parseServeArgs(fs, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	if file != "" || remote.address == "off" {
		c, err := sources{file: file, getenv: p.getenv}.load()
		if err != nil {
			return err
		}
		if !given(fs, "admin") {
			remote = adminClient{c.admin, c.adminToken}
		}
		if remote.address == "off" {
			return p.askClientPort(ctx, c, *ready)
		}
	}
	path := "/livez"
	if *ready {
		path = "/readyz"
	}
	answer, err := remote.get(ctx, path)
	if err != nil {
		return err
	}
	fmt.Fprint(p.stdout, string(answer))
	return nil
}

// given reports whether a flag is on the command line.
func given(fs *flag.FlagSet, name string) (found bool) {
	fs.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// askClientPort asks a server without an admin port where its clients connect. Any
// answer shows that it lives. One that is ready wants a WebSocket handshake; others
// are refused in another way.
func (p *program) askClientPort(ctx context.Context, c *config, ready bool) error {
	scheme := "http://"
	if c.secure() && c.tlsPort == 0 {
		scheme = "https://"
	}
	url := scheme + hostPort(c.host, c.port) + c.anyPath()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// It is this machine's server, whatever names its certificate has.
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DialContext: c.dialAsProxy,
	}}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	var alert *net.OpError
	switch {
	case errors.As(err, &alert) && alert.Op == "remote error": // it wants a certificate of clients
		fmt.Fprintf(p.stdout, "%s speaks TLS\n", url)
		return nil
	case err != nil:
		return fmt.Errorf("cannot reach %s: %w; is the server running?", url, innermost(err))
	}
	_ = response.Body.Close()
	if ready && response.StatusCode != http.StatusUpgradeRequired {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	fmt.Fprintf(p.stdout, "%s answers\n", url)
	return nil
}

// anyPath returns a path at which clients connect.
func (c *config) anyPath() string {
	if len(c.hubs) > 0 {
		return c.hubs[0].path
	}
	return (&pusher.Apps{Prefix: c.appsPrefix}).Paths(c.apps[0].Config)[0]
}

// dialAsProxy connects to the server, and begins with a PROXY header where the server
// wants one from this machine.
func (c *config) dialAsProxy(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	here, _ := netip.ParseAddrPort(conn.LocalAddr().String())
	trusted, _ := networks(c.proxyFrom)
	if slices.ContainsFunc(trusted, func(n netip.Prefix) bool { return n.Contains(here.Addr().Unmap()) }) {
		if _, err := io.WriteString(conn, "PROXY UNKNOWN\r\n"); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// direct is a client that uses no proxy, whatever HTTP_PROXY says: a server is asked
// where it is.
var direct = &http.Client{Transport: &http.Transport{}}

// adminClient asks the admin port of a server.
type adminClient struct{ address, token string }

// register adds the flag that says where it is. The token is not for flags,
// which other users of the machine can see.
func (a *adminClient) register(fs *flag.FlagSet, p *program) {
	fs.StringVar(&a.address, "admin", cmp.Or(strings.TrimSpace(p.getenv("ROCKET_ADMIN")), "127.0.0.1:9773"), "")
	a.token = strings.TrimSpace(p.getenv("ROCKET_ADMIN_TOKEN"))
}

// url returns where a path is. A server that listens on every address is
// reached at this machine's own.
func (a *adminClient) url(path string) string {
	host, port, err := net.SplitHostPort(strings.TrimPrefix(a.address, "http://"))
	if err != nil {
		return "http://" + strings.TrimPrefix(a.address, "http://") + path
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + path
}

// get returns the body of the answer, or an error that has it.
func (a *adminClient) get(ctx context.Context, path string) ([]byte, error) {
	return a.ask(ctx, http.MethodGet, path, nil)
}

// ask is get for any method and body.
func (a *adminClient) ask(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	if a.address == "off" {
		return nil, errors.New("the admin port is off (ROCKET_ADMIN)")
	}
	request, err := http.NewRequestWithContext(ctx, method, a.url(path), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
	response, err := direct.Do(request)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the admin port at %s: %w; is the server running, with its admin port there?", a.address, innermost(err))
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode == http.StatusUnauthorized:
		return nil, errors.New("the server wants its admin token; set ROCKET_ADMIN_TOKEN")
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the server answers %s: %s", response.Status, explanation(answer))
	}
	return answer, nil
}

// explanation returns what the body of a failed request says: that of the API is
// {"error":…}, and that of a probe is text.
func explanation(body []byte) string {
	var object struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &object) == nil && object.Error != "" {
		return strings.TrimPrefix(object.Error, "webrocket: ")
	}
	return strings.TrimSpace(string(body))
}
