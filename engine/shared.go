package engine

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Shared reports whether another process listens on every TCP port of the
// engine too (SO_REUSEPORT), so that it accepts the clients that come back
// after Drain. It is false before the start and after the ports have been
// closed. Any goroutine.
func (e *Engine) Shared() (bool, error) {
	own, err := e.ports.inodes()
	if err != nil || len(own) == 0 {
		return false, err
	}
	var all []listed
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		table, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return false, fmt.Errorf("engine: %w", err)
		}
		all = append(all, listedIn(table)...)
	}
	return sharedWith(own, all), nil
}

// inodes returns the inodes of the listening sockets that are left.
func (p *ports) inodes() (map[uint64]bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := make(map[uint64]bool, len(p.sockets))
	for _, s := range p.sockets {
		var stat unix.Stat_t
		if err := unix.Fstat(s.fd, &stat); err != nil {
			return nil, fmt.Errorf("engine: fstat: %w", err)
		}
		own[stat.Ino] = true
	}
	return own, nil
}

// listed is a listening socket as /proc/net/tcp has it.
type listed struct {
	host, port string // in hexadecimal
	inode      uint64
}

// listedIn reads the listening sockets, which come before all others.
func listedIn(table []byte) (all []listed) {
	const listen = "0A" // TCP_LISTEN
	lines := bufio.NewScanner(bytes.NewReader(table))
	lines.Scan() // the heading
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != listen {
			break
		}
		host, port, _ := strings.Cut(fields[1], ":")
		inode, err := strconv.ParseUint(fields[9], 10, 64)
		if err == nil {
			all = append(all, listed{host, port, inode})
		}
	}
	return all
}

// sharedWith reports whether each address of our own sockets is also that of a
// foreign one. A foreign socket for every address of the machine answers too.
func sharedWith(own map[uint64]bool, all []listed) bool {
	foreign := make(map[string]bool)
	for _, s := range all {
		if own[s.inode] {
			continue
		}
		foreign[s.host+":"+s.port] = true
		if strings.Trim(s.host, "0") == "" {
			foreign[":"+s.port] = true
		}
	}
	found := false
	for _, s := range all {
		if !own[s.inode] {
			continue
		}
		found = true
		if !foreign[s.host+":"+s.port] && !foreign[":"+s.port] {
			return false
		}
	}
	return found
}
