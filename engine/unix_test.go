package engine

import (
	"bufio"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"
)

// fileAndPort are an address of each kind.
func fileAndPort(file string) []Listener {
	return []Listener{{Addr: "127.0.0.1:0"}, {Addr: unixPrefix + file}}
}

func dialFile(t testing.TB, file string) *websocket.Conn {
	t.Helper()
	return dialWith(t, "ws://localhost/", func() (net.Conn, error) { return net.Dial("unix", file) })
}

func TestFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rocket.sock")
	e := startOn(t, Config{Loops: 2}, Endpoint{Protocol: echo}, fileAndPort(file)...)
	for range 10 {
		ws := dialFile(t, file)
		roundTrip(t, ws, []byte("hello"))
		_ = ws.CloseNow()
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is left: %v", err)
	}
}

// Who may connect is for the umask to say.
func TestFilePermissions(t *testing.T) {
	before := unix.Umask(0o027)
	defer unix.Umask(before)
	file := filepath.Join(t.TempDir(), "rocket.sock")
	startOn(t, Config{Loops: 1}, Endpoint{Protocol: echo}, fileAndPort(file)...)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("got %v, %v, want what the umask leaves", info.Mode(), err)
	}
}

// A file that a process has left is replaced; one that somebody listens on and
// one that is no socket are not.
func TestFileInUse(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "left.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	startOn(t, Config{Loops: 1}, Endpoint{Protocol: echo}, fileAndPort(left)...)
	roundTrip(t, dialFile(t, left), []byte("hello"))

	document := filepath.Join(dir, "document")
	if err := os.WriteFile(document, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{left, document, filepath.Join(dir, "nowhere", "x.sock")} {
		e := New(Config{Loops: 1}, at("/", Endpoint{Protocol: echo}))
		if err := e.Listen(fileAndPort(file)...); err == nil {
			t.Errorf("%s: no error", file)
			_ = e.Shutdown(t.Context())
		}
	}
	if text, err := os.ReadFile(document); err != nil || string(text) != "precious" {
		t.Errorf("the document has %q, %v", text, err)
	}
	roundTrip(t, dialFile(t, left), []byte("hello"))
}

// Who connects to the file is a balancer, or nobody who does is.
func TestFileProxied(t *testing.T) {
	const line = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
	addrs := make(chan string, 1)
	endpoint := Endpoint{Protocol: hooks{open: func(c *Conn) { addrs <- c.RemoteAddr().String() }}}
	for _, proxies := range [][]netip.Prefix{nil, {{}}} {
		file := filepath.Join(t.TempDir(), "rocket.sock")
		on := fileAndPort(file)
		on[1].ProxyFrom = proxies
		startOn(t, Config{Loops: 1}, endpoint, on...)
		for _, say := range []string{line + request, request} {
			conn, err := net.Dial("unix", file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte(say)); err != nil {
				t.Fatal(err)
			}
			first, _ := bufio.NewReader(conn).ReadString(' ')
			welcomed := first == "HTTP/1.1 " && len(addrs) == 1
			if want := (say == request) == (proxies == nil); welcomed != want {
				t.Errorf("balancers %v, %.10q: welcomed %t, want %t", proxies, say, welcomed, want)
			}
			if welcomed {
				if addr := <-addrs; proxies != nil && addr != "192.0.2.7:56324" {
					t.Errorf("got %s, want the client's address", addr)
				}
			}
			_ = conn.Close()
		}
	}
}

func TestFileAlone(t *testing.T) {
	e := New(Config{Loops: 1}, at("/", Endpoint{Protocol: echo}))
	if err := e.Listen(Listener{Addr: unixPrefix + filepath.Join(t.TempDir(), "x.sock")}); err == nil {
		t.Error("no error")
		_ = e.Shutdown(t.Context())
	}
}
