package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/nu7hatch/webrocket"
)

// command is one thing that rocket can do.
type command struct {
	name string
	args string
	doc  string // one line
	long string // the rest of its help
	run  func(ctx context.Context, p *program, args []string) error
}

// asksServer reports whether the command is for a server that runs. Such a
// command tells the user at once of variables that it does not know; a server
// logs them.
func (c command) asksServer() bool {
	switch c.name {
	case "reload", "subscribe", "publish", "top", "connections", "disconnect", "cluster", "health":
		return true
	}
	return false
}

// commands returns all commands. The first is the one that needs no name.
func commands() []command {
	return []command{
		{"serve", "[FLAGS] [FILE]", "run a server (the command when none is named)", serveHelp(), runServe},
		{"check", "[FLAGS] [FILE]", "check a configuration", checkHelp, runCheck},
		{"reload", "[FLAGS] [FILE]", "make a running server read its configuration again", reloadHelp, runReload},
		{"subscribe", "[FLAGS] CHANNEL...", "print the events of channels", subscribeHelp, runSubscribe},
		{"publish", "[FLAGS] CHANNEL DATA", "publish an event", publishHelp, runPublish},
		{"top", "[FLAGS]", "show what a server does, live", topHelp, runTop},
		{"connections", "[FLAGS]", "list the open connections of a server", connectionsHelp, runConnections},
		{"disconnect", "[FLAGS] CONNECTION", "close a connection of a server", disconnectHelp, runDisconnect},
		{"cluster", "remove [FLAGS] NODE", "take a node that does not come back out of a cluster", clusterHelp, runCluster},
		{"health", "[FLAGS] [FILE]", "ask a server on this machine how it is", healthHelp, runHealth},
		{"token", "[FLAGS] [explain TOKEN]", "make or explain a token for logging in", tokenHelp, runToken},
		{"key", "new [FLAGS] NAME", "make a key with which a backend publishes by HTTP", keyHelp, runKey},
		{"import", "soketi|reverb FILE", "make a configuration of that of another Pusher server", importHelp, runImport},
		{"completion", "SHELL", "print the completion of a shell: bash, zsh or fish", completionHelp, runCompletion},
		{"man", "", "print the manual page", manHelp, runMan},
		{"doctor", "[-connections N] [-json] [FILE]", "say how many connections this machine allows", doctorHelp, runDoctor},
		{"version", "", "print the version, and the commit that it was built from", versionHelp, runVersion},
		{"help", "[COMMAND]", "explain rocket or a command", "", runHelp},
	}
}

// otherWords are words that users may type for a command. rocket then suggests
// its command.
var otherWords = map[string]string{
	"start": "serve", "run": "serve", "server": "serve", "listen": "serve",
	"sub": "subscribe", "read": "subscribe", "pub": "publish", "send": "publish",
	"validate": "check", "verify": "check", "test": "check", "status": "health", "ping": "health", "stats": "top",
	"jwt": "token", "tokens": "token", "sign": "token", "explain": "token explain",
}

// commandHint says which command a word may stand for, or is "".
func commandHint(word string) string {
	if other, ok := otherWords[strings.ToLower(word)]; ok {
		return fmt.Sprintf("; did you mean %s?", other)
	}
	return didYouMean(word, commandNames(), "")
}

// checkFirstWord returns an error if the first word of a command line, which is not
// the name of a command, cannot be an argument of serve either.
func checkFirstWord(word string) error {
	if strings.HasPrefix(word, "-") {
		return nil // a flag
	}
	if _, err := os.Stat(word); err == nil {
		return nil
	}
	hint := commandHint(word)
	if hint == "" && strings.ContainsAny(word, "./") {
		return nil // the name of a file that does not exist, as reading it will show
	}
	return usageError(fmt.Sprintf("%s: neither a command nor a file%s", cmp.Or(word, `""`), hint))
}

func findCommand(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

func commandNames() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// help returns the help of the command.
func (c command) help() string {
	usage := strings.TrimSpace("rocket " + c.name + " " + c.args)
	if c.name == "serve" {
		usage = "rocket [serve] " + c.args
	}
	return fmt.Sprintf("Usage: %s\n\n%s.\n%s", usage, capital(c.doc), c.long)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// runHelp is the command help.
func runHelp(_ context.Context, p *program, args []string) error {
	names, err := parseFlags(newFlags("help"), args)
	switch {
	case errors.Is(err, flag.ErrHelp) || err == nil && len(names) == 0:
		fmt.Fprint(p.stdout, overview())
		return nil
	case err != nil:
		return err
	case len(names) > 1:
		return usageError("want one COMMAND")
	}
	c, ok := findCommand(names[0])
	if !ok {
		return usageError(fmt.Sprintf("%s: no such command%s", names[0], commandHint(names[0])))
	}
	fmt.Fprint(p.stdout, c.help())
	return nil
}

// overview returns the help that names the commands.
func overview() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Rocket %s, a WebSocket server for publish/subscribe channels.\n\nUsage:\n", webrocket.Version)
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-38s %s\n", "rocket "+c.name+" "+c.args, c.doc)
	}
	b.WriteString(`
In two terminals, with a server running:
  rocket subscribe news
  rocket publish news '{"title": "hello"}'

All flags of the server: rocket serve -h
`)
	return b.String()
}

// serveHelp returns the help of serve, with the flag of every setting.
func serveHelp() string {
	var b strings.Builder
	b.WriteString(`
Without FILE it serves one hub at / that is open to everyone, unless it is
given secrets. FILE is a JSON file with settings and hubs; see example.json and
docs/configuration.md.

Flags are stronger than the environment, the environment than FILE. The variable
of -max-connections is ROCKET_MAX_CONNECTIONS, and so on.

`)
	for _, st := range settings() {
		fmt.Fprintf(&b, "  -%-26s %s%s\n", st.flag+" "+st.meta, st.doc, defaultNote(st.def))
	}
	fmt.Fprintf(&b, "  -%-26s %s\n", "version", "print the version")
	b.WriteString(`
Examples:
  rocket
  rocket -port 8080 -max-connections 5000
  ROCKET_READ_WRITE_SECRET=topsecret rocket    (everyone may read)
  rocket my.json -log /var/log/rocket.log
`)
	return b.String()
}

// defaultNote returns " (default …)". A default of 0 is explained by the text.
func defaultNote(def string) string {
	if def == "" || def == "0" {
		return ""
	}
	return " (default " + def + ")"
}

const checkHelp = `
It reads the configuration as the server would, with FILE, variables and flags. It
reports everything that is wrong, by line and key, and ends with status 1; or it says
ok and what would be served.

With -channel it also says which rule of the hub counts for a channel, and who may do
what with it.

  -channel NAME    channel to explain
  -user NAME       user whose rights are told
  -hub PATH        hub that the channel is in (default /)

The other flags are those of serve.

Examples:
  rocket check my.json
  rocket check my.json -channel chat:1 -user 42
`
