package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// secretFile writes a secret for HS256, and returns the name of its file.
func secretFile(t *testing.T) string {
	t.Helper()
	return writeFile(t, "0123456789abcdef0123456789abcdef\n")
}

func makeToken(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, status := call(append([]string{"token"}, args...)...)
	if status != 0 || stderr != "" {
		t.Fatalf("rocket token %q: status %d, %s", args, status, stderr)
	}
	return strings.TrimSpace(stdout)
}

// What a token says is what was asked for.
func TestTokenExplainsWhatItMakes(t *testing.T) {
	key := secretFile(t)
	token := makeToken(t, "-key", key, "-kid", "k1", "-sub", "42", "-channel", "chat:*=subscribe,publish", "-channel", "a=b=history",
		"-channel", "chat:*=presence", "-subscribe", "user:42", "-iss", "https://app.example", "-hub", "/b", "-jti", "j1",
		"-info", `{"name": "Ann"}`, "-expires", "90m")
	stdout, stderr, status := call("token", "explain", "-key", key, "-hub", "/b", token)
	for _, want := range []string{
		`algorithm   HS256`, `key         "k1"`, `signature   right`, `user        "42"`, `issuer      "https://app.example"`,
		`audience    "rocket"`, `hub         "/b"`, `id          "j1"`, `in 1h29m59s`,
		`grants      subscribe, publish, presence in every channel that begins with "chat:"`,
		`grants      history in the channel "a=b"`, `subscribes  to "user:42", with the login`, `info        {"name":"Ann"}`,
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the explanation lacks %q", want)
		}
	}
	if status != 0 || stderr != "" || t.Failed() {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
}

func TestTokenExplainNamesWhatIsWrong(t *testing.T) {
	key := secretFile(t)
	other := writeFile(t, strings.Repeat("x", 32))
	good := makeToken(t, "-key", key, "-sub", "42", "-channel", "news")
	short := makeToken(t, "-key", key, "-sub", "42", "-channel", "news", "-expires", "1s")
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"key", []string{"-key", other, good}, "the signature was not made with the HS256 key"},
		{"audience", []string{"-aud", "shop", good}, `aud is "rocket", and does not name "shop"`},
		{"issuer", []string{"-iss", "x", good}, `iss is "", not "x"`},
		{"damage", []string{good[:len(good)-30]}, "a server refuses this token"},
		{"half", []string{good[:20]}, "want 3 parts with dots between them, got 1"},
		{"none", []string{"eyJhbGciOiJub25lIn0.e30."}, `the algorithm is "none"`},
		{"no exp", []string{"eyJhbGciOiJIUzI1NiJ9.e30.AAAA"}, "there is no exp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "damage" {
				tt.args = append([]string{"-key", key}, tt.args...)
				tt.want = "signature"
			}
			stdout, stderr, status := call(append([]string{"token", "explain"}, tt.args...)...)
			if status != 1 || !strings.Contains(stdout+stderr, tt.want) {
				t.Errorf("status %d, want 1 and %q\n%s%s", status, tt.want, stdout, stderr)
			}
		})
	}
	// Later it has expired.
	var out strings.Builder
	p := &program{stdout: &out}
	err := (&tokenFlags{audience: "rocket"}).explain(p, time.Now().Add(time.Minute), short)
	if err == nil || !strings.Contains(out.String(), "wrong       it expired 20") || !strings.Contains(out.String(), "s ago\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestTokenCommandLines(t *testing.T) {
	key := secretFile(t)
	weak := writeFile(t, "hunter2")
	for _, tt := range []struct {
		args, stderr string
		status       int
	}{
		{"", "-key is missing", 2},
		{"eyJhbGciOiJIUzI1NiJ9.e30.AAAA", "did you mean rocket token explain eyJhbGciOi...?", 2},
		{"explain", "explain wants one TOKEN", 2},
		{"explain a b", "explain wants one TOKEN", 2},
		{"make", "make: want only flags, or explain TOKEN", 2},
		{"-key " + key + " -expires 1d", "invalid value \"1d\" for flag -expires", 2},
		{"-key " + key + " -expires -1h", "-expires must be a second or more", 2},
		{"-key " + key + " -channel a=subcribe", `"subcribe" is not a right; did you mean subscribe?`, 2},
		{"-key " + key + " -channel =publish", "CHANNEL is empty", 2},
		{"-key " + key + " -info {", "-info { is not JSON", 2},
		{"-key " + key + " -channel-token", "-channel-token wants one -channel", 2},
		{"-key " + key + ".not", "no such file", 1},
		{"-key " + weak, "the secret has 7 bytes; HS256 needs 32 or more", 1},
		{"-key " + key + " -expires 48h", "warning: by default a server refuses this token: it expires in 48h0m0s", 0},
		{"-key " + key + " -channel chat*", `warning: "chat*" is the channel of that name, not a pattern`, 0},
	} {
		_, stderr, status := call(append([]string{"token"}, strings.Fields(tt.args)...)...)
		if !strings.Contains(stderr, tt.stderr) || status != tt.status {
			t.Errorf("rocket token %s: status %d, %swant status %d, %q", tt.args, status, stderr, tt.status, tt.stderr)
		}
	}
}

// The examples of docs/tokens.md do what it says.
func TestDocumentedTokens(t *testing.T) {
	document, err := os.ReadFile("../../docs/tokens.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```(console|js|python)\n(.*?)```").FindAllStringSubmatch(string(document), -1)
	count := map[string]int{}
	for _, b := range blocks {
		language, text := b[1], b[2]
		count[language]++
		t.Run(language, func(t *testing.T) {
			dir := t.TempDir()
			if language == "console" {
				runConsole(t, dir, text)
			} else {
				runBackend(t, dir, language, text, string(document))
			}
		})
	}
	if count["console"] < 4 || count["js"] < 2 || count["python"] < 1 {
		t.Errorf("there are only %v", count)
	}
}

// run runs a program in dir, with rocket in its path, and returns all that it prints.
func runIn(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip(err)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(rocket)+":"+os.Getenv("PATH"))
	out, _ := cmd.CombinedOutput() // a status that is not 0 is part of some examples
	return string(out)
}

// runConsole runs the lines that begin with "$ ", and compares what they print.
func runConsole(t *testing.T, dir, text string) {
	t.Helper()
	var script, want string
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			script += command
		} else {
			want += line
		}
	}
	times := strings.NewReplacer("now", "TIME", "1s ago", "TIME", "59m58s", "59m59s", "1h0m0s", "59m59s")
	dates := regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`)
	still := func(s string) string { return times.Replace(dates.ReplaceAllString(s, "DATE")) }
	if got := runIn(t, dir, "bash", "-c", script); still(got) != still(want) {
		t.Errorf("%s\nprints\n%s\nwant\n%s", script, got, want)
	}
}

// runBackend runs a program that makes a token or a signature.
func runBackend(t *testing.T, dir, language, text, document string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "k1.secret"), []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	interpreter := map[string][]string{"js": {"node", "-e"}, "python": {"python3", "-c"}}[language]
	printed := strings.TrimSpace(runIn(t, dir, interpreter[0], interpreter[1], text))
	if !strings.HasPrefix(printed, "eyJ") {
		if printed == "" || !strings.Contains(document, "It prints `"+printed+"`") {
			t.Errorf("it prints %s", printed)
		}
		return
	}
	stdout, stderr, status := call("token", "explain", "-key", filepath.Join(dir, "k1.secret"), "-kid", "k1", printed)
	if status != 0 || !strings.Contains(stdout, "signature   right") ||
		!strings.Contains(stdout, `subscribe, publish in every channel that begins with "chat:"`) {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
}
