package pusher

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"strings"
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
func (k Key) SignChannel(socketID, channel, data string) string {
	return k.Key + ":" + k.sign(channelText(socketID, channel, data))
}

// SignUser returns the auth that signs the connection with a socket id in as a user.
// data is the user_data that the endpoint answers too: {"id":…}.
func (k Key) SignUser(socketID, data string) string {
	return k.Key + ":" + k.sign(userText(socketID, data))
}

// channelText is what is signed for a subscription. data is the channel_data exactly
// as it is sent, "" if there is none.
func channelText(socketID, channel, data string) string {
	if data == "" {
		return socketID + ":" + channel
	}
	return socketID + ":" + channel + ":" + data
}

// userText is what is signed for a user. data is the user_data exactly as it is sent.
func userText(socketID, data string) string { return socketID + "::user::" + data }

// sign returns the signature of a text, in lower-case hex.
func (k Key) sign(text string) string {
	h := hmac.New(sha256.New, []byte(k.Secret))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// signed reports whether a text has that signature. It takes the same time for every
// signature of the right length.
func (k Key) signed(text, signature string) bool {
	return hmac.Equal([]byte(k.sign(text)), []byte(signature))
}

// A keyring is the keys of an application, the oldest first.
type keyring []Key

// find returns the key of a name.
func (r keyring) find(name string) (Key, bool) {
	for _, k := range r {
		if k.Key == name {
			return k, true
		}
	}
	return Key{}, false
}

// verify reports whether auth, "key:signature", is that of one of the keys for a text.
func (r keyring) verify(auth, text string) bool {
	name, signature, _ := strings.Cut(auth, ":")
	k, ok := r.find(name)
	return ok && k.signed(text, signature)
}

// digest returns the MD5 of a body, in hex, as the HTTP API has it.
func digest(body []byte) string {
	sum := md5.Sum(body)
	return hex.EncodeToString(sum[:])
}
