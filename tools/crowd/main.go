// Command crowd shows what a restart of a server means for its clients. It keeps
// many WebSocket connections open, runs a command that restarts the server, and
// waits until every client has come back: after a random time of half a second to a
// second, and again after each attempt that fails. One of a hundred has vanished: it
// neither answers the server nor comes back, and no restart may wait long for it.
//
//	crowd 2000 127.0.0.1:9772 systemctl restart rocket
//
// It prints one line, and ends with status 1 if the port refused connections for
// more than a second, or if most clients came back within the same tenth of a second.
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	refusedMost = time.Second      // for which the port may refuse connections
	patience    = 40 * time.Second // until everybody is back
	pauseLeast  = 500 * time.Millisecond
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: crowd CLIENTS HOST:PORT COMMAND [ARGUMENT ...]")
		os.Exit(2)
	}
	n, err := strconv.Atoi(os.Args[1])
	if err == nil {
		err = run(n, os.Args[2], os.Args[3:])
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// run restarts the server at addr under n clients.
func run(n int, addr string, command []string) error {
	c := crowd{addr: addr}
	var clients sync.WaitGroup
	for i := range n + n/100 {
		conn, err := dial(addr)
		if err != nil {
			return fmt.Errorf("client %d, before the restart: %w", i, err)
		}
		if i < n {
			clients.Go(func() { c.comeBack(conn) })
		} else {
			defer conn.Close() // vanished
		}
	}
	restart := exec.Command(command[0], command[1:]...)
	restart.Stdout, restart.Stderr = os.Stderr, os.Stderr
	if err := restart.Run(); err != nil {
		return fmt.Errorf("%v: %w", command, err)
	}
	back := make(chan struct{})
	go func() {
		clients.Wait()
		close(back)
	}()
	select {
	case <-back:
	case <-time.After(patience):
		return fmt.Errorf("not everybody is back %v after the restart", patience)
	}
	return c.report()
}

// crowd is what has become of all clients.
type crowd struct {
	addr string

	mu      sync.Mutex
	out     []time.Duration // for how long each had no connection
	came    []time.Time     // when each was back
	refused []time.Time     // when an attempt failed
}

// comeBack waits for the end of a connection, and connects again.
func (c *crowd) comeBack(conn *client) {
	conn.untilClosed()
	left := time.Now()
	for {
		time.Sleep(pauseLeast + rand.N(pauseLeast))
		next, err := dial(c.addr)
		c.mu.Lock()
		now := time.Now()
		if err == nil {
			c.out, c.came = append(c.out, now.Sub(left)), append(c.came, now)
		} else {
			c.refused = append(c.refused, now)
		}
		c.mu.Unlock()
		if err == nil {
			go next.untilClosed() // it stays until the end of the process
			return
		}
	}
}

// report prints what has happened, and says what should not have.
func (c *crowd) report() error {
	slices.Sort(c.out)
	slices.SortFunc(c.came, time.Time.Compare)
	slices.SortFunc(c.refused, time.Time.Compare)
	var refusing time.Duration
	if len(c.refused) > 0 {
		refusing = c.refused[len(c.refused)-1].Sub(c.refused[0])
	}
	busiest := 0
	for i, first := 0, 0; i < len(c.came); i++ {
		for c.came[i].Sub(c.came[first]) > time.Second/10 {
			first++
		}
		busiest = max(busiest, i-first+1)
	}
	fmt.Printf("%d back, out for %.1f s in the median and %.1f s at most; %d attempts refused within %.1f s; %d came in the busiest tenth of a second\n",
		len(c.out), c.out[len(c.out)/2].Seconds(), c.out[len(c.out)-1].Seconds(), len(c.refused), refusing.Seconds(), busiest)
	switch {
	case refusing > refusedMost:
		return errors.New("the port refused connections for too long")
	case busiest > len(c.came)/2:
		return errors.New("most clients came back at the same time")
	}
	return nil
}

// client is one connection.
type client struct {
	net.Conn
	read *bufio.Reader
}

// dial connects, and ends the opening handshake (RFC 6455 §4.1).
func dial(addr string) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	c := &client{conn, bufio.NewReader(conn)}
	_, err = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr)
	if err == nil {
		var answer *http.Response
		if answer, err = http.ReadResponse(c.read, nil); err == nil && answer.StatusCode != http.StatusSwitchingProtocols {
			err = errors.New(answer.Status)
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// untilClosed answers pings and the Close frame, and returns when the connection
// has ended.
func (c *client) untilClosed() {
	defer c.Close()
	for {
		var head [2]byte
		if _, err := io.ReadFull(c.read, head[:]); err != nil {
			return
		}
		length := int(head[1] & 0x7f)
		if length == 126 {
			var long [2]byte
			if _, err := io.ReadFull(c.read, long[:]); err != nil {
				return
			}
			length = int(binary.BigEndian.Uint16(long[:]))
		}
		payload := make([]byte, length)
		if _, err := io.ReadFull(c.read, payload); err != nil {
			return
		}
		const closing, ping, pong = 8, 9, 10
		answer := map[byte]byte{closing: closing, ping: pong}[head[0]&0xf]
		if answer != 0 { // with a mask of zeros, which changes nothing
			_, _ = c.Write(append([]byte{0x80 | answer, 0x80 | head[1], 0, 0, 0, 0}, payload...))
		}
	}
}
