package faults

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// elsewhere is an address of this machine, for clients that are to be cut off; all others use 127.0.0.1.
const elsewhere = "127.0.0.2"

// cutOff drops all packets from and to an address, until heal. Only a case that is apart may do that. Packets are dropped
// where they arrive: a sender that is not let send would be told.
func cutOff(addr string) error {
	return nft(fmt.Sprintf(`table ip rocket-faults {
	chain input {
		type filter hook input priority 0;
		ip saddr %[1]s drop;
		ip daddr %[1]s drop;
	}
}`, addr))
}

// heal ends cutOff.
func heal() error { return nft("delete table ip rocket-faults") }

var errNoNft = errors.New("nft is missing; install nftables")

// nft changes the rules for packets of this network namespace.
func nft(rules string) error {
	cmd := exec.Command("nft", "-f", "-")
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(rules), &out, &out
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return errNoNft
	}
	if err != nil {
		return fmt.Errorf("nft: %w: %s", err, &out)
	}
	return nil
}
