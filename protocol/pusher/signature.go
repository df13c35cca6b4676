package pusher

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"

	"github.com/nu7hatch/webrocket/codec"
)

// A Key is a key of an application, which is public, with its secret.
type Key struct {
	Key    string // in the URLs of clients, and before signatures
	Secret string // never sent; it makes signatures
}

// SignChannel returns the auth that lets the connection with a socket id subscribe to
// a private channel. It is what the endpoint of an application answers, whose user
// has been found to be allowed to. data is the channel_data that the endpoint answers
// too: of a presence channel {"user_id":…,"user_info":…}, "" for none.
//
// socketID and channel come from the client. If they cannot be what they are said to be it
// returns "", which opens nothing: a text with a colon could be the signature of something else.
func (k Key) SignChannel(socketID, channel, data string) string {
	if !validSocketID(socketID) || !validChannel(channel, codec.MaxChannelName) || KindOf(channel).is(OfUser) {
		return ""
	}
	return k.Key + ":" + k.sign(appendChannelText([]byte(socketID), channel, []byte(data)))
}

// SignUser returns the auth that signs the connection with a socket id in as a user.
// data is the user_data that the endpoint answers too: {"id":…}. If socketID, which comes from
// the client, cannot be one it returns "", which opens nothing.
func (k Key) SignUser(socketID, data string) string {
	if !validSocketID(socketID) {
		return ""
	}
	return k.Key + ":" + k.sign(appendUserText([]byte(socketID), []byte(data)))
}

// appendChannelText extends a socket id to what is signed for a subscription. data is the
// channel_data exactly as it is sent, empty if there is none.
func appendChannelText(dst []byte, channel string, data []byte) []byte {
	dst = append(append(dst, ':'), channel...)
	if len(data) == 0 {
		return dst
	}
	return append(append(dst, ':'), data...)
}

// appendUserText extends a socket id to what is signed for a user. data is the user_data
// exactly as it is sent.
func appendUserText(dst, data []byte) []byte { return append(append(dst, "::user::"...), data...) }

// sign returns the signature of a text, in lower-case hex.
func (k Key) sign(text []byte) string {
	h := hmac.New(sha256.New, []byte(k.Secret))
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}

// A keyring is the keys of an application, the oldest first.
type keyring []*ringKey

// A ringKey is a key with what verifies signatures: each subscription to a private channel
// has one, so that costs no allocation.
type ringKey struct {
	Key
	verifiers sync.Pool // of *verifier
}

type verifier struct {
	mac  hash.Hash
	text []byte
	sum  [3 * sha256.Size]byte // and its hex
}

func ringOf(keys ...Key) keyring {
	var r keyring
	for _, k := range keys {
		one := &ringKey{Key: k}
		one.verifiers.New = func() any { return &verifier{mac: hmac.New(sha256.New, []byte(k.Secret))} }
		r = append(r, one)
	}
	return r
}

// find returns the key of a name, nil if there is none.
func find[T ~string | ~[]byte](r keyring, name T) *ringKey {
	for _, k := range r {
		if k.Key.Key == string(name) {
			return k
		}
	}
	return nil
}

// verify reports whether auth, "key:signature", is that of one of the keys for the text
// that appendText extends a slice by. It takes the same time for every signature of the
// right length.
func (r keyring) verify(auth []byte, appendText func(dst []byte) []byte) bool {
	name, signature, _ := bytes.Cut(auth, []byte(":"))
	k := find(r, name)
	if k == nil {
		return false
	}
	v := k.verifiers.Get().(*verifier)
	defer k.verifiers.Put(v)
	v.text = appendText(v.text[:0])
	v.mac.Reset()
	v.mac.Write(v.text)
	sum := v.mac.Sum(v.sum[:0])
	return hmac.Equal(hex.AppendEncode(sum, sum)[len(sum):], signature)
}

// digest returns the MD5 of a body, in hex, as the HTTP API has it.
func digest(body []byte) string {
	sum := md5.Sum(body)
	return hex.EncodeToString(sum[:])
}
