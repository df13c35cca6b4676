package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestCheckExample(t *testing.T) {
	docs := readDocs(t)
	t.Chdir("../..")
	stdout, stderr, status := call("check", "example.json")
	if status != 0 || stderr != "" {
		t.Fatalf("got status %d: %s", status, stderr)
	}
	if want := "$ rocket check example.json\n" + stdout; !strings.Contains(docs, want) {
		t.Errorf("docs/configuration.md lacks\n%s", want)
	}
	example, err := os.ReadFile("example.json")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(docs, string(example)) {
		t.Error("docs/configuration.md does not show example.json as it is")
	}
}

func TestCheckWarns(t *testing.T) {
	name := writeFile(t, `{"Host": "0.0.0.0", "Hubs": [{"Path": "/"}]}`)
	stdout, _, status := call("check", name)
	want := name + ": ok\n" +
		"  address  0.0.0.0:9772  ws://\n" +
		"  admin    127.0.0.1:9773\n" +
		"  hub      /  JSON  open to everyone\n" +
		name + ": warning: the hub at / is open to everyone, and the server listens beyond this machine\n"
	if stdout != want || status != 0 {
		t.Errorf("got status %d\n%s\nwant\n%s", status, stdout, want)
	}
}

// A configuration is checked with all that a server would be started with.
func TestCheckReadsTheEnvironment(t *testing.T) {
	name := writeFile(t, `{"Port": 1, "TLSPort": 2, "Hubs": [{"Path": "/"}]}`)
	vars := []string{
		"ROCKET_ADMIN=0.0.0.0:3", "ROCKET_UNIX=/run/r.sock", "ROCKET_READWRITE_SECRET=s", "rocket_port=1", "ROCKET_COLOUR=red", "ROCKET_TLSCERTFILE=c.pem", "ROCKET_SECRET=s",
		"ROCKET_ADMIN_TOKEN=", "ROCKET_PORT=tcp://10.0.0.1:9772", "ROCKET_SERVICE_HOST=10.0.0.1", "ROCKET_SERVICE_PORT=9772",
		"ROCKET_SERVICE_PORT_WEBSOCKET=9772", "ROCKET_PORT_9772_TCP=tcp://10.0.0.1:9772", "ROCKET_PORT_9772_TCP_ADDR=10.0.0.1",
		"ROCKET_TEST_SERVICE_HOST=10.0.0.2", "ROCKET_TEST_PORT=tcp://10.0.0.2:80", "ROCKET_TLS_PORT=tcp://10.0.0.3:80",
	}
	p := start(t, vars, "check", "-tls-self-signed", name)
	p.wantStatus(0)
	want := "my.json: ok\n" +
		"  address  localhost:1      ws://\n" +
		"  address  localhost:2      wss://\n" +
		"  address  unix:/run/r.sock  ws://\n" +
		"  admin    0.0.0.0:3\n" +
		"  hub      /  JSON  open to everyone\n" +
		"my.json: warning: ROCKET_COLOUR: unknown variable\n" +
		"my.json: warning: ROCKET_READWRITE_SECRET: unknown variable; did you mean ROCKET_READ_WRITE_SECRET?\n" +
		"my.json: warning: ROCKET_TLSCERTFILE: unknown variable; did you mean ROCKET_TLS_CERT?\n" +
		"my.json: warning: rocket_port: unknown variable; did you mean ROCKET_PORT?\n" +
		"my.json: warning: ROCKET_ADMIN_TOKEN: it is set to nothing, which is as if it were not set\n" +
		"my.json: warning: the admin port listens beyond this machine without a token: it shows hubs, channels and connections to the network; set ROCKET_ADMIN_TOKEN or AdminToken\n" +
		"my.json: note: ROCKET_PORT=tcp://10.0.0.1:9772 comes from Kubernetes, which sets it for a service of that name; it is not the setting\n" +
		"my.json: note: ROCKET_TLS_PORT=tcp://10.0.0.3:80 comes from Kubernetes, which sets it for a service of that name; it is not the setting\n"
	blanks := regexp.MustCompile(` +`)
	got := strings.ReplaceAll(p.stdout.all(), name, "my.json")
	if blanks.ReplaceAllString(got, " ") != blanks.ReplaceAllString(want, " ") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, args := range [][]string{{"publish", "-url", "ws://127.0.0.1:1", "c", "1"}, {"health", "-admin", "127.0.0.1:1"}} {
		p := start(t, []string{"ROCKET_SECRT=s"}, args...)
		p.wantStatus(map[string]int{"publish": statusUnreachable, "health": statusFailed}[args[0]])
		if got := p.stderr.all(); !strings.Contains(got, "rocket: warning: ROCKET_SECRT: unknown variable; did you mean ROCKET_SECRET?") {
			t.Errorf("%s: got %s", args[0], got)
		}
	}
}

// A pair that does not fit is named where the configuration names it.
func TestCheckOfAPairThatDoesNotFit(t *testing.T) {
	cert, _ := writePair(t, t.TempDir())
	_, key := writePair(t, t.TempDir())
	name := writeFile(t, fmt.Sprintf("{\"TLSCertFile\": %q,\n\"TLSKeyFile\": %q,\n\"Hubs\": [{\"Path\": \"/\"}]}", cert, key))
	_, stderr, status := call("check", name)
	if want := fmt.Sprintf("%s:2: TLSKeyFile: certificate %s with key %s: tls: private key does not match public key\n", name, cert, key); stderr != want || status != 1 {
		t.Errorf("got status %d\n%s\nwant\n%s", status, stderr, want)
	}
}

func TestCheckWarnsOfLongChannels(t *testing.T) {
	name := writeFile(t, `{"MaxChannelName": 4, "Hubs": [{"Path": "/", "Channels": ["news", "weather"]}, {"Path": "/b", "MaxChannelName": 7, "Channels": ["weather"]}]}`)
	stdout, _, status := call("check", name)
	_, warnings, _ := strings.Cut(stdout, "warning: ")
	if want := "the hub at / has the channel weather, which is longer than its MaxChannelName: no client can subscribe to it\n"; warnings != want || status != 0 {
		t.Errorf("got status %d\n%s\nwant\n%s", status, stdout, want)
	}
}

func TestCheckReports(t *testing.T) {
	name := writeFile(t, "{\n\"port\": 1}")
	stdout, stderr, status := call("check", name)
	want := name + ":1: Hubs is missing; add at least \"Hubs\": [{\"Path\": \"/\"}]\n" +
		name + ":2: port: unknown key; did you mean Port?\n"
	if stdout != "" || stderr != want || status != 1 {
		t.Errorf("got status %d\n%s%s\nwant\n%s", status, stdout, stderr, want)
	}
}

// A server that is started with such a file says the same.
func TestServerReportsTheSame(t *testing.T) {
	name := writeFile(t, "{\n\"port\": 1}")
	_, want, _ := call("check", name)
	stdout, stderr, status := call(name)
	if stdout != "" || stderr != want || status != 1 {
		t.Errorf("got status %d\n%s%s\nwant\n%s", status, stdout, stderr, want)
	}
}

// Every message that docs/configuration.md explains is one that there is.
func TestDocumentedProblems(t *testing.T) {
	_, table, _ := strings.Cut(readDocs(t), "| message | means |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	_, all, _ := call("check", "/nowhere.json")
	withCertificate := func(from, until time.Duration) string {
		cert, key := issue(t, "example.com", from, until)
		certFile, keyFile := writeFile(t, string(cert)), writeFile(t, string(key))
		return fmt.Sprintf(`{"TLSCertFile": %q, "TLSKeyFile": %q, "Hubs": [{"Path": "/"}]}`, certFile, keyFile)
	}
	for _, file := range []string{
		withCertificate(-2*day, -day), withCertificate(day, 2*day), withCertificate(-90*day, day),
		`{"Hubs": [}`, `{"Hubs": [`, `{}`, `{"Hubs": [{}]}`, `{"port": 1, "Hubs": [{"Path": "/"}, {"Path": "/"}]}`,
		`{"Port": 1, "Port": 1, "Hubs": [{"Path": 1}]}`,
		`{"Hubs": [{"Path": "/", "ReadOnly": "s", "Port": 1}]}`,
		`{"Hubs": [{"Path": "/a", "Paths": ["/b", "/a"]}]}`,
		`{"Log": "/nowhere/x.log", "Hubs": [{"Path": "/", "Log": "/"}]}`,
		`{"TLSCertFile": "/nowhere.pem", "Hubs": [{"Path": "/"}]}`,
		`{"TLSCertFile": "/dev/null", "Hubs": [{"Path": "/"}]}`,
		`{"TLSKeyFile": "/dev/null", "Hubs": [{"Path": "/"}]}`,
		`{"TLSCertFile": "/dev/null", "TLSKeyFile": "/dev/null", "TLSSelfSigned": true, "Hubs": [{"Path": "/"}]}`,
		`{"TLSPort": 1, "Hubs": [{"Path": "/"}]}`,
		`{"Port": 1, "TLSPort": 1, "TLSSelfSigned": true, "Admin": ":1", "Hubs": [{"Path": "/"}]}`,
		"\xff\xfe{\x00}\x00",
		fmt.Sprintf(`{"Unix": "%0108d", "Hubs": [{"Path": "/"}]}`, 0),
		`{"Unix": "/", "Hubs": [{"Path": "/"}]}`,
		fmt.Sprintf(`{"TLSSelfSigned": true, "TLSClientCA": %q, "Hubs": [{"Path": "/"}]}`, writeFile(t, "\ufeff")),
		`{"Hubs": [{"Path": "/", "Secrets": {"ReadOnly": " s"}}]}`,
		`{"Host": "", "Admin": ":1", "Hubs": [{"Path": "/a"}, {"Path": "/b", "Secrets": {"ReadOnly": "r"}, "MaxChannelName": 1, "Channels": ["cc"]}]}`,
		`{"Hubs": [{"Path": "/", "Rules": [{"Match": "**"}, {"Match": "a"}]}]}`,
		`{"Hubs": [{"Path": "/", "Rules": [{"Match": "a", "History": {"Size": 1}}, {"Match": "a", "Rewind": 1}, {"Match": "a", "Subscribe": "owner"}]}]}`,
	} {
		stdout, stderr, _ := call("check", writeFile(t, file))
		all += stdout + stderr
	}
	cert, _ := writePair(t, t.TempDir())
	_, key := writePair(t, t.TempDir())
	_, stderr, _ := call("check", "-tls-cert", cert, "-tls-key", key)
	var stdout strings.Builder
	p := &program{getenv: env(nil), environ: []string{"ROCKET_PROT=1"}, stdout: &stdout, stderr: io.Discard}
	p.run(t.Context(), []string{"check"})
	all += stderr + stdout.String()
	rows := strings.Split(table, "\n")
	if len(rows) < 10 {
		t.Fatalf("got the rows %q", rows)
	}
	for _, row := range rows {
		cell, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " |")
		for message := range strings.SplitSeq(strings.Trim(cell, "`"), "`, `") {
			expr := strings.ReplaceAll(regexp.QuoteMeta(message), "…", ".+")
			if !regexp.MustCompile(expr).MatchString(all) {
				t.Errorf("nothing says %q in\n%s", message, all)
			}
		}
	}
}

func TestDocsShowTheReport(t *testing.T) {
	docs := readDocs(t)
	t.Chdir(t.TempDir())
	file := `{
  "port": 8080,
  "PingInterval": 10,
  "Hubs": [
    {"Path": "/"},
    {"Path": "/b",
     "Secrets": {"ReadOnyl": "s"}},
    {"Path": "/"}
  ]
}`
	if err := os.WriteFile("my.json", []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, _ := call("check", "my.json")
	if want := "$ rocket check my.json\n" + stderr; !strings.Contains(docs, want) {
		t.Errorf("docs/configuration.md lacks\n%s", want)
	}
}
