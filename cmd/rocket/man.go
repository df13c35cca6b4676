package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/nu7hatch/webrocket"
)

const manHelp = `
It prints the manual page, for man to read.

Example:
  rocket man | man -l -
`

// runMan is the command man.
func runMan(_ context.Context, p *program, args []string) error {
	if err := parseOnlyFlags(newFlags("man"), args); err != nil {
		return err
	}
	fmt.Fprint(p.stdout, manPage())
	return nil
}

// manPage returns rocket(1), made of the commands and the settings.
func manPage() string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH ROCKET 1 \"\" \"Rocket %s\" \"User Commands\"\n", webrocket.Version)
	b.WriteString(".SH NAME\nrocket \\- WebSocket server for publish/subscribe channels\n.SH SYNOPSIS\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, ".B rocket %s\n", roff(c.name))
		if c.args != "" {
			b.WriteString(roff(c.args) + "\n")
		}
		b.WriteString(".br\n")
	}
	b.WriteString(".SH COMMANDS\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, ".SS %s\n%s.\n", roff(c.name), roff(capital(c.doc)))
		if c.name != "serve" {
			manText(&b, c.long)
		}
	}
	b.WriteString(".SH SETTINGS\nFlags of\n.B rocket serve\nare stronger than the environment, the environment than the file.\n")
	for _, st := range settings() {
		fmt.Fprintf(&b, ".TP\n.BR \\-%s \" \" \\fI%s\\fR\n%s%s.\n", roff(st.flag), roff(st.meta), roff(capital(st.doc)), roff(defaultNote(st.def)))
		fmt.Fprintf(&b, "Variable: %s.", roff(st.env()))
		if st.key != "" {
			fmt.Fprintf(&b, " Key in the file: %s.", roff(st.key))
		}
		b.WriteString("\n")
	}
	b.WriteString(`.SH FILES
.TP
.I /etc/rocket/rocket.json
The configuration of the service that the Debian package installs.
.TP
.I /etc/default/rocket
The environment of that service: a place for secrets.
.SH SIGNALS
`)
	for _, s := range signalDocs() {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s.\n", roff(capital(s.name)), roff(capital(s.does)))
	}
	b.WriteString(`.SH EXIT STATUS
0, 1 for a failure, or 2 for a command line that cannot be understood; of subscribe
and publish also 3 if there is no connection or it was lost, 4 if the server refuses,
and 5 if the server closed the connection.
`)
	return b.String()
}

// manText writes a help as it is.
func manText(b *strings.Builder, text string) {
	text = strings.Trim(text, "\n")
	if text == "" {
		return
	}
	b.WriteString(".PP\n.nf\n")
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(roff(line) + "\n")
	}
	b.WriteString(".fi\n")
}

// roff keeps a text from being taken for requests.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
