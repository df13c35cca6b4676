package pusher

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// signRequest returns the query of a request that is signed by k.
func signRequest(k Key, method, path string, values url.Values, body string, at time.Time) string {
	r := signedRequest{method: method, body: []byte(body)}
	all := make(url.Values)
	for name, v := range values {
		all[name] = v
	}
	all.Set("auth_key", k.Key)
	all.Set("auth_timestamp", stamp(at))
	all.Set("auth_version", "1.0")
	if body != "" {
		all.Set("body_md5", digest([]byte(body)))
	}
	parameters, _ := parseQuery(all.Encode(), url.QueryUnescape)
	all.Set("auth_signature", k.sign([]byte(r.text(path, parameters))))
	return all.Encode()
}

func stamp(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

const window = 600 * time.Second

// The requests whose signatures Pusher's documentation and our specification print.
func TestRequestVectors(t *testing.T) {
	for _, tt := range []struct {
		name, method, path, query, body string
		key                             Key
		at                              int64
	}{
		{
			"of the documentation", "POST", "/apps/3/events",
			"auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0&body_md5=ec365a775a4cd0599faeb73354201b6f&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
			`{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`, theirs, 1353088179,
		},
		{
			"a publish", "POST", "/apps/app-1/events",
			"auth_key=rocket-key&auth_timestamp=1700000000&auth_version=1.0&body_md5=3c1cfe7d3a7d93e5d2edac908ce57fe2&auth_signature=a7e1679c738d26a2aa34c1b1d40645b2c3abadeaecd61c96d2441d8fa265f927",
			`{"name":"greet","channels":["orders"],"data":"{\"hello\":\"world\"}"}`, ours, 1700000000,
		},
		{
			"a list", "GET", "/apps/app-1/channels",
			"info=user_count&filter_by_prefix=presence-&auth_key=rocket-key&auth_timestamp=1700000000&auth_version=1.0&auth_signature=611979302d8e37afcdee0bc43f3e18ffed046e8d37dce542f0015e90b7770e14",
			"", ours, 1700000000,
		},
	} {
		r := signedRequest{method: tt.method, paths: []string{tt.path}, query: tt.query, body: []byte(tt.body)}
		if err := r.verify(ringOf(tt.key), time.Unix(tt.at, 0), window); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestRequestVerify(t *testing.T) {
	now := time.Unix(1700000000, 0)
	const body = `{"name":"a"}`
	good := signRequest(ours, "POST", "/apps/1/events", nil, body, now)
	without := func(name string) string {
		q, _ := url.ParseQuery(good)
		q.Del(name)
		return q.Encode()
	}
	with := func(name, value string) string {
		q, _ := url.ParseQuery(good)
		q.Set(name, value)
		return q.Encode()
	}
	at := func(d time.Duration) string {
		return signRequest(ours, "POST", "/apps/1/events", nil, body, now.Add(d))
	}
	for _, tt := range []struct {
		name, query, body string
		want              string // a part of the error; "" for none
	}{
		{"good", good, body, ""},
		{"the other key", signRequest(theirs, "POST", "/apps/1/events", nil, body, now), body, ""},
		{"signed without the prefix of the path", signRequest(ours, "POST", "/pre/apps/1/events", nil, body, now), body, ""},
		{"signed for another path", signRequest(ours, "POST", "/apps/2/events", nil, body, now), body, "auth_signature"},
		{"signed for another method", signRequest(ours, "GET", "/apps/1/events", nil, body, now), body, "auth_signature"},
		{"no query", "", body, "auth_key"},
		{"no key", without("auth_key"), body, "auth_key"},
		{"a key of nobody", with("auth_key", "nobody"), body, "auth_key"},
		{"named as of the other key", with("auth_key", theirs.Key), body, "auth_signature"},
		{"no version", without("auth_version"), body, "auth_version"},
		{"another version", with("auth_version", "2.0"), body, "auth_version"},
		{"no time", without("auth_timestamp"), body, "auth_timestamp"},
		{"a time that is none", with("auth_timestamp", "now"), body, "auth_timestamp"},
		{"a negative time", with("auth_timestamp", "-9223372036854775808"), body, "auth_timestamp"},
		{"just old enough", at(-window), body, ""},
		{"too old", at(-window - time.Second), body, "auth_timestamp"},
		{"just early enough", at(window), body, ""},
		{"too early", at(window + time.Second), body, "auth_timestamp"},
		{"no digest", without("body_md5"), body, "body_md5 is missing"},
		{"another body", good, `{"name":"b"}`, "body_md5 is not"},
		{"a body that was dropped", good, "", "body_md5 is not"},
		{"no signature", without("auth_signature"), body, "auth_signature"},
		{"a signature in upper case", strings.Replace(good, "auth_signature=", "auth_signature=A", 1), body, "auth_signature"},
		{"two keys", good + "&auth_key=nobody", body, "twice"},
		{"two digests", good + "&body_md5=", body, "twice"},
		{"a parameter that was added", good + "&info=user_count", body, "auth_signature"},
		{"an escape that is none", good + "&a=%zz", body, "cannot be read"},
	} {
		r := signedRequest{method: "POST", paths: []string{"/pre/apps/1/events", "/apps/1/events"}, query: tt.query, body: []byte(tt.body)}
		err := r.verify(ringOf(ours, theirs), now, window)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: got %v, want success", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.want)
		}
		q, _ := url.ParseQuery(good)
		if err != nil && strings.Contains(err.Error(), q.Get("auth_signature")) {
			t.Errorf("%s: the error tells the signature: %v", tt.name, err)
		}
	}
}

// A library that does not escape what it has signed is understood too, and so is one
// that writes names in another case.
func TestRequestSpellings(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for _, value := range []string{"a+b", "a%20b", "presence-a,b", "a=b"} {
		escaped := signRequest(ours, "GET", "/apps/1/channels", url.Values{"filter_by_prefix": {value}}, "", now)
		q, _ := url.ParseQuery(escaped)
		raw := "filter_by_prefix=" + value
		for _, name := range []string{"auth_key", "auth_timestamp", "auth_version", "auth_signature"} {
			raw += "&" + strings.ToUpper(name) + "=" + q.Get(name)
		}
		for _, query := range []string{escaped, raw} {
			r := signedRequest{method: "GET", paths: []string{"/apps/1/channels"}, query: query}
			if err := r.verify(ringOf(ours), now, window); err != nil {
				t.Errorf("%s: %v", query, err)
			}
		}
	}
}

// No query makes it panic, and none is accepted that is not signed.
func FuzzRequest(f *testing.F) {
	now := time.Unix(1700000000, 0)
	good := signRequest(ours, "POST", "/apps/1/events", url.Values{"info": {"a"}}, "{}", now)
	f.Add(good, "{}")
	f.Add("auth_key=rocket-key&auth_version=1.0&auth_timestamp=1700000000&auth_signature=", "")
	f.Add("%&&=&;", "x")
	f.Add(strings.ReplaceAll(good, "auth", "AUTH"), "{}") // names may be in any case
	f.Fuzz(func(t *testing.T, query, body string) {
		r := signedRequest{method: "POST", paths: []string{"/apps/1/events"}, query: query, body: []byte(body)}
		if r.verify(ringOf(ours), now, window) != nil {
			return
		}
		want, _ := url.ParseQuery(good)
		signature := want.Get("auth_signature")
		decoded, _ := url.QueryUnescape(query)
		if body != "{}" || !strings.Contains(query, signature) && !strings.Contains(decoded, signature) {
			t.Errorf("%q with the body %q is accepted", query, body)
		}
	})
}

// A request is taken once while its time is good, and then forgotten.
func TestRepeats(t *testing.T) {
	var r repeats
	begun := time.Unix(1700000000, 0)
	take := func(after time.Duration, at time.Duration, signature string) error {
		return r.take(begun.Add(after), window, begun.Add(at).Unix(), signature)
	}
	one, other := ours.sign([]byte("1")), ours.sign([]byte("2"))
	for _, tt := range []struct {
		after, at time.Duration
		signature string
		want      error
	}{
		{0, 0, one, nil},
		{0, 0, one, errRepeated},
		{0, 0, other, nil},
		{0, window, one + "x", nil}, // of another time; only the beginning counts
		{window, 0, one, errRepeated},
		{window, 2 * window, other, nil},
		{window, 0, one, errRepeated}, // what is good still is not forgotten with what is not
		{2 * window, window, one, errRepeated},
		{3 * window, 3 * window, one, nil},
	} {
		if err := take(tt.after, tt.at, tt.signature); !errors.Is(err, tt.want) {
			t.Errorf("after %v, one of %v: got %v, want %v", tt.after, tt.at, err, tt.want)
		}
	}
	if r.n != 2 || len(r.minutes) != 2 {
		t.Errorf("%d are remembered of %d minutes, want 2", r.n, len(r.minutes))
	}
	for n := uint64(0); r.n < repeatsMax; n++ {
		if err := r.take(begun.Add(3*window), window, begun.Add(3*window).Unix(), fmt.Sprintf("%016x", n)); err != nil {
			t.Fatalf("with %d: %v", r.n, err)
		}
	}
	if err := take(3*window, 3*window, ours.sign([]byte("3"))); !errors.Is(err, errManyKept) {
		t.Errorf("too many: got %v", err)
	}
	if err := take(5*window, 5*window, ours.sign([]byte("3"))); err != nil || r.n != 1 {
		t.Errorf("later: got %v, and %d are remembered", err, r.n)
	}
}
