package faults

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"

	"github.com/nu7hatch/webrocket/codec"
)

// inflateBombs are compressed messages (RFC 7692 §7.2.1) of some KiB that are thousand times as long inflated: as text
// that could be a command, and as zeros.
func inflateBombs() [][]byte {
	var bombs [][]byte
	for _, unit := range []string{"[", " ", "\x00"} {
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, flate.BestCompression) // the level is a valid one
		block := bytes.Repeat([]byte(unit), 1<<20)
		for range 32 {
			_, _ = w.Write(block) // a buffer takes everything
		}
		_ = w.Flush()
		bombs = append(bombs, bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff}))
	}
	return bombs
}

// bomb sends a compressed message and wants to be closed with 1009, "message too big" (RFC 6455 §7.4.1).
func (d dialer) bomb(ctx context.Context, compressed []byte) error {
	d.header = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	c, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer c.abort()
	frame := codec.AppendMaskedFrame(nil, codec.OpText, compressed, mask)
	frame[0] |= 0x40 // compressed
	if _, err := c.conn.Write(frame); err != nil {
		return err
	}
	_, err = c.receive()
	var end *closed
	if !errors.As(err, &end) || end.code != 1009 {
		return fmt.Errorf("got %w, want 1009", err)
	}
	return nil
}
