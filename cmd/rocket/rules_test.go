package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// The example of docs/configuration.md is accepted, and explained as it says there.
func TestCheckExplainsTheExampleOfTheDocs(t *testing.T) {
	docs := readDocs(t)
	_, example, _ := strings.Cut(docs, "### Rules")
	_, example, _ = strings.Cut(example, "```json\n")
	example, _, _ = strings.Cut(example, "```")
	t.Chdir(t.TempDir())
	if err := os.WriteFile("my.json", []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, status := call("check", "my.json", "-channel", "user:42", "-user", "42")
	if status != 0 || stderr != "" {
		t.Fatalf("got status %d: %s", status, stderr)
	}
	if want := "$ rocket check my.json -channel user:42 -user 42\n" + stdout; !strings.Contains(docs, want) {
		t.Errorf("docs/configuration.md lacks\n%s", want)
	}
}

func TestCheckExplainsAChannel(t *testing.T) {
	name := writeFile(t, `{"Hubs": [{"Path": "/", "MaxChannelName": 20, "Rules": [
		{"Match": "chat:*", "Subscribe": "user", "History": {"Size": 1, "TTL": "1m30s", "Bytes": "2KB"}, "Rewind": 1},
		{"Match": "room:*", "ReadPresence": "user", "Presence": {"Mode": "users", "LeaveAfter": "1m", "MaxMembers": 50}},
		{"Match": "user:{user}", "Publish": "owner", "ReadHistory": "nobody"}]}, {"Path": "/echo", "Codec": "Echo"}]}`)
	for _, tt := range []struct {
		name, args string
		want       []string
		status     int
	}{
		{"first", "-channel chat:1", []string{
			"rule           1: chat:*", "history        1 events for 1m30s, at most 2048 bytes", "rewind         1 events",
			"subscribe      user: every user, and who has logged in for reading",
			"publish        grant: who has logged in for publishing\n",
		}, 0},
		{"with a user", "-channel chat:1 -user ann", []string{
			"subscribe      user: the user ann, and who has logged in for reading",
			"publish        grant: who has logged in for publishing; not the user ann without that\n",
		}, 0},
		{"of another", "-channel user:bob -user ann", []string{
			"rule           3: user:{user}", "history        none", "publish        owner: who has logged in for publishing; not the user ann",
			"read history   nobody: no client",
		}, 0},
		{"with presence", "-channel room:1 -user ann", []string{
			"presence       users, up to 50 listed; notices at most every 250ms, with names up to 50; a user leaves after 1m",
			"read presence  user: the user ann, and who has logged in for reading",
		}, 0},
		{"of nobody", "-channel user:bob", []string{"publish        owner: the owner, and who has logged in for publishing"}, 0},
		{"of no rule", "-channel other", []string{"rule           none matches"}, 0},
		{"no channel", "-user ann", []string{"give -channel too"}, 2},
		{"no hub", "-channel a -hub /b", []string{"-hub /b: there is no hub"}, 2},
		{"no channels", "-channel a -hub /echo", []string{"-hub /echo: there is no hub"}, 2},
		{"no name", "-channel 123456789012345678901", []string{"want a channel name of 1 to 20 bytes"}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, status := call(append([]string{"check", name}, strings.Fields(tt.args)...)...)
			if status != tt.status {
				t.Errorf("got status %d, want %d: %s", status, tt.status, stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(stdout+stderr, want) {
					t.Errorf("got\n%s%swant %s", stdout, stderr, want)
				}
			}
		})
	}
}

func TestCheckWarnsOfShadowedRules(t *testing.T) {
	name := writeFile(t, `{"Hubs": [{"Path": "/a", "Rules": [{"Match": "chat:*"}, {"Match": "chat:admin"}, {"Match": "chat:**"}]}]}`)
	stdout, _, status := call("check", name)
	want := name + `: warning: the hub at /a: rule 2, for "chat:admin", never counts: rule 1, for "chat:*", matches all of that before it` + "\n"
	if !strings.HasSuffix(stdout, "open to everyone\n"+want) || status != 0 {
		t.Errorf("got status %d\n%swant\n%s", status, stdout, want)
	}
}

func TestRulesThatAreWrong(t *testing.T) {
	for _, tt := range []struct{ rules, want string }{
		{`{}`, `:2: Hubs[0].Rules: want a list of rules such as [{"Match": "chat:*"}], not an object`},
		{`[7]`, `:2: Hubs[0].Rules[0]: want an object with Match, History, Rewind, Force, Presence, Subscribe, Publish, ReadHistory, ReadPresence, not 7`},
		{`[{}]`, `:2: Hubs[0].Rules[0]: Match is missing; write a pattern such as "chat:*"`},
		{"[\n{\"Match\": \"a**b\"}]", `:3: Hubs[0].Rules[0].Match: "a**b": ** stands at the end only`},
		{`[{"Match": "x", "History": {"Size": 1}}]`, `:2: Hubs[0].Rules[0]: History needs both Size and TTL; with one of them nothing would be kept`},
		{`[{"Match": "x", "History": {"Size": 0}}]`, `:2: Hubs[0].Rules[0].History.Size: want a whole number from 1 to 100000, not 0`},
		{`[{"Match": "x", "History": {"TTL": "25h"}}]`, `:2: Hubs[0].Rules[0].History.TTL: want a duration from 1s to 24h such as "10m", not "25h"`},
		{`[{"Match": "x", "History": {"Bytes": 0}}]`, `:2: Hubs[0].Rules[0].History.Bytes: want a number of bytes, at least 1, such as 512 or "64KB", not 0`},
		{`[{"Match": "x", "Presence": {}}]`, `:2: Hubs[0].Rules[0].Presence: Presence needs a Mode: "clients" or "users"`},
		{`[{"Match": "x", "Presence": {"Mode": "all"}}]`, `:2: Hubs[0].Rules[0].Presence.Mode: want clients or users, not "all"`},
		{`[{"Match": "x", "Presence": {"Interval": "1s"}}]`, `:2: Hubs[0].Rules[0]: Presence needs a Mode: "clients" or "users"`},
		{`[{"Match": "x", "Presence": {"Mode": "clients", "LeaveAfter": "5s"}}]`, `:2: Hubs[0].Rules[0]: Presence.LeaveAfter needs the Mode "users": a connection does not come back`},
		{`[{"Match": "x", "Presence": {"Mode": "users", "MaxMembers": 10, "MaxListed": 11}}]`, `:2: Hubs[0].Rules[0]: Presence.MaxListed is 11; want 1 to MaxMembers, which is 10`},
		{`[{"Match": "x", "Rewind": 1}]`, `:2: Hubs[0].Rules[0]: Rewind needs a History to take the events from`},
		{`[{"Match": "x", "Subscribe": "owner"}]`, `:2: Hubs[0].Rules[0]: "owner" needs {user} in Match: it says whose the channel is`},
		{`[{"Match": "x", "Publish": "all"}]`, `:2: Hubs[0].Rules[0].Publish: want grant, owner, user or nobody, not "all"`},
		{`[{"Match": "x", "Histroy": {}}]`, `:2: Hubs[0].Rules[0].Histroy: unknown key; did you mean History?`},
	} {
		name := writeFile(t, "{\"Hubs\": [{\"Path\": \"/\",\n\"Rules\": "+tt.rules+"}]}")
		_, err := sources{file: name}.load()
		if err == nil || err.Error() != name+tt.want {
			t.Errorf("%s: got\n%v, want\n%s", tt.rules, err, name+tt.want)
		}
	}
}

// A reload of rules is in force for the channels that there are.
func TestReloadRulesEndToEnd(t *testing.T) {
	const hub = `{"Hubs": [{"Path": "/", "Channels": ["chat:1"], "Rules": [%s]}]}`
	with := func(rules string) string { return strings.Replace(hub, "%s", rules, 1) }
	file := writeFile(t, with(""))
	server, url := startServer(t, nil, file)
	a := start(t, nil, "subscribe", "-url", url, "chat:1")
	a.stderr.want(`^subscribed`)
	publish := func(status int) {
		t.Helper()
		start(t, nil, "publish", "-url", url, "chat:1", "1").wantStatus(status)
	}
	publish(0)
	a.stdout.want(`^\{"event":"message","channel":"chat:1","data":1\}$`)

	rewrite(t, file, with(`{"Match": "chat:*", "History": {"Size": 9, "TTL": "1h"}, "Rewind": 1}`))
	server.signal(syscall.SIGHUP)
	server.stderr.want(`"reloaded"`)
	publish(0)
	a.stdout.want(`"data":1,"offset":1\}$`)
	b := start(t, nil, "subscribe", "-url", url, "chat:1")
	b.stdout.want(`"data":1,"offset":1\}$`)

	rewrite(t, file, with(`{"Match": "chat:*", "Publish": "nobody"}`))
	server.signal(syscall.SIGHUP)
	server.stderr.want(`"reloaded"`)
	publish(statusRefused)

	rewrite(t, file, with(`{"Match": "chat:*", "Publish": "nobody"}, {"Match": "x", "Rewind": 3}`))
	server.signal(syscall.SIGHUP)
	server.stderr.want(`not reloaded: the configuration is wrong.*Rules\[1\]: Rewind needs a History`)

	rewrite(t, file, with(""))
	server.signal(syscall.SIGHUP)
	server.stderr.want(`"reloaded"`)
	publish(0)
	a.stdout.want(`^\{"event":"message","channel":"chat:1","data":1\}$`) // without an offset again
}
