// Package build answers one question: which source is this program built from?
//
// A program knows its commit if the go command has noted it, which it does in a
// git repository and for a module of a certain version, or if make or a
// Dockerfile has set it while linking.
//
// # Ownership
//
// Any goroutine may ask. Nothing changes while the program runs.
package build

import (
	"regexp"
	"runtime/debug"
)

// Changed is the end of a Commit with changes that are not committed.
const Changed = "+changes"

// stamped is the commit that make or the Dockerfile has set (bench/bench.mk),
// with Changed. The go command knows it neither in a git worktree, nor with
// -buildvcs=false in GOFLAGS, nor where the sources are without their
// repository. Empty: what the go command knows.
var stamped string

// Commit returns the first 12 digits of the commit that this program was built
// from, with Changed if files had been changed since. It is "" if nobody knows.
func Commit() string {
	if stamped != "" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return commitOf(info)
}

// pseudoVersion is a version of a module that no tag has: its last part is the commit.
var pseudoVersion = regexp.MustCompile(`[.-]\d{14}-([0-9a-f]{12})(?:\+|$)`)

// commitOf returns what the go command has noted.
func commitOf(info *debug.BuildInfo) string {
	var revision, changed string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = Changed
		}
	}
	if revision != "" {
		return revision[:min(len(revision), 12)] + changed
	}
	if m := pseudoVersion.FindStringSubmatch(info.Main.Version); m != nil {
		return m[1]
	}
	return ""
}
