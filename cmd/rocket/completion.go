package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const completionHelp = `
It prints a script for bash, zsh or fish that completes commands and flags.

Examples:
  source <(rocket completion bash)
  rocket completion zsh > "${fpath[1]}/_rocket"
  rocket completion fish > ~/.config/fish/completions/rocket.fish
`

// runCompletion is the command completion.
func runCompletion(_ context.Context, p *program, args []string) error {
	shells, err := parseFlags(newFlags("completion"), args)
	if err != nil {
		return err
	}
	scripts := map[string]func() string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	if len(shells) != 1 || scripts[shells[0]] == nil {
		return usageError("want bash, zsh or fish")
	}
	fmt.Fprint(p.stdout, scripts[shells[0]]())
	return nil
}

// flagDoc is a flag as the help of its command explains it.
type flagDoc struct{ name, meta, doc string }

// flagLine is a line of a help that begins to explain a flag.
var flagLine = regexp.MustCompile(`(?m)^  -([a-z-]+)(?: ([A-Z]+|on\|off))? +(.*)$`)

// flags returns the flags of the command. Its help is where they are listed.
func (c command) flags() []flagDoc {
	var all []flagDoc
	if c.name == "reload" {
		// It is given what serve was given.
		return slices.DeleteFunc(commands()[0].flags(), func(f flagDoc) bool { return f.name == "version" })
	}
	for _, m := range flagLine.FindAllStringSubmatch(c.long, -1) {
		doc, _, _ := strings.Cut(m[3], " (default")
		all = append(all, flagDoc{m[1], m[2], doc})
	}
	if strings.Contains(c.long, "flags are those of serve") {
		for _, st := range settings() {
			if !slices.ContainsFunc(all, func(f flagDoc) bool { return f.name == st.flag }) {
				all = append(all, flagDoc{st.flag, st.meta, st.doc})
			}
		}
	}
	return all
}

// takesFile reports whether an argument of the command, or of its flag, is a
// file.
func (c command) takesFile() bool { return strings.Contains(c.args, "FILE") }

func bashCompletion() string {
	var b strings.Builder
	b.WriteString(`# bash completion for rocket

_rocket() {
	local word=${COMP_WORDS[COMP_CWORD]} command=serve
	if (( COMP_CWORD > 1 )); then
		case ${COMP_WORDS[1]} in
`)
	fmt.Fprintf(&b, "\t\t%s) command=${COMP_WORDS[1]} ;;\n\t\tesac\n\tfi\n", strings.Join(commandNames(), "|"))
	b.WriteString("\tlocal words=\"\" files=\"\"\n\tcase $command in\n")
	for _, c := range commands() {
		words := ""
		for _, f := range c.flags() {
			words += " -" + f.name
		}
		files := ""
		if c.takesFile() {
			files = " files=yes"
		}
		fmt.Fprintf(&b, "\t%s) words=\"%s\"%s ;;\n", c.name, strings.TrimSpace(words+completionWords(c)), files)
	}
	fmt.Fprintf(&b, "\tesac\n\tif (( COMP_CWORD == 1 )); then\n\t\twords=\"$words %s\"\n\tfi\n", strings.Join(commandNames(), " "))
	b.WriteString(`	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
	if [[ -n $files && $word != -* ]]; then
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word")
	fi
}

complete -o filenames -F _rocket rocket
`)
	return b.String()
}

// completionWords returns the arguments of a command that are known words.
func completionWords(c command) string {
	switch c.name {
	case "help":
		return " " + strings.Join(commandNames(), " ")
	case "completion":
		return " bash zsh fish"
	case "token":
		return " explain"
	case "cluster":
		return " remove"
	default:
		return ""
	}
}

func zshCompletion() string {
	var b strings.Builder
	b.WriteString("#compdef rocket\n\n_rocket() {\n\tlocal command=serve\n\tlocal -a commands=(\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "\t\t%s\n", quoted(c.name+":"+c.doc))
	}
	fmt.Fprintf(&b, `	)
	if (( CURRENT == 2 )); then
		_describe command commands
	else
		case ${words[2]} in
		%s)
			command=${words[2]}
			shift words
			(( CURRENT-- ))
			;;
		esac
	fi
	case $command in
`, strings.Join(commandNames(), "|"))
	for _, c := range commands() {
		fmt.Fprintf(&b, "\t%s)\n\t\t_arguments%s\n\t\t;;\n", c.name, zshArguments(c))
	}
	b.WriteString("\tesac\n}\n\n_rocket \"$@\"\n")
	return b.String()
}

// zshArguments says what may follow the name of a command, as _arguments wants it.
func zshArguments(c command) string {
	var b strings.Builder
	for _, f := range c.flags() {
		spec := "-" + f.name + "[" + zshEscape(f.doc) + "]"
		switch f.meta {
		case "":
		case "FILE":
			spec += ":file:_files"
		default:
			spec += ":" + strings.ReplaceAll(f.meta, "|", " or ") + ":"
		}
		fmt.Fprintf(&b, " \\\n\t\t\t%s", quoted(spec))
	}
	rest := "*:argument:"
	if words := strings.TrimSpace(completionWords(c)); words != "" {
		rest = "*:word:(" + words + ")"
	} else if c.takesFile() {
		rest = "*:file:_files"
	}
	return b.String() + " \\\n\t\t\t" + quoted(rest)
}

// zshEscape keeps a text from ending the brackets that it stands in.
func zshEscape(s string) string {
	return strings.NewReplacer("[", "(", "]", ")", ":", `\:`).Replace(s)
}

// quoted is s as one word of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func fishCompletion() string {
	var b strings.Builder
	b.WriteString("# fish completion for rocket\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "complete -c rocket -n __fish_use_subcommand -a %s -d %s\n", c.name, fishQuoted(c.doc))
	}
	for _, c := range commands() {
		condition := "__fish_seen_subcommand_from " + c.name
		if c.name == "serve" {
			condition = "not __fish_seen_subcommand_from " + strings.Join(commandNames()[1:], " ")
		}
		for _, f := range c.flags() {
			fmt.Fprintf(&b, "complete -c rocket -n %s -o %s -d %s", fishQuoted(condition), f.name, fishQuoted(f.doc))
			if f.meta != "" {
				b.WriteString(" -r")
			}
			b.WriteString("\n")
		}
		if words := strings.TrimSpace(completionWords(c)); words != "" {
			fmt.Fprintf(&b, "complete -c rocket -n %s -f -a %s\n", fishQuoted(condition), fishQuoted(words))
		}
	}
	return b.String()
}

// fishQuoted is s as one word of fish.
func fishQuoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
