package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every command and every flag is in each script and in the manual.
func TestCompletionAndManNameEverything(t *testing.T) {
	texts := map[string]string{"man": strings.ReplaceAll(manPage(), `\-`, "-")}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		stdout, stderr, status := call("completion", shell)
		if status != 0 {
			t.Errorf("%s: %s", shell, stderr)
		}
		texts[shell] = stdout
	}
	for _, st := range settings() {
		for name, text := range texts {
			flag := "-" + st.flag
			if name == "fish" {
				flag = "-o " + st.flag + " "
			}
			if !strings.Contains(text, flag) {
				t.Errorf("%s lacks -%s", name, st.flag)
			}
		}
	}
	for _, c := range commands() {
		for name, text := range texts {
			if !strings.Contains(text, c.name) {
				t.Errorf("%s lacks the command %s", name, c.name)
			}
		}
	}
}

// The help of a command lists the flags that the command has.
func TestHelpListsTheFlags(t *testing.T) {
	for _, c := range commands() {
		if len(c.flags()) == 0 && strings.Contains(c.args, "FLAGS") {
			t.Errorf("%s: no flags are found in\n%s", c.name, c.long)
		}
		for _, f := range c.flags() {
			if c.name == "serve" {
				continue // TestHelpNamesEverySetting
			}
			_, stderr, _ := call(c.name, "-"+f.name+"=", "-no-such-flag")
			if strings.Contains(stderr, "-"+f.name+": unknown flag") {
				t.Errorf("%s has no flag -%s", c.name, f.name)
			}
		}
	}
}

func TestBashCompletes(t *testing.T) {
	for _, tt := range []struct{ name, words, at, want string }{
		{"command", "rocket pub", "1", "publish"},
		{"flag without a command", "rocket -max-con", "1", "-max-connections"},
		{"flag of serve", "rocket serve -max-con", "2", "-max-connections"},
		{"flag of a client", "rocket subscribe -se", "2", "-secret"},
		{"flag behind an argument", "rocket subscribe news -on", "3", "-once"},
		{"flag of reload", "rocket reload my.json -pid", "3", "-pid-file"},
		{"another flag of reload", "rocket reload -max-con", "2", "-max-connections"},
		{"version", "rocket vers", "1", "version"},
		{"shell", "rocket completion fi", "2", "fish"},
		{"file", "rocket check m", "2", "my.json"},
	} {
		script := bashCompletion() + "\nCOMP_WORDS=(" + tt.words + ") COMP_CWORD=" + tt.at + "\n_rocket\necho \"${COMPREPLY[*]}\"\n"
		cmd := exec.CommandContext(t.Context(), "bash", "-euc", script)
		cmd.Dir = filepath.Dir(writeFile(t, "{}"))
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestCompletionUsage(t *testing.T) {
	for _, args := range []string{"completion", "completion tcsh", "completion bash zsh", "man page"} {
		if _, stderr, status := call(strings.Fields(args)...); status != statusUsage {
			t.Errorf("%s: got status %d, %s", args, status, stderr)
		}
	}
}
