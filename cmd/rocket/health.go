package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const healthHelp = `
It asks the admin port of a server whether every event loop makes progress, and
ends with status 0 or 1: for the health check of a container, which has no other
program in it.

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
	if err := parseOnlyFlags(fs, args); err != nil {
		return err
	}
	path := "/livez"
	if *ready {
		path = "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	answer, err := remote.get(ctx, path)
	if err != nil {
		return err
	}
	fmt.Fprint(p.stdout, string(answer))
	return nil
}

// adminClient asks the admin port of a server.
type adminClient struct{ address, token string }

// register adds the flag that says where it is. The token is not for flags,
// which other users of the machine can see.
func (a *adminClient) register(fs *flag.FlagSet, p *program) {
	fs.StringVar(&a.address, "admin", cmp.Or(p.getenv("ROCKET_ADMIN"), "127.0.0.1:9773"), "")
	a.token = p.getenv("ROCKET_ADMIN_TOKEN")
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
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w; is the server running, with its admin port there?", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode == http.StatusUnauthorized:
		return nil, errors.New("the server wants its admin token; set ROCKET_ADMIN_TOKEN")
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %s: %s", a.url(path), response.Status, strings.TrimSpace(string(answer)))
	}
	return answer, nil
}
