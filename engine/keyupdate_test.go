package engine

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/nu7hatch/webrocket/codec"
)

// trafficKeys are those with which a client of TLS 1.3 encrypts what crypto/tls
// does not send (RFC 8446 §7).
type trafficKeys struct {
	secret []byte
	iv     []byte
	aead   cipher.AEAD
	next   uint64 // number of the next record
}

// takeOver returns the keys of a client that has sent so many records.
func (m *inMemory) takeOver(t testing.TB, client *tls.Conn, records uint64) *trafficKeys {
	t.Helper()
	if suite := client.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("no other suite is known here than AES-128-GCM: %s", tls.CipherSuiteName(suite))
	}
	for line := range bytes.Lines(m.keys.Bytes()) {
		var random, secret string
		if n, _ := fmt.Sscanf(string(line), "CLIENT_TRAFFIC_SECRET_0 %s %s", &random, &secret); n == 2 {
			k := new(trafficKeys)
			k.secret, _ = hex.DecodeString(secret)
			k.derive()
			k.next = records
			return k
		}
	}
	t.Fatal("the client's secret was not logged")
	return nil
}

// expand is HKDF-Expand-Label without a context (§7.1).
func (k *trafficKeys) expand(label string, n int) []byte {
	label = "tls13 " + label
	info := append([]byte{byte(n >> 8), byte(n), byte(len(label))}, label...)
	b, err := hkdf.Expand(sha256.New, k.secret, string(append(info, 0)), n)
	if err != nil {
		panic(err)
	}
	return b
}

func (k *trafficKeys) derive() {
	block, err := aes.NewCipher(k.expand("key", 16))
	if err != nil {
		panic(err)
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		panic(err)
	}
	k.iv, k.next = k.expand("iv", 12), 0
}

// record encrypts content of that type (§5.2).
func (k *trafficKeys) record(kind byte, content ...byte) []byte {
	content = append(bytes.Clone(content), kind)
	n := len(content) + k.aead.Overhead()
	header := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	nonce := binary.BigEndian.AppendUint64(make([]byte, 4), k.next)
	for i := range nonce {
		nonce[i] ^= k.iv[i]
	}
	k.next++
	return k.aead.Seal(header, nonce, content, header)
}

// update asks for a KeyUpdate with one (§4.6.3).
func (k *trafficKeys) update() []byte {
	b := k.record(recordHandshake, 24, 0, 0, 1, 1)
	k.secret = k.expand("traffic upd", sha256.Size)
	k.derive()
	return b
}

// updates asks for as many as crypto/tls allows without data in between, so
// many times.
func (k *trafficKeys) updates(times int) (b []byte) {
	for range times {
		for range 16 {
			b = append(b, k.update()...)
		}
		b = append(b, k.record(23, masked(codec.OpPong, "")...)...)
	}
	return b
}

// Who asks for KeyUpdates without end has to read them.
func TestTLSKeyUpdates(t *testing.T) {
	tl := newTestLoop(t, Config{}, Endpoint{})
	tc, client, wire := tl.openSealed()
	keys := wire.takeOver(t, client, 1)
	tc.write(keys.updates(1000))
	if tc.wantOpen(); len(tc.got) < 16*1000*recordHeaderSize {
		t.Fatalf("got %d bytes for 16,000 KeyUpdates", len(tc.got))
	}
	tc.room = 0
	tc.Send(codec.OpBinary, make([]byte, writeMax))
	tl.turn()
	waits := func() int {
		_, n := tc.Queued()
		if all := tl.Stats().QueuedBytes; all != n || n != len(tc.out.sealed)+tc.out.bytes {
			t.Fatalf("%d bytes wait, or %d", n, all)
		}
		return n
	}
	before := waits()
	tc.write(keys.updates(1))
	tc.wantOpen()
	each := waits() - before
	if each < 16*recordHeaderSize {
		t.Fatalf("%d bytes wait for 16 KeyUpdates", each)
	}
	for range sealedMost / each {
		if tc.write(keys.updates(1)); tc.closed {
			break
		}
	}
	tc.wantClosed()
	tc.wantEvents("close: " + ErrSlowReader.Error())
	if s := tl.Stats(); s.Slow["disconnect"] != 1 || s.Closed[codec.StatusTryAgainLater] != 1 {
		t.Errorf("counted %v, %v", s.Slow, s.Closed)
	}
}
