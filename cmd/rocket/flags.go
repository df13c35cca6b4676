package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// newFlags returns a flag set that leaves all printing to report.
func newFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs
}

// parseFlags reads the flags in args, which may stand before, between and after
// the arguments, and returns the arguments. Each word after "--" is an argument.
// Package flag stops at the first argument, so it is given one flag at a time.
func parseFlags(fs *flag.FlagSet, args []string) (arguments []string, err error) {
	for len(args) > 0 {
		word, n := args[0], 1
		switch {
		case word == "--":
			return append(arguments, args[1:]...), nil
		case len(word) < 2 || word[0] != '-': // "-" alone is standard input
			arguments = append(arguments, word)
		default:
			if takesNext(fs, word) {
				n = min(2, len(args))
			}
			if err := fs.Parse(args[:n]); err != nil {
				return nil, flagError(fs, err)
			}
		}
		args = args[n:]
	}
	return arguments, nil
}

// parseOnlyFlags is parseFlags for a command without arguments.
func parseOnlyFlags(fs *flag.FlagSet, args []string) error {
	arguments, err := parseFlags(fs, args)
	if err == nil && len(arguments) > 0 {
		err = usageError("want no arguments but flags, not " + strings.Join(arguments, " "))
	}
	return err
}

// takesNext reports whether the value of the flag in word is the next word.
func takesNext(fs *flag.FlagSet, word string) bool {
	f := fs.Lookup(flagName(word)) // nil for "-name=value", too
	if f == nil {
		return false
	}
	truth, ok := f.Value.(interface{ IsBoolFlag() bool })
	return !ok || !truth.IsBoolFlag()
}

// flagName returns the word without the one or two dashes of a flag.
func flagName(word string) string {
	return strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-")
}

// flagError turns an error of package flag into one that report knows.
func flagError(fs *flag.FlagSet, err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	const unknown = "flag provided but not defined: -"
	name, ok := strings.CutPrefix(err.Error(), unknown)
	if !ok {
		return usageError(err.Error())
	}
	var known []string
	fs.VisitAll(func(f *flag.Flag) { known = append(known, f.Name) })
	hint := didYouMean(name, known, "-")
	if hint == "" {
		hint = "; an argument that begins with - goes after --"
	}
	return usageError(fmt.Sprintf("-%s: unknown flag%s", name, hint))
}
