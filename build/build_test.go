package build

import (
	"runtime/debug"
	"testing"
)

func TestCommitOf(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}
	for _, tt := range []struct {
		name, version string
		settings      []debug.BuildSetting
		want          string
	}{
		{"in a repository", "(devel)", []debug.BuildSetting{revision, {Key: "vcs.modified", Value: "false"}}, "0123456789ab"},
		{"with changes", "(devel)", []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}, revision}, "0123456789ab+changes"},
		{"go install of a commit", "v0.0.0-20261130123456-fedcba987654", nil, "fedcba987654"},
		{"go install of a commit after a tag", "v0.3.1-0.20261130123456-fedcba987654", nil, "fedcba987654"},
		{"go install of a release", "v0.3.0", nil, ""},
		{"without a repository", "(devel)", nil, ""},
	} {
		if got := commitOf(&debug.BuildInfo{Main: debug.Module{Version: tt.version}, Settings: tt.settings}); got != tt.want {
			t.Errorf("%s: got %q want %q", tt.name, got, tt.want)
		}
	}
}
