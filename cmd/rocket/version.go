package main

import (
	"context"
	"fmt"
	"runtime"

	"github.com/nu7hatch/webrocket"
	"github.com/nu7hatch/webrocket/build"
)

const versionHelp = `
The commit is missing if the go command did not know it, as where the sources are not
a git repository. A running server has the commit in its log record "serving" and in
the metric rocket_build_info.

Example:
  rocket version
`

// runVersion is the command version.
func runVersion(_ context.Context, p *program, args []string) error {
	if err := parseOnlyFlags(newFlags("version"), args); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, versionLine())
	return nil
}

// versionLine returns what this program is: "rocket 0.3.0 (commit 0123456789ab, go1.26.0, linux/amd64)".
func versionLine() string {
	commit := build.Commit()
	if commit != "" {
		commit = "commit " + commit + ", "
	}
	return fmt.Sprintf("rocket %s (%s%s, %s/%s)", webrocket.Version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
