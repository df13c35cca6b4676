package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// imported runs the command import on a file of that text.
func imported(t *testing.T, server, text string) (stdout, stderr string, status int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "old")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, status = call("import", server, file)
	return stdout, strings.ReplaceAll(stderr, file, "old"), status
}

func TestImport(t *testing.T) {
	for _, tt := range []struct {
		name, server, old string
		want              string   // the configuration
		notes             []string // all of them
	}{
		{
			name: "soketi: keys that are paths, two applications, webhooks", server: "soketi",
			old: `{
				"debug": true, "port": 6002, "pathPrefix": "/ws/",
				"appManager.driver": "array",
				"appManager.array.apps": [
					{"id": 845237, "key": "8B9SPpgntbv2T6Fo", "secret": "PdULBP8C75vSfAUL", "maxConnections": 100, "enableClientMessages": true,
					 "enabled": true, "maxBackendEventsPerSecond": 100, "maxClientEventsPerSecond": 20, "maxReadRequestsPerSecond": 50,
					 "webhooks": [
						{"url": "https://app.example/hook?a=1&b=2", "event_types": ["channel_occupied", "cache_missed"],
						 "filter": {"channel_name_starts_with": "beta-", "channel_name_ends_with": "-app"}, "headers": {"X-Custom-Header": "test"}},
						{"lambda_function": "some-function", "event_types": ["client_event"], "lambda": {"async": false, "region": "us-east-1"}},
						{"url": "https://app.example/none", "event_types": []}
					 ]},
					{"id": "second", "key": "k2", "secret": "s2", "enabled": false, "maxReadRequestsPerSecond": "10",
					 "maxPresenceMembersPerChannel": 500, "maxEventPayloadInKb": 0.5, "enableUserAuthentication": true, "colour": "red"}
				],
				"webhooks.batching": {"enabled": true, "duration": 100},
				"metrics.enabled": true, "metrics.port": 9601, "adapter.driver": "redis", "database.redis.host": "redis",
				"cors.origin": ["https://app.example"], "channelLimits": {"cacheTtl": "600"}, "presence": {"maxMemberSizeInKb": "ten"}
			}`,
			want: `{
  "Host": "0.0.0.0",
  "Port": 6002,
  "AppsPrefix": "/ws",
  "LogLevel": "debug",
  "MaxMessageSize": 208896,
  "Apps": [
    {
      "ID": "845237",
      "Keys": [
        {
          "Key": "8B9SPpgntbv2T6Fo",
          "Secret": "PdULBP8C75vSfAUL"
        }
      ],
      "MaxConnections": 100,
      "ClientEventRate": 20,
      "RequestRate": 150,
      "CacheTTL": "600s",
      "MaxEventData": "100KB",
      "MaxMemberInfo": "2KB",
      "Webhooks": [
        {
          "URL": "https://app.example/hook?a=1&b=2",
          "Events": [
            "channel_occupied"
          ],
          "Prefix": "beta-",
          "Suffix": "-app",
          "Header": {
            "X-Custom-Header": "test"
          },
          "Batch": "100ms"
        }
      ]
    },
    {
      "ID": "second",
      "Keys": [
        {
          "Key": "k2",
          "Secret": "s2"
        }
      ],
      "Enabled": "off",
      "ClientEvents": "off",
      "AuthorizedOnly": "on",
      "CacheTTL": "600s",
      "MaxEventData": 512,
      "MaxMembers": 500,
      "MaxMemberInfo": "2KB"
    }
  ]
}
`,
			notes: []string{
				`presence.maxMemberSizeInKb: "ten" is not a number`,
				"845237: maxBackendEventsPerSecond and maxReadRequestsPerSecond are one RequestRate",
				"appManager.array.apps.0.webhooks.0.event_types.1: there is no event cache_missed",
				"appManager.array.apps.0.webhooks.1.lambda_function: there are no webhooks by AWS Lambda",
				"appManager.array.apps.0.webhooks.2.event_types: none, so soketi tells it nothing",
				"second: maxBackendEventsPerSecond or maxReadRequestsPerSecond is left out",
				"adapter.driver: several nodes are one server",
				"appManager.array.apps.1.colour: ",
				"cors.origin.0: pages do not call the HTTP API",
				"database.redis.host: there is no database",
				"metrics.enabled: metrics are at /metrics",
			},
		},
		{
			name: "soketi: variables", server: "soketi",
			old: `# soketi
SOKETI_DEFAULT_APP_ID=app
SOKETI_DEFAULT_APP_KEY="a-key"
export SOKETI_DEFAULT_APP_SECRET='a#secret'
SOKETI_DEFAULT_APP_ENABLE_CLIENT_MESSAGES=true
SOKETI_DEFAULT_APP_ENABLED=0
SOKETI_DEFAULT_APP_WEBHOOKS='[{"url":"http://api/hook","event_types":["channel_occupied","channel_vacated"]}]'
SOKETI_SSL_CERT=/nowhere/app.pem
SOKETI_METRICS_SERVER_PORT=9601
SOKETI_COLOUR=red
PUSHER_APP_ID=other
`,
			want: `{
  "Host": "0.0.0.0",
  "Port": 6001,
  "TLSCertFile": "/nowhere/app.pem",
  "MaxMessageSize": 208896,
  "Apps": [
    {
      "ID": "app",
      "Keys": [
        {
          "Key": "a-key",
          "Secret": "a#secret"
        }
      ],
      "Enabled": "off",
      "CacheTTL": "3600s",
      "MaxEventData": "100KB",
      "MaxMemberInfo": "2KB",
      "Webhooks": [
        {
          "URL": "http://api/hook",
          "Events": [
            "channel_occupied",
            "channel_vacated"
          ]
        }
      ]
    }
  ]
}
`,
			notes: []string{
				"app: soketi takes any number of client events",
				"SOKETI_COLOUR: nothing is known of it",
				"SOKETI_METRICS_SERVER_PORT: metrics are at /metrics",
				"the server would not start with the result:4: TLSCertFile: ",
				"the server would not start with the result:4: TLSCertFile: a certificate needs its key",
			},
		},
		{
			name: "soketi: its own application", server: "soketi", old: `{"port": "6001"}`,
			want: `{
  "Host": "0.0.0.0",
  "Port": 6001,
  "Apps": [
    {
      "ID": "app-id",
      "Keys": [
        {
          "Key": "app-key",
          "Secret": "app-secret"
        }
      ],
      "ClientEvents": "off",
      "CacheTTL": "3600s",
      "MaxEventData": "100KB",
      "MaxMemberInfo": "2KB"
    }
  ]
}
`,
			notes: []string{"no application is given; soketi then has app-id"},
		},
		{
			name: "reverb", server: "reverb",
			old: `APP_NAME=Laravel
DB_PASSWORD="with a # in it"
BROADCAST_CONNECTION=reverb

REVERB_APP_ID=256980
REVERB_APP_KEY=f4l2tmwqf6eg0f6jz0mw
REVERB_APP_SECRET=zioqeto9xrytlnlg7sj6  # kept by Laravel
REVERB_SERVER_HOST=127.0.0.1
REVERB_SERVER_PORT=8085
REVERB_SERVER_PATH=ws
REVERB_HOST="ws.app.example"
REVERB_PORT=443
REVERB_SCHEME=https
REVERB_MAX_REQUEST_SIZE=50000
REVERB_APP_PING_INTERVAL=30
REVERB_APP_ACTIVITY_TIMEOUT=45
REVERB_APP_MAX_CONNECTIONS=1000
REVERB_APP_MAX_MESSAGE_SIZE=20000
REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM=all
REVERB_APP_RATE_LIMITING_ENABLED=true
REVERB_APP_RATE_LIMIT_MAX_ATTEMPTS=60
REVERB_SCALING_ENABLED=false
REVERB_SCALING_CHANNEL=reverb
REVERB_ALLOWED_ORIGINS=app.example

VITE_REVERB_APP_KEY="${REVERB_APP_KEY}"
`,
			want: `{
  "Host": "127.0.0.1",
  "Port": 8085,
  "AppsPrefix": "/ws",
  "PingInterval": "30s",
  "MaxMessageSize": 20000,
  "Apps": [
    {
      "ID": "256980",
      "Keys": [
        {
          "Key": "f4l2tmwqf6eg0f6jz0mw",
          "Secret": "zioqeto9xrytlnlg7sj6"
        }
      ],
      "MaxConnections": 1000,
      "ActivityTimeout": "45s",
      "MaxEventData": 50000
    }
  ]
}
`,
			notes: []string{
				"REVERB_APP_MAX_CONNECTIONS: a page over it comes back",
				"REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM: all: ",
				"config/reverb.php is not read",
				"Reverb has no limits for these: MaxMembers",
				"REVERB_ALLOWED_ORIGINS: nothing is known of it",
				"REVERB_APP_RATE_LIMITING_ENABLED: Rocket has limits for a second",
			},
		},
		{
			name: "reverb: a cluster, and a key that Rocket does not take", server: "reverb",
			old: `REVERB_APP_ID=a
REVERB_APP_KEY=a.key
REVERB_APP_SECRET=s
REVERB_SCALING_ENABLED=true
REVERB_SCALING_CHANNEL=reverb
REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM=none
REVERB_APP_RATE_LIMIT_MAX_ATTEMPTS=60
`,
			want: `{
  "Host": "0.0.0.0",
  "Port": 8080,
  "Apps": [
    {
      "ID": "a",
      "Keys": [
        {
          "Key": "a.key",
          "Secret": "s"
        }
      ],
      "ClientEvents": "off"
    }
  ]
}
`,
			notes: []string{
				"config/reverb.php is not read",
				"Reverb has no limits for these: MaxMembers",
				"REVERB_SCALING_CHANNEL: several nodes are one server",
				`the server would not start with the result:5: Apps[0]: "a.key" cannot be a key`,
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, status := imported(t, tt.server, tt.old)
			if status != 0 || stdout != tt.want {
				t.Errorf("got status %d and\n%s\nwant\n%s", status, stdout, tt.want)
			}
			lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
			for i := range max(len(lines), len(tt.notes)) {
				switch {
				case i >= len(lines):
					t.Errorf("the note %q is missing", tt.notes[i])
				case i >= len(tt.notes):
					t.Errorf("got the note %q too", lines[i])
				case !strings.HasPrefix(lines[i], "old: "+tt.notes[i]):
					t.Errorf("got  %s\nwant old: %s…", lines[i], tt.notes[i])
				}
			}
		})
	}
}

func TestImportRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, server, old, want string
		status                  int
	}{
		{"another server", "sockudo", "{}", "want soketi or reverb, and a FILE", 2},
		{"broken JSON", "soketi", `{"port": 6001,}`, "remove the comma before it", 1},
		{"a file of something else", "soketi", "PUSHER_APP_ID=a\n", "neither JSON nor has variables", 1},
		{"a database", "soketi", `{"appManager": {"driver": "mysql"}}`, "appManager.driver is mysql: the applications are in a database", 1},
		{"no secret", "reverb", "REVERB_APP_ID=a\nREVERB_APP_KEY=k\nREVERB_APP_SECRET=\n", "want REVERB_APP_ID, REVERB_APP_KEY and REVERB_APP_SECRET", 1},
		{"no variables", "reverb", "{\n", "", 1},
	} {
		stdout, stderr, status := imported(t, tt.server, tt.old)
		if status != tt.status || stdout != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: got status %d, %s%s", tt.name, status, stdout, stderr)
		}
	}
	if _, stderr, status := call("import", "soketi", "/nowhere"); status != 1 || !strings.Contains(stderr, "cannot read /nowhere") {
		t.Errorf("a file that is not there: got status %d, %s", status, stderr)
	}
}

// The steps of docs/pusher.md from another server to Rocket, up to what clients that
// were those of the other server see.
func TestDocumentedMigration(t *testing.T) {
	for _, tt := range []struct{ server, file, id, key, secret string }{
		{"soketi", "soketi.json", "app-1", "app-key-1", "app-secret-1"},
		{"reverb", ".env", "256980", "f4l2tmwqf6eg0f6jz0mw", "zioqeto9xrytlnlg7sj6"},
	} {
		t.Run(tt.server, func(t *testing.T) {
			docs, err := os.ReadFile("../../docs/pusher.md")
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(string(docs), "\n   ", "\n") // out of the list
			before, rest, ok := strings.Cut(text, "\n```console\n$ (umask 077; rocket import "+tt.server)
			if !ok {
				t.Fatal("there are no such steps")
			}
			console, _, _ := strings.Cut("$ (umask 077; rocket import "+tt.server+rest, "\n```")
			_, old, _ := strings.Cut(before[strings.LastIndex(before[:strings.LastIndex(before, "```")], "```"):], "\n")
			old, _, _ = strings.Cut(old, "```")

			shell := newShell(t)
			if err := os.WriteFile(filepath.Join(shell.dir, tt.file), []byte(old), 0o600); err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for line := range strings.Lines(console) {
				if command, ok := strings.CutPrefix(line, "$ "); ok {
					p := shell.run(shownCommand{line: strings.TrimSpace(command)})
					got.WriteString(line + p.stderr.all() + p.stdout.all())
				}
			}
			if got := strings.TrimSuffix(got.String(), "\n"); got != console {
				t.Errorf("got\n%s\nbut docs/pusher.md says\n%s", got, console)
			}

			server := start(t, nil, filepath.Join(shell.dir, "rocket.json"), "-host", "localhost", "-port", "0", "-admin", "127.0.0.1:0")
			url := server.stdout.want(`app +(ws://localhost:\d+) +Pusher +` + tt.id)[1]
			server.stdout.want(`^Ready`)
			c := dialApp(t, url, tt.key)
			c.want(`"pusher:connection_established"`)
			c.say(subscribeC)
			c.want(`subscription_succeeded`)
			if got := trigger(t, url, tt.id, tt.key, tt.secret, `{"name":"e","channel":"c","data":"x"}`); got != 200 {
				t.Errorf("got %d", got)
			}
			c.want(`{"event":"e","channel":"c","data":"x"}`)
		})
	}
}

// With AppsPrefix applications are below a path, and nowhere else.
func TestAppsPrefix(t *testing.T) {
	server := start(t, []string{"ROCKET_PUSHER_APP=app:key:secret"}, "-port", "0", "-admin", "off", "-apps-prefix", "/push")
	url := server.stdout.want(`app +(ws://localhost:\d+)`)[1]
	server.stdout.want(`^Ready`)
	c := dialApp(t, url+"/push", "key")
	c.want(`"pusher:connection_established"`)
	c.say(subscribeC)
	c.want(`subscription_succeeded`)
	if got := trigger(t, url+"/push", "app", "key", "secret", `{"name":"e","channel":"c","data":"x"}`); got != 200 {
		t.Errorf("got %d", got)
	}
	c.want(`{"event":"e","channel":"c","data":"x"}`)
	if got := trigger(t, url, "app", "key", "secret", `{"name":"e","channel":"c","data":"x"}`); got != 404 {
		t.Errorf("without the prefix: got %d", got)
	}
	for prefix, want := range map[string]string{"/v1": "are taken", "/": "want a path", "/a/": "want a path", "a": `write "/a"`} {
		if _, stderr, status := call("check", "-apps-prefix", prefix); status == 0 || !strings.Contains(stderr, want) {
			t.Errorf("the prefix %s: got status %d, %s", prefix, status, stderr)
		}
	}
}
