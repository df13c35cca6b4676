package main

import (
	"cmp"
	"flag"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nu7hatch/webrocket/bench"
)

// versus is a second server that the first one is compared with: with other arguments, of another version, or both.
type versus struct {
	args    string
	given   bool // no arguments are arguments, too
	program string
}

func (v *versus) flags(fs *flag.FlagSet) {
	fs.Func("versus", "compare the first server, in turns, with one that has these `arguments` in place of -server-args", func(s string) error {
		v.args, v.given = s, true
		return nil
	})
	fs.StringVar(&v.program, "versus-server", "", "`program` of the server for -versus, without which it has no arguments")
}

// apply puts the second server behind the first. The columns are named by what tells the two apart.
func (v *versus) apply(sides []bench.Side) []bench.Side {
	if !v.given && v.program == "" {
		return sides
	}
	first, second := &sides[0], sides[0]
	second.Server, second.ServerArgs = v.program, v.args
	first.Column = cmp.Or(first.ServerArgs, first.Dialect)
	second.Column = strings.TrimSpace(filepath.Base(v.program) + " " + v.args)
	if v.program == "" {
		second.Column = cmp.Or(v.args, second.Dialect)
	}
	if second.Column == first.Column {
		second.Column += " (versus)"
	}
	return slices.Insert(sides, 1, second)
}
