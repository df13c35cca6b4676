package main

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestSettingsAreSound(t *testing.T) {
	seen := map[string]bool{}
	for _, st := range settings() {
		for _, name := range []string{"-" + st.flag, st.key} {
			if name != "" && seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
		}
		if st.doc == "" || (st.meta == "") != st.at(&config{}).truth {
			t.Errorf("-%s is not documented", st.flag)
		}
		var c config
		if st.def != "" {
			if found := st.at(&c).fromText("default", st.def); found != nil {
				t.Errorf("-%s: %v", st.flag, found)
			}
		}
	}
}

// A number that no setting fills would be a setting of the library that cannot
// be reached from the command.
func TestEveryServerFieldHasASetting(t *testing.T) {
	c := &config{}
	for _, st := range settings() {
		v := st.at(c)
		for _, s := range []string{"1", "1s", "debug"} {
			v.fromText("test", s)
		}
	}
	server := reflect.ValueOf(c.server)
	for i := range server.NumField() {
		if server.Field(i).CanInt() && server.Field(i).IsZero() {
			t.Errorf("no setting fills %s", server.Type().Field(i).Name)
		}
	}
}

// A size may be "64KB" and a time "1m" wherever a setting may be given.
func TestEveryUnitEverywhere(t *testing.T) {
	units := map[string]struct{ file, text string }{"BYTES": {`"200B"`, "200 b"}, "TIME": {`"1m"`, "1 m"}}
	count := 0
	for _, st := range settings() {
		unit, ok := units[st.meta]
		if !ok {
			continue
		}
		count++
		member := fmt.Sprintf("%q: %s", st.key, unit.file)
		if object, key, ok := strings.Cut(st.key, "."); ok {
			member = fmt.Sprintf("%q: {%q: %s}", object, key, unit.file)
		}
		file := writeFile(t, fmt.Sprintf(`{%s, "Hubs": [{"Path": "/"}]}`, member))
		for name, src := range map[string]sources{
			"file":     {file: file},
			"flag":     {flags: map[string]string{st.flag: unit.text}},
			"variable": {getenv: env(map[string]string{st.env(): unit.text})},
		} {
			if _, err := src.load(); err != nil {
				t.Errorf("%s, %s: %v", st.key, name, err)
			}
		}
	}
	for _, st := range hubSettings() {
		if unit, ok := units[st.meta]; ok {
			if _, err := (sources{file: writeFile(t, fmt.Sprintf(`{"Hubs": [{"Path": "/", %q: %s}]}`, st.key, unit.file))}).load(); err != nil {
				t.Errorf("%s of a hub: %v", st.key, err)
			}
		}
	}
	if count < 10 {
		t.Errorf("got %d settings with a unit", count)
	}
}

func TestParseSize(t *testing.T) {
	for _, tt := range []struct {
		s    string
		want int64
	}{
		{"0", 0},
		{"-1", -1},
		{"65536", 65536},
		{"64KB", 65536},
		{"64kb", 65536},
		{"64K", 65536},
		{"64KiB", 65536},
		{"64Ki", 65536},
		{"64 KB", 65536},
		{"512B", 512},
		{"2MB", 2 << 20},
		{"3g", 3 << 30},
	} {
		if got, err := parseSize(tt.s); got != tt.want || err != nil {
			t.Errorf("%s: got %d, %v, want %d", tt.s, got, err, tt.want)
		}
	}
	for _, s := range []string{"", "KB", "1.5MB", "1TB", "64KK", "1 2", "0x10", "9223372036854775807K", "-9223372036854775807K"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%s: got %d, want an error", s, got)
		}
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	help := serveHelp()
	for _, st := range settings() {
		if !strings.Contains(help, "  -"+st.flag+" "+st.meta+" ") || !strings.Contains(help, st.doc) {
			t.Errorf("the help does not explain -%s", st.flag)
		}
	}
}

// The tables of docs/configuration.md are those of the code.
func TestDocsNameEverySetting(t *testing.T) {
	docs := readDocs(t)
	var server, hubs strings.Builder
	server.WriteString("| key | flag | environment | default | meaning |\n|---|---|---|---|---|\n")
	for _, st := range settings() {
		fmt.Fprintf(&server, "| %s | %s | %s | %s | %s |\n", code(st.key), code("-"+st.flag), code(st.env()), code(st.def), st.doc)
	}
	hubs.WriteString("| key | default | meaning |\n|---|---|---|\n")
	for _, st := range hubSettings() {
		def := code(st.def)
		if st.flag != "" {
			def = "the server's"
		}
		fmt.Fprintf(&hubs, "| %s | %s | %s |\n", code(st.key), def, st.doc)
	}
	for _, table := range []string{server.String(), hubs.String()} {
		if !strings.Contains(docs, "\n\n"+table+"\n") {
			t.Errorf("docs/configuration.md lacks this table:\n%s", table)
		}
	}
}

// The README's settings are some of them, with the same defaults.
func TestReadmeNamesSettings(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{}
	for _, st := range settings() {
		defaults["-"+st.flag] = st.def
	}
	rows := regexp.MustCompile("(?m)^\\| (`-.*?`) \\| (.*?) ?\\|").FindAllStringSubmatch(string(readme), -1)
	if len(rows) < 5 {
		t.Fatalf("got the rows %q", rows)
	}
	for _, row := range rows {
		var want []string
		for flag := range strings.SplitSeq(row[1], ", ") {
			def, ok := defaults[strings.Trim(flag, "`")]
			if !ok {
				t.Errorf("there is no %s", flag)
			}
			want = append(want, def)
		}
		if want := strings.Trim(strings.Join(want, ", "), ", "); row[2] != want {
			t.Errorf("%s: the README has the default %q, want %q", row[1], row[2], want)
		}
	}
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func readDocs(t *testing.T) string {
	t.Helper()
	docs, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(docs)
}
