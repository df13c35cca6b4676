package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nu7hatch/webrocket/auth"
)

const tokenHelp = `
Without explain it prints a token (JWT) that is signed with the key in a file. That is for
trying things out and for scripts; an application makes tokens in its backend, with any
library for JWT. docs/tokens.md says what is in them.

rocket token explain TOKEN says what a token grants, until when, and what is wrong with it.
TOKEN may be - for standard input. With -key it also checks the signature. Its exit status
is 1 if a server would refuse the token.

  -key FILE          a private key in PEM, or a secret of 32 bytes or more for HS256; - is
                     standard input; explain also takes a public key or a JWK Set
  -kid NAME          name of the key, for servers that have several
  -sub USER          user that the token is for
  -channel GRANT     CHANNEL=RIGHTS, where CHANNEL may be a pattern such as chat:* and RIGHTS
                     are of subscribe, publish, history and presence, with commas between
                     them (without =RIGHTS, subscribe); may be given several times
  -subscribe NAME    channel that a login with the token is subscribed to; the same
  -channel-token     a token for the one channel of -channel, which is no login
  -expires TIME      for how long the token is valid (default 1h); servers accept 24h at most,
                     if they are not configured otherwise
  -aud NAME          audience, which the server's Audience must name (default rocket)
  -iss NAME          issuer, which the server's Issuer must be
  -hub PATH          hub that the token is for; without it, all with the same keys
  -jti ID            id of the token, by which it can be revoked
  -info JSON         what others see of the user in the presence list

Examples:
  openssl rand -hex 32 > k1.secret
  rocket token -key k1.secret -sub 42 -channel 'chat:*=subscribe,publish' -expires 1h
  rocket token explain -key k1.secret eyJ...
`

// tokenFlags are the flags of the command token.
type tokenFlags struct {
	key, kid, info string
	channelToken   bool
	expires        time.Duration
	audience       string
	claims         auth.Claims // what the other flags say
}

// runToken is the command token.
func runToken(_ context.Context, p *program, args []string) error {
	f := tokenFlags{}
	fs := newFlags("token")
	fs.StringVar(&f.key, "key", "", "")
	fs.StringVar(&f.kid, "kid", "", "")
	fs.StringVar(&f.info, "info", "", "")
	fs.BoolVar(&f.channelToken, "channel-token", false, "")
	fs.DurationVar(&f.expires, "expires", time.Hour, "")
	fs.StringVar(&f.audience, "aud", "rocket", "")
	fs.StringVar(&f.claims.User, "sub", "", "")
	fs.StringVar(&f.claims.Issuer, "iss", "", "")
	fs.StringVar(&f.claims.Hub, "hub", "", "")
	fs.StringVar(&f.claims.ID, "jti", "", "")
	fs.Func("channel", "", f.addChannel)
	fs.Func("subscribe", "", func(name string) error {
		f.claims.Subscribe = append(f.claims.Subscribe, name)
		return nil
	})
	arguments, err := parseFlags(fs, args)
	switch {
	case err != nil:
		return err
	case len(arguments) == 0:
		return f.make(p, time.Now())
	case len(arguments) == 2 && arguments[0] == "explain":
		return f.explain(p, time.Now(), arguments[1])
	case arguments[0] == "explain":
		return usageError("explain wants one TOKEN, or - for standard input")
	case strings.HasPrefix(arguments[0], "eyJ"):
		return usageError("did you mean rocket token explain " + arguments[0][:min(10, len(arguments[0]))] + "...?")
	default:
		return usageError(fmt.Sprintf("%s: want only flags, or explain TOKEN", arguments[0]))
	}
}

// addChannel reads CHANNEL=RIGHTS. A channel's name may have a "=", so the last one counts.
func (f *tokenFlags) addChannel(grant string) error {
	e := auth.Entry{Channel: grant, Rights: auth.Subscribe}
	if i := strings.LastIndexByte(grant, '='); i >= 0 {
		e.Channel, e.Rights = grant[:i], 0
		for name := range strings.SplitSeq(grant[i+1:], ",") {
			r := auth.RightNamed(name)
			if r == 0 {
				return fmt.Errorf("%q is not a right%s", name, didYouMean(name, []string{"subscribe", "publish", "history", "presence"}, ""))
			}
			e.Rights |= r
		}
	}
	if e.Channel == "" {
		return errors.New("CHANNEL is empty")
	}
	if i := slices.IndexFunc(f.claims.Channels, func(o auth.Entry) bool { return o.Channel == e.Channel }); i >= 0 {
		f.claims.Channels[i].Rights |= e.Rights
		return nil
	}
	f.claims.Channels = append(f.claims.Channels, e)
	return nil
}

// make prints a token.
func (f *tokenFlags) make(p *program, now time.Time) error {
	c := f.claims
	switch {
	case f.key == "":
		return usageError("-key is missing: the file of a private key or a secret; openssl rand -hex 32 > k1.secret makes one")
	case f.expires < time.Second:
		return usageError("-expires must be a second or more, such as 1h")
	case f.info != "" && !json.Valid([]byte(f.info)):
		return usageError(fmt.Sprintf("-info %s is not JSON", f.info))
	case f.channelToken && (len(c.Channels) != 1 || len(c.Subscribe) > 0):
		return usageError("-channel-token wants one -channel, and no -subscribe")
	}
	keys, err := f.readKeys(p)
	if err != nil {
		return err
	}
	if f.channelToken {
		c.Channel, c.Rights, c.Channels = c.Channels[0].Channel, c.Channels[0].Rights, nil
	}
	if f.audience != "" {
		c.Audience = []string{f.audience}
	}
	c.Info = json.RawMessage(f.info)
	now = now.Truncate(time.Second) // a token counts in seconds
	c.Issued, c.Expires = now, now.Add(f.expires)
	token, err := keys[0].Sign(c)
	if err != nil {
		return fmt.Errorf("%s: %w", f.key, err)
	}
	tokens, err := f.tokens(keys)
	if err != nil {
		return err
	}
	for _, e := range tokens.Problems(now, token) {
		fmt.Fprintln(p.stderr, "rocket: warning: by default a server refuses this token:", e.Detail)
	}
	for _, warning := range oddChannels(c.Channels) {
		fmt.Fprintln(p.stderr, "rocket: warning:", warning)
	}
	fmt.Fprintln(p.stdout, token)
	return nil
}

// readKeys reads the file of -key.
func (f *tokenFlags) readKeys(p *program) ([]*auth.Key, error) {
	var data []byte
	var err error
	if f.key == "-" {
		data, err = io.ReadAll(io.LimitReader(p.stdin, 1<<20))
	} else {
		data, err = os.ReadFile(f.key)
	}
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(strings.TrimSpace(string(data)), "{") {
		keys, err := auth.ParseKeySet(data)
		if err != nil {
			return nil, fmt.Errorf("%s: JWK Set: %w", f.key, err)
		}
		return keys, nil
	}
	k, err := auth.ParseKey(f.kid, "", data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.key, err)
	}
	return []*auth.Key{k}, nil
}

// tokens returns what checks tokens as a server with the keys would.
func (f *tokenFlags) tokens(keys []*auth.Key) (*auth.Tokens, error) {
	return auth.NewTokens(auth.TokenConfig{
		Keys: keys, Audience: f.audience, Issuer: f.claims.Issuer, Hub: []string{f.claims.Hub},
	})
}

// explain says what a token grants and what is wrong with it.
func (f *tokenFlags) explain(p *program, now time.Time, token string) error {
	if token == "-" {
		data, err := io.ReadAll(io.LimitReader(p.stdin, 1<<20))
		if err != nil {
			return err
		}
		token = string(data)
	}
	token = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(token), "Bearer "))
	c, err := auth.ReadClaims(token)
	var refused *auth.Error
	if errors.As(err, &refused) {
		return fmt.Errorf("this is not a token that a server accepts: %s", refused.Detail)
	}
	wrong, signature, err := f.problems(p, now, token, c)
	if err != nil {
		return err
	}
	explainClaims(p.stdout, now, c, signature)
	for _, w := range append(oddChannels(c.Channels), oddGrants(c)...) {
		fmt.Fprintf(p.stdout, "%-12s%s\n", "note", w)
	}
	for _, e := range wrong {
		fmt.Fprintf(p.stdout, "%-12s%s\n", "wrong", e.Detail)
	}
	if len(wrong) > 0 {
		return errors.New("a server refuses this token")
	}
	return nil
}

// problems returns what is wrong with a token, and what is known of its signature.
func (f *tokenFlags) problems(p *program, now time.Time, token string, c *auth.Claims) ([]*auth.Error, string, error) {
	signature := "right"
	var keys []*auth.Key
	var err error
	if f.key == "" {
		signature = "not checked; give -key"
		var none *auth.Key // one that signed nothing
		none, err = auth.ParseKey("", "HS256", []byte(rand.Text()+rand.Text()))
		keys = []*auth.Key{none}
	} else {
		keys, err = f.readKeys(p)
	}
	if err != nil {
		return nil, "", err
	}
	if f.claims.Hub == "" {
		f.claims.Hub = c.Hub // any will do
	}
	tokens, err := f.tokens(keys)
	if err != nil {
		return nil, "", err
	}
	wrong := tokens.Problems(now, token)
	ofKey := func(e *auth.Error) bool {
		return e.Reason == auth.BadSignature || e.Reason == auth.UnknownKey || e.Reason == auth.BadAlgorithm
	}
	if f.key == "" {
		wrong = slices.DeleteFunc(wrong, ofKey)
	} else if slices.ContainsFunc(wrong, ofKey) {
		signature = "wrong"
	}
	return wrong, signature, nil
}

// explainClaims prints what a token says.
func explainClaims(w io.Writer, now time.Time, c *auth.Claims, signature string) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s%s\n", name, fmt.Sprintf(format, args...))
	}
	text := func(name, value string) {
		if value != "" {
			line(name, "%q", value)
		}
	}
	line("algorithm", "%s", c.Algorithm)
	text("key", c.KeyID)
	line("signature", "%s", signature)
	if c.User == "" {
		line("user", "none")
	}
	text("user", c.User)
	text("issuer", c.Issuer)
	text("audience", strings.Join(c.Audience, ", "))
	text("hub", c.Hub)
	text("id", c.ID)
	moment(line, "issued", now, c.Issued)
	moment(line, "valid from", now, c.NotBefore)
	moment(line, "expires", now, c.Expires)
	for _, e := range c.Channels {
		if prefix, ok := auth.Pattern(e.Channel); ok && prefix == "" {
			line("grants", "%s in every channel", e.Rights)
		} else if ok {
			line("grants", "%s in every channel that begins with %q", e.Rights, prefix)
		} else {
			line("grants", "%s in the channel %q", e.Rights, e.Channel)
		}
	}
	if c.Channel != "" {
		line("grants", "%s in the channel %q, to a connection that has logged in otherwise", c.Rights, c.Channel)
	}
	for _, name := range c.Subscribe {
		line("subscribes", "to %q, with the login", name)
	}
	if c.Info != nil {
		line("info", "%s", c.Info)
	}
	for _, part := range c.Ignored {
		line("ignored", "%s, which this version does not know", part)
	}
}

// moment prints a time and how far away it is.
func moment(line func(name, format string, args ...any), name string, now, t time.Time) {
	if t.IsZero() {
		return
	}
	at, away := t.UTC().Format("2006-01-02 15:04:05 MST"), t.Sub(now).Truncate(time.Second)
	switch {
	case away > 0:
		line(name, "%s, in %s", at, away)
	case away < 0:
		line(name, "%s, %s ago", at, -away)
	default:
		line(name, "%s, now", at)
	}
}

// oddChannels returns a warning for each channel that looks like a pattern and is none.
func oddChannels(entries []auth.Entry) []string {
	var odd []string
	for _, e := range entries {
		if _, ok := auth.Pattern(e.Channel); !ok && strings.Contains(e.Channel, "*") {
			odd = append(odd, fmt.Sprintf(`%q is the channel of that name, not a pattern: patterns are * and those that end in :*`, e.Channel))
		}
	}
	return odd
}

// oddGrants returns notes about what is allowed and seldom meant.
func oddGrants(c *auth.Claims) []string {
	var odd []string
	if c.Channel == "" && len(c.Channels) == 0 {
		odd = append(odd, "it grants no channel, so it opens only those that the server opens to every user")
	}
	if len(c.Channels) == 0 && len(c.Subscribe) > 0 {
		odd = append(odd, `"subscribe" subscribes the login to channels; what a client may do itself is in "channels"`)
	}
	if c.Issued.IsZero() {
		odd = append(odd, "it has no iat, so revoking its user revokes it even if it was made later")
	}
	if c.Channel != "" && (len(c.Channels) > 0 || len(c.Subscribe) > 0) {
		odd = append(odd, `it is for one channel, so "channels" and "subscribe" mean nothing`)
	}
	return odd
}
