package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nu7hatch/webrocket"
)

// writeFile returns the name of a new file with the content.
func writeFile(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "my.json")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// env returns a getenv that knows the variables.
func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestFileProblems(t *testing.T) {
	const hubs = `"Hubs": [{"Path": "/"}]`
	for _, tt := range []struct{ name, file, want string }{
		{"unknown key", `{"Prot": 1, ` + hubs + `}`, "my.json:1: Prot: unknown key; did you mean Port?"},
		{"case of a key", `{"port": 1, ` + hubs + `}`, "my.json:1: port: unknown key; did you mean Port?"},
		{
			"unknown key in Secrets",
			"{\"Hubs\": [\n{\"Path\": \"/\"},\n{\"Path\": \"/b\", \"Secrets\":\n{\"ReadOnyl\": \"s\"}}]}",
			"my.json:4: Hubs[1].Secrets.ReadOnyl: unknown key; did you mean ReadOnly?",
		},
		{
			"unlike any key", `{"Hubs": [{"Path": "/", "Secrets": {"Colour": 1}}]}`,
			"my.json:1: Hubs[0].Secrets.Colour: unknown key; the keys here are ReadOnly, ReadWrite",
		},
		{"key twice", "{\"Port\": 1,\n\"Port\": 2,\n" + hubs + "}", "my.json:2: Port: given twice, first on line 1; remove one"},
		{"key twice in a hub", `{"Hubs": [{"Path": "/", "Path": "/"}]}`, "my.json:1: Hubs[0].Path: given twice, first on line 1; remove one"},
		{"not an object", `[]`, "my.json:1: want an object with Hubs, Apps, Host, Port, "},
		{"no hubs", `{}`, `my.json:1: Hubs is missing; add at least "Hubs": [{"Path": "/"}]`},
		{"empty hubs", `{"Hubs": []}`, `my.json:1: Hubs: want a list of at least one hub such as [{"Path": "/"}], not an empty list`},
		{"hubs no list", `{"Hubs": {}}`, `my.json:1: Hubs: want a list of at least one hub such as [{"Path": "/"}], not an object`},
		{"hub no object", `{"Hubs": ["/"]}`, "my.json:1: Hubs[0]: want an object with Path, Paths, Codec, "},
		{"secrets no object", `{"Hubs": [{"Path": "/", "Secrets": null}]}`, "my.json:1: Hubs[0].Secrets: want an object with ReadOnly, ReadWrite, not null"},
		{"secret not shown", `{"Hubs": [{"Path": "/", "Secrets": {"ReadOnly": 12345}}]}`, "my.json:1: Hubs[0].Secrets.ReadOnly: want a string, not a number"},
		{"path missing", `{"Hubs": [{}]}`, `my.json:1: Hubs[0]: Path is missing; add one such as "Path": "/"`},
		{"path without slash", `{"Hubs": [{"Path": "chat"}]}`, `my.json:1: Hubs[0].Path: want a path such as "/chat", not "chat"; write "/chat"`},
		{"path with query", `{"Hubs": [{"Path": "/a?b"}]}`, `my.json:1: Hubs[0].Path: want a path such as "/chat", not "/a?b"; write "/a"`},
		{"path with space", `{"Hubs": [{"Path": "/a b"}]}`, `my.json:1: Hubs[0].Path: want a path such as "/chat", not "/a b"; write "/a%20b"`},
		{"path that browsers shorten", `{"Hubs": [{"Path": "/a/../b"}]}`, `my.json:1: Hubs[0].Path: want a path such as "/chat", not "/a/../b"; write "/b"`},
		{"path with two slashes", `{"Hubs": [{"Path": "//"}]}`, `my.json:1: Hubs[0].Path: want a path such as "/chat", not "//"; write "/"`},
		{"path that browsers encode", `{"Hubs": [{"Path": "/bücher"}]}`, `my.json:1: Hubs[0].Path: want a path such as "/chat", not "/bücher"; write "/b%C3%BCcher"`},
		{"path as a URL", `{"Hubs": [{"Path": "ws://localhost/chat"}]}`, `my.json:1: Hubs[0].Path: want a path such as "/chat", not "ws://localhost/chat"; write "/chat"`},
		{
			"path twice", "{\"Hubs\": [\n{\"Path\": \"/\"},\n{\"Path\": \"/\"}]}",
			"my.json:3: Hubs[1]: the path / is taken by the hub on line 2; give it another",
		},
		{
			"path twice in one hub", `{"Hubs": [{"Path": "/", "Paths": ["/a", "/"]}]}`,
			"my.json:1: Hubs[0]: the path / is given twice, in Path and Paths; remove one",
		},
		{
			"path in Paths of another hub", "{\"Hubs\": [\n{\"Path\": \"/\", \"Paths\": [\"/a\"]},\n{\"Path\": \"/a\"}]}",
			"my.json:3: Hubs[1]: the path /a is taken by the hub on line 2; give it another",
		},
		{"codec", `{"Hubs": [{"Path": "/", "Codec": "XML"}]}`, `my.json:1: Hubs[0].Codec: want JSON or Echo, not "XML"`},
		{
			"channel", `{"Hubs": [{"Path": "/", "Channels": ["a", ""]}]}`,
			`my.json:1: Hubs[0].Channels[1]: want a channel name of 1 to 255 bytes without control characters, not ""`,
		},
		{"origin", `{"Origins": ["example.com"], ` + hubs + `}`, `my.json:1: Origins[0]: want an origin such as "https://example.com", not "example.com": it has no scheme; write "https://example.com"`},
		{"origin with path", `{"Origins": ["https://example.com/app"], ` + hubs + `}`, `my.json:1: Origins[0]: want an origin such as "https://example.com", not "https://example.com/app": an origin has no path; write "https://example.com"`},
		{"origin of wss", `{"Hubs": [{"Path": "/", "Origins": ["wss://bücher.example:443"]}]}`, `my.json:1: Hubs[0].Origins[0]: want an origin such as "https://example.com", not "wss://bücher.example:443": an origin has the scheme of the page, not wss:; write "https://xn--bcher-kva.example"`},
		{"origin that cannot be", `{"Origins": ["https://‍.example"], ` + hubs + `}`, `my.json:1: Origins[0]: want an origin such as "https://example.com", not "https://\u200d.example": its host is not a valid name`},
		{"forwarded from a name", `{"ForwardedFrom": ["10.0.0.0/8", "10.0.0.0/33"], ` + hubs + `}`, `my.json:1: ForwardedFrom[1]: want an address or network such as "10.0.0.0/8", or "unix", not "10.0.0.0/33"`},
		{"forwarded from everybody", `{"ForwardedFrom": ["::/0"], ` + hubs + `}`, `my.json:1: ForwardedFrom[0]: ::/0 would let every client choose its address: name the networks of the proxies`},
		{"origins no list", `{"Origins": "*", ` + hubs + `}`, `my.json:1: Origins: want a list of strings, not "*"`},
		{"subprotocol", `{"Subprotocols": ["a b"], ` + hubs + `}`, `my.json:1: Subprotocols[0]: want the name of a subprotocol, not "a b"`},
		{"port too high", `{"Port": 65536, ` + hubs + `}`, "my.json:1: Port: want a whole number from 0 to 65535, not 65536"},
		{"port a string", `{"Port": "80", ` + hubs + `}`, `my.json:1: Port: want a whole number from 0 to 65535, not the string "80"`},
		{"port null", `{"Port": null, ` + hubs + `}`, `my.json:1: Port: want a whole number from 0 to 65535, not null`},
		{"loops", `{"Loops": -1, ` + hubs + `}`, "my.json:1: Loops: want a whole number from 0 to 256, not -1"},
		{"size", `{"MaxMessageSize": 0, ` + hubs + `}`, `my.json:1: MaxMessageSize: want a number of bytes from 1 to 1073741824, such as 512 or "64KB", not 0`},
		{"size of more than 1 GiB", `{"MaxMessageSize": 1073741825, ` + hubs + `}`, `my.json:1: MaxMessageSize: want a number of bytes from 1 to 1073741824, such as 512 or "64KB", not 1073741825`},
		{"size of a hub", `{"Hubs": [{"Path": "/", "MaxMessageSize": 1.5}]}`, `my.json:1: Hubs[0].MaxMessageSize: want a number of bytes from 1 to 1073741824, such as 512 or "64KB", not 1.5`},
		{"rate too high", `{"CommandRate": 134217729, ` + hubs + `}`, "my.json:1: CommandRate: want a whole number from 0 to 134217728, not 134217729"},
		{"rate of a hub too high", `{"Hubs": [{"Path": "/", "ByteRate": 134217729}]}`, `my.json:1: Hubs[0].ByteRate: want a number of bytes from 0 to 134217728, such as 512 or "64KB", not 134217729`},
		{"duration without unit", `{"PongTimeout": 10, ` + hubs + `}`, `my.json:1: PongTimeout: want a duration above zero such as "10s", not 10; write "10s"`},
		{"duration in a string without unit", `{"PingInterval": "60", ` + hubs + `}`, `my.json:1: PingInterval: want a duration above zero such as "10s", or "off", not "60"; write "60s"`},
		{"size with an unknown unit", `{"Hubs": [{"Path": "/", "MaxQueuedBytes": "1TB"}]}`, `my.json:1: Hubs[0].MaxQueuedBytes: want a number of bytes, at least 1, such as 512 or "64KB", not "1TB"`},
		{"size beyond all numbers", `{"MemoryLimit": "9999999999999GB", ` + hubs + `}`, `my.json:1: MemoryLimit: want a number of bytes, at least -1, such as 512 or "64KB", not "9999999999999GB"`},
		{"secret beside Secrets", `{"Hubs": [{"Path": "/", "ReadOnly": "s"}]}`, `my.json:1: Hubs[0].ReadOnly: unknown key; it belongs into Secrets of a hub: "Secrets": {"ReadOnly": …}`},
		{"secret of no hub", `{"readWrite": "s", ` + hubs + `}`, `my.json:1: readWrite: unknown key; it belongs into Secrets of a hub: "Secrets": {"ReadWrite": …}`},
		{"secret named as the flag", `{"ReadWriteSecret": "s", ` + hubs + `}`, `my.json:1: ReadWriteSecret: unknown key; it belongs into Secrets of a hub: "Secrets": {"ReadWrite": …}`},
		{"secrets of no hub", `{"Secrets": {"ReadOnly": "s"}, ` + hubs + `}`, "my.json:1: Secrets: unknown key; Secrets belongs into a hub, in the list Hubs"},
		{"path of no hub", `{"path": "/", ` + hubs + `}`, "my.json:1: path: unknown key; Path belongs into a hub, in the list Hubs"},
		{"port in a hub", `{"Hubs": [{"Path": "/", "Port": 1}]}`, "my.json:1: Hubs[0].Port: unknown key; Port belongs beside Hubs: it is for the whole server"},
		{"limit in Secrets", `{"Hubs": [{"Path": "/", "Secrets": {"MaxChannels": 1}}]}`, "my.json:1: Hubs[0].Secrets.MaxChannels: unknown key; MaxChannels belongs into the hub itself, or beside Hubs for all of them"},
		{"hubs in a hub", `{"Hubs": [{"Path": "/", "Hubs": []}]}`, "my.json:1: Hubs[0].Hubs: unknown key; Hubs belongs to the outermost object"},
		{"case of a key that is elsewhere too", `{"Hubs": [{"Path": "/", "log": "-"}]}`, "my.json:1: Hubs[0].log: unknown key; did you mean Log?"},
		{"duration zero", `{"PingInterval": "0s", ` + hubs + `}`, `my.json:1: PingInterval: want a duration above zero such as "10s", or "off", not "0s"`},
		{"host with port", `{"Host": "a:1", ` + hubs + `}`, `my.json:1: Host: want a host name or an IP address, not "a:1"`},
		{"host with a line end", `{"Host": "127.0.0.1\n", ` + hubs + `}`, `my.json:1: Host: want a host name or an IP address, not "127.0.0.1\n"`},
		{"secret with a space in the file", `{"Hubs": [{"Path": "/", "Secrets": {"ReadOnly": "s "}}]}`, "my.json:1: Hubs[0].Secrets.ReadOnly: it begins or ends with white space or a byte order mark; remove it"},
		{"log level", `{"LogLevel": "all", ` + hubs + `}`, `my.json:1: LogLevel: want debug, info, warn or error, not "all"`},
		{
			"log in no directory", `{"Log": "/nowhere/x.log", ` + hubs + `}`,
			"my.json:1: Log: cannot create /nowhere/x.log: directory /nowhere: no such file or directory",
		},
		{"log a directory", `{"Log": "/", ` + hubs + `}`, "my.json:1: Log: cannot append to /: is a directory"},
		{"no such certificate", `{"TLSCertFile": "/nowhere/c.pem", "TLSKeyFile": "/dev/null", ` + hubs + `}`, "my.json:1: TLSCertFile: cannot read /nowhere/c.pem: no such file or directory"},
		{"certificate without key", `{"TLSCertFile": "/dev/null", ` + hubs + `}`, "my.json:1: TLSCertFile: a certificate needs its key; give TLSKeyFile or -tls-key too"},
		{"key without certificate", `{"TLSKeyFile": "/dev/null", ` + hubs + `}`, "my.json:1: TLSKeyFile: a key needs its certificate; give TLSCertFile or -tls-cert too"},
		{
			"all of them", "{\"Port\": -1,\n\"Hubs\": [{\"Path\": \"/\",\n\"Codec\": 1}],\n\"Host\": 1}",
			"my.json:1: Port: want a whole number from 0 to 65535, not -1\n" +
				"my.json:3: Hubs[0].Codec: want JSON or Echo, not 1\n" +
				"my.json:4: Host: want a host name or an IP address, not 1",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := writeFile(t, tt.file)
			_, err := sources{file: name}.load()
			if err == nil {
				t.Fatalf("no error, want %s", tt.want)
			}
			got := strings.ReplaceAll(err.Error(), name, "my.json")
			// The lists of keys are long and change: their beginning will do.
			if got != tt.want && !(strings.HasSuffix(tt.want, ", ") && strings.HasPrefix(got, tt.want)) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestOtherProblems(t *testing.T) {
	file := writeFile(t, `{"Hubs": [{"Path": "/"}]}`)
	for _, tt := range []struct {
		name   string
		src    sources
		want   string
		status int
	}{
		{"no file", sources{file: "/nowhere.json"}, "/nowhere.json: cannot read it: no such file or directory", 1},
		{
			"variable",
			sources{getenv: env(map[string]string{"ROCKET_PORT": "10.0.0.1:1"})},
			`ROCKET_PORT: want a whole number from 0 to 65535, not "10.0.0.1:1"`, 1,
		},
		{
			"item of a variable",
			sources{getenv: env(map[string]string{"ROCKET_ORIGINS": "https://a, b"})},
			`ROCKET_ORIGINS: want an origin such as "https://example.com", not "b": it has no scheme; write "https://b"`, 1,
		},
		{
			"secret of white space",
			sources{getenv: env(map[string]string{"ROCKET_READ_WRITE_SECRET": "\n"})},
			"ROCKET_READ_WRITE_SECRET: there is only white space in it, which is no secret; give one, or none", 1,
		},
		{
			"secret after a space",
			sources{getenv: env(map[string]string{"ROCKET_READ_ONLY_SECRET": " s"})},
			"ROCKET_READ_ONLY_SECRET: it begins or ends with white space or a byte order mark; remove it", 1,
		},
		{
			"secret after a byte order mark",
			sources{getenv: env(map[string]string{"ROCKET_ADMIN_TOKEN": "\ufefftok"})},
			"ROCKET_ADMIN_TOKEN: it begins or ends with white space or a byte order mark; remove it", 1,
		},
		{
			"secret that is not UTF-8",
			sources{getenv: env(map[string]string{"ROCKET_READ_ONLY_SECRET": "\xff"})},
			"ROCKET_READ_ONLY_SECRET: it is not UTF-8, so no client can send it", 1,
		},
		{
			"token of two lines",
			sources{getenv: env(map[string]string{"ROCKET_ADMIN_TOKEN": "a\nb\n"})},
			"ROCKET_ADMIN_TOKEN: it has a line end or another control character, so no client can send it", 1,
		},
		{
			"name of a socket's file that is too long",
			sources{getenv: env(map[string]string{"ROCKET_UNIX": "/run/" + strings.Repeat("r", 103)})},
			"ROCKET_UNIX: the name has 108 bytes, and that of a socket's file at most 107; choose a shorter one", 1,
		},
		{
			"directory for a socket",
			sources{flags: map[string]string{"unix": "/"}},
			"-unix: cannot listen at /: there is a file that is no socket: remove it, or choose another", 2,
		},
		{"flag", sources{flags: map[string]string{"loops": "x"}}, `-loops: want a whole number from 0 to 256, not "x"`, 2},
		{
			"flag without its fellow",
			sources{flags: map[string]string{"tls-key": "/dev/null"}},
			"-tls-key: a key needs its certificate; give TLSCertFile or -tls-cert too", 2,
		},
		{
			"port for TLS and for none",
			sources{flags: map[string]string{"port": "80", "tls-port": "80", "tls-self-signed": "true", "reuse-port": "true"}},
			"-tls-port: ws:// has this port already, as Port; give TLSPort another, or none for wss:// alone on Port", 2,
		},
		{
			"all that is wrong with ports",
			sources{flags: map[string]string{"port": "80", "tls-port": "80", "admin": ":80"}},
			"-tls-port: there is no TLS; give TLSCertFile and TLSKeyFile, or TLSSelfSigned\n" +
				"-tls-port: ws:// has this port already, as Port; give TLSPort another, or none for wss:// alone on Port\n" +
				"-admin: clients have the port 80 already; give Admin another, or \"off\"", 2,
		},
		{
			"secret beside a file",
			sources{file: file, flags: map[string]string{"read-only-secret": "s"}},
			"-read-only-secret: does not go with a file; put it into " + file + ", in Secrets of a hub", 2,
		},
		{
			"secret variable beside a file",
			sources{file: file, getenv: env(map[string]string{"ROCKET_READ_WRITE_SECRET": "s"})},
			"ROCKET_READ_WRITE_SECRET: does not go with a file; put it into " + file + ", in Secrets of a hub", 1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.src.load()
			found, ok := err.(problems)
			if !ok || found.Error() != tt.want || found.status() != tt.status {
				t.Errorf("got  %v\nwant %s, status %d", err, tt.want, tt.status)
			}
		})
	}
}

// Where clients and the admin API would share a port, that is said at once; where
// the default of the latter is merely taken, the server goes on without.
func TestAdminPortIsNotThatOfClients(t *testing.T) {
	const taken = "clients have the port 9773 already"
	for _, tt := range []struct{ args, want string }{
		{"-port 9773 -admin 127.0.0.1:9773", "-admin: " + taken},
		{"-port 9773 -admin :9773", "-admin: " + taken},
		{"-port 9773 -admin localhost:9773 -host 0.0.0.0", "-admin: " + taken},
		{"-port 9773 -admin example.com:9773 -host example.com", "-admin: " + taken},
		{"-tls-self-signed -tls-port 9773 -admin [::1]:9773 -host ::1", "-admin: " + taken},
		{"-port 9773 -reuse-port", "Admin: " + taken},
		{"-port 9773", ""},
		{"-port 9773 -reuse-port -admin off", ""},
		{"-port 9773 -admin 192.0.2.1:9773", ""},
		{"-port 9773 -admin example.com:9773 -host example.org", ""},
		{"-port 0 -admin localhost:0", ""},
	} {
		fs := newFlags("serve")
		given := settingFlags(fs)
		if err := fs.Parse(strings.Fields(tt.args)); err != nil {
			t.Fatal(err)
		}
		_, err := sources{flags: given}.load()
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.args, err, tt.want)
		}
	}
}

func TestPrecedence(t *testing.T) {
	file := writeFile(t, `{"Port": 1, "MaxMessageSize": 100, "Origins": ["https://file"], "Hubs": [
		{"Path": "/own", "MaxMessageSize": 50},
		{"Path": "/default"}]}`)
	vars := env(map[string]string{"ROCKET_PORT": "2", "ROCKET_MAX_MESSAGE_SIZE": "200", "ROCKET_ORIGINS": "https://a,https://b"})
	flags := map[string]string{"port": "3", "max-message-size": "300"}
	for _, tt := range []struct {
		name    string
		src     sources
		port    int
		sizes   []int
		origins string
	}{
		{"defaults", sources{}, 9772, []int{65536}, ""},
		{"file", sources{file: file}, 1, []int{50, 100}, "https://file"},
		{"environment over file", sources{file: file, getenv: vars}, 2, []int{50, 200}, "https://a https://b"},
		{"flags over all", sources{file: file, getenv: vars, flags: flags}, 3, []int{50, 300}, "https://a https://b"},
		{"flags over defaults", sources{flags: flags}, 3, []int{300}, ""},
		{"an empty variable is none", sources{getenv: env(nil)}, 9772, []int{65536}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := tt.src.load()
			if err != nil {
				t.Fatal(err)
			}
			if c.port != tt.port {
				t.Errorf("port: got %d, want %d", c.port, tt.port)
			}
			if len(c.hubs) != len(tt.sizes) {
				t.Fatalf("got %d hubs, want %d", len(c.hubs), len(tt.sizes))
			}
			for i, h := range c.hubs {
				if h.MaxMessageSize != tt.sizes[i] {
					t.Errorf("%s: message size: got %d, want %d", h.path, h.MaxMessageSize, tt.sizes[i])
				}
				if got := strings.Join(h.Origins, " "); got != tt.origins {
					t.Errorf("%s: origins: got %s, want %s", h.path, got, tt.origins)
				}
			}
		})
	}
}

func TestHubReachesHandler(t *testing.T) {
	c, err := sources{file: writeFile(t, `{"PingInterval": "off", "CloseTimeout": "1m", "Hubs": [{
		"Path": "/a", "Paths": ["/b"], "Codec": "json", "Channels": ["c"], "Origins": ["https://o", "null"], "Subprotocols": ["p"],
		"MaxMessageSize": 1, "MaxQueuedBytes": 2, "SlowReaders": "Drop-Oldest", "MaxSubscriptions": 3, "MaxChannels": 4, "MaxChannelName": 5, "MaxFailedLogins": 6, "CommandRate": 7, "ByteRate": 8,
		"Compression": "On", "CompressionThreshold": 4,
		"Secrets": {"ReadOnly": "r", "ReadWrite": "w"}}]}`)}.load()
	if err != nil {
		t.Fatal(err)
	}
	if c.server.PingInterval >= 0 || c.server.CloseTimeout != time.Minute {
		t.Errorf("got %+v", c.server)
	}
	handlers, err := c.hubs[0].handlers(newLogs(io.Discard, "info"))
	if err != nil {
		t.Fatal(err)
	}
	a, b := handlers["/a"].(*webrocket.HubHandler), handlers["/b"].(*webrocket.HubHandler)
	if len(handlers) != 2 || a.Hub != b.Hub || a.Hub.Name() != "/a" {
		t.Errorf("got handlers %v of the hubs %v and %v, want one hub at two paths", handlers, a.Hub, b.Hub)
	}
	h := a.Hub.Config()
	if h.Secrets.ReadOnly != "r" || h.Secrets.ReadWrite != "w" || strings.Join(h.Channels, " ") != "c" ||
		h.MaxSubscriptions != 3 || h.MaxChannels != 4 || h.MaxChannelName != 5 || h.MaxFailedLogins != 6 ||
		h.CommandRate != 7 || h.ByteRate != 8 {
		t.Errorf("got %+v", h)
	}
	for _, e := range []webrocket.Endpoint{a.Endpoint, b.Endpoint} {
		if strings.Join(e.Origins, " ") != "https://o null" || strings.Join(e.Subprotocols, " ") != "p" ||
			e.MaxMessageSize != 1 || e.MaxQueuedBytes != 2 || e.SlowReaders != webrocket.DropOldest ||
			!e.Compression || e.CompressionThreshold != 4 {
			t.Errorf("got %+v", e)
		}
	}
}

// Origins are kept as browsers send them.
func TestOriginsAreNormal(t *testing.T) {
	c, err := sources{file: writeFile(t, `{"Hubs": [{"Path": "/", "Origins": [
		"https://Example.com:443/", "https://*.Bücher.example", "http://[::FFFF:1.2.3.4]:080", "https://faß.example", "*"]}]}`)}.load()
	if err != nil {
		t.Fatal(err)
	}
	want := "https://example.com https://*.xn--bcher-kva.example http://[::ffff:102:304] https://xn--fa-hia.example *"
	if got := strings.Join(c.hubs[0].Origins, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The log of a hub goes to its own file, and the others' to the server's.
func TestLogOfHub(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hub.log")
	c, err := sources{file: writeFile(t, `{"Hubs": [{"Path": "/"}, {"Path": "/own", "Log": "`+file+`"}]}`)}.load()
	if err != nil {
		t.Fatal(err)
	}
	logs := newLogs(io.Discard, "info")
	defer logs.close()
	for i, own := range []bool{false, true} {
		handlers, err := c.hubs[i].handlers(logs)
		if err != nil {
			t.Fatal(err)
		}
		log := handlers[c.hubs[i].path].(*webrocket.HubHandler).Hub.Config().Log
		if (log != nil) != own {
			t.Errorf("%s: a log of its own: got %t, want %t", c.hubs[i].path, log != nil, own)
		}
		if log != nil {
			log.Info("hello")
		}
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), `"msg":"hello"`) {
		t.Errorf("the file has %s, %v", text, err)
	}
}

func TestWarningOfAdmin(t *testing.T) {
	const shown = "the admin port listens beyond this machine without a token: it shows hubs, channels and connections to the network; set ROCKET_ADMIN_TOKEN or AdminToken"
	for _, tt := range []struct{ admin, token, want string }{
		{"", "", ""},
		{"off", "", ""},
		{"localhost:1", "", ""},
		{"[::1]:1", "", ""},
		{"0.0.0.0:1", "", shown},
		{":1", "", shown},
		{"192.0.2.1:1", "", shown},
		{"0.0.0.0:1", "t", ""},
	} {
		c, err := sources{getenv: env(map[string]string{"ROCKET_ADMIN": tt.admin, "ROCKET_ADMIN_TOKEN": tt.token})}.load()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.warnings(), "\n"); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.admin, got, tt.want)
		}
	}
}

// What echo or an editor puts around a value in a file is not part of it.
func TestWhiteSpaceInTheEnvironment(t *testing.T) {
	c, err := sources{getenv: env(map[string]string{
		"ROCKET_HOST": "127.0.0.1\n", "ROCKET_PORT": " 1234\r\n", "ROCKET_ADMIN": "127.0.0.1:1\n", "ROCKET_ADMIN_TOKEN": "tok\n",
		"ROCKET_READ_ONLY_SECRET": "two words\r\n", "ROCKET_READ_WRITE_SECRET": "w\n", "ROCKET_LOG_LEVEL": "\n",
		"ROCKET_TLS_SELF_SIGNED": "true\n", "ROCKET_PING_INTERVAL": "1m\n", "ROCKET_ORIGINS": "https://a.example,\n https://b.example\n",
	})}.load()
	if err != nil {
		t.Fatal(err)
	}
	h := c.hubs[0]
	if c.host != "127.0.0.1" || c.port != 1234 || c.admin != "127.0.0.1:1" || c.adminToken != "tok" || h.Secrets.ReadOnly != "two words" ||
		h.Secrets.ReadWrite != "w" || c.logLevel != "info" || !c.selfSigned || c.server.PingInterval != time.Minute || len(h.Origins) != 2 {
		t.Errorf("got %+v", c)
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct{ name, host, readOnly, readWrite, want string }{
		{"open here", "localhost", "", "", ""},
		{"open on ::1", "::1", "", "", ""},
		{"open to all", "", "", "", "the hub at / is open to everyone, and the server listens beyond this machine"},
		{"open on an address", "192.0.2.1", "", "", "the hub at / is open to everyone, and the server listens beyond this machine"},
		{"readable to all", "0.0.0.0", "", "w", "the hub at / is open to everyone for reading, and the server listens beyond this machine"},
		{"locked", "0.0.0.0", "r", "w", ""},
		{"half locked", "localhost", "r", "", "the hub at / has a secret for reading but none for publishing: everyone may publish, and clients that may publish may read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &config{host: tt.host, admin: "off", hubs: []hub{lockedHub(tt.readOnly, tt.readWrite)}}
			if got := strings.Join(c.warnings(), "\n"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// lockedHub returns a hub with these secrets.
func lockedHub(readOnly, readWrite string) hub {
	h := hub{path: "/"}
	h.Secrets = webrocket.Credentials{ReadOnly: readOnly, ReadWrite: readWrite}
	return h
}

// A secret that is given as nothing leaves a hub or the admin API open.
func TestEmptySecrets(t *testing.T) {
	for _, tt := range []struct {
		name string
		src  sources
		want string
	}{
		{"flag", sources{flags: map[string]string{"read-write-secret": ""}}, "-read-write-secret: it is set to nothing, which is as if it were not set"},
		{"flag beside a file", sources{file: writeFile(t, `{"Hubs": [{"Path": "/"}]}`), flags: map[string]string{"admin-token": ""}}, "-admin-token: it is set to nothing, which is as if it were not set"},
		{"flag in place of a variable", sources{environ: []string{"ROCKET_ADMIN_TOKEN=t"}, flags: map[string]string{"admin-token": ""}}, "-admin-token: it is set to nothing, which is as if it were not set"},
		{"variable", sources{environ: []string{"ROCKET_ADMIN_TOKEN="}}, "ROCKET_ADMIN_TOKEN: it is set to nothing, which is as if it were not set"},
		{"variable under a flag", sources{environ: []string{"ROCKET_ADMIN_TOKEN="}, flags: map[string]string{"admin-token": "t"}}, ""},
		{"given", sources{environ: []string{"ROCKET_ADMIN_TOKEN=t"}}, ""},
	} {
		c, err := tt.src.load()
		if got := strings.Join(c.warnings(), "\n"); err != nil || got != tt.want {
			t.Errorf("%s: got %q and %v, want %q", tt.name, got, err, tt.want)
		}
	}
}
