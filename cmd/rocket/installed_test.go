package main

import (
	"regexp"
	"testing"
)

// What docs/operations.md says of what is installed stands in those files.
func TestDeployedPromises(t *testing.T) {
	for _, tt := range []struct{ file, what, expr string }{
		{"rocket.service", "notify-reload, or notify where that is not known", `(?m)^Type=notify\nType=notify-reload$`},
		{"rocket.service", "ended without a sign of life for 30 s", `(?m)^WatchdogSec=30s$`},
		{"rocket.service", "started again", `(?m)^Restart=(on-failure|always)$`},
		{"rocket.service", "its own user", `(?m)^User=rocket$`},
		{"rocket.service", "a read-only file system", `(?m)^ProtectSystem=strict$`},
		{"rocket.service", "but for /var/log/rocket", `(?m)^LogsDirectory=rocket$`},
		{"rocket.service", "a million files", `(?m)^LimitNOFILE=1048576$`},
		{"rocket.service", "ports below 1024", `(?m)^AmbientCapabilities=.*CAP_NET_BIND_SERVICE`},
		{"rocket.service", "the file that it serves", `(?m)^ExecStart=/usr/bin/rocket serve /etc/rocket/rocket.json$`},
		{"rocket.service", "secrets in the environment", `(?m)^EnvironmentFile=-?/etc/default/rocket$`},
		{"nfpm.yaml", "a changed configuration is left alone", `dst: /etc/rocket/rocket.json\s+type: config\|noreplace`},
		{"nfpm.yaml", "changed secrets too", `dst: /etc/default/rocket\s+type: config\|noreplace`},
		{"nfpm.yaml", "secrets are nobody else's", `dst: /etc/default/rocket\s+type: .*\s+file_info: \{mode: 0600\}`},
		{"nfpm.yaml", "completion", `dst: /usr/share/bash-completion/completions/rocket\s`},
		{"nfpm.yaml", "the manual", `dst: /usr/share/man/man1/rocket.1.gz\s`},
		{"nfpm.yaml", "a file for logrotate", `src: deploy/rocket.logrotate\s+dst: /etc/logrotate.d/rocket\s`},
		{"rocket.logrotate", "what is in /var/log/rocket", `(?m)^/var/log/rocket/\*\.log \{$`},
		{"rocket.logrotate", "once a week or above 100 MB, eight of each", `(?m)^\tweekly\n\tmaxsize 100M\n\trotate 8$`},
		{"rocket.logrotate", "the signal", `(?m)^\t\tsystemctl kill --signal=HUP .* rocket.service`},
		{"Dockerfile", "the binary, and a directory for a volume", `(?m)^FROM scratch\nCOPY --from=build /rocket /rocket\n#.*\nCOPY --from=build --chown=65532:65532 /store /store\nUSER`},
		{"Dockerfile", "user 65532", `(?m)^USER 65532`},
		{"Dockerfile", "its health check is rocket health", `(?m)^HEALTHCHECK .*CMD \["/rocket", "health"\]$`},
		{"kubernetes.yaml", "five seconds before SIGTERM", `preStop:\s+sleep: \{seconds: 5\}`},
		{"kubernetes.yaml", "a new pod is there before the old one goes", `rollingUpdate: \{maxSurge: 1, maxUnavailable: 0\}`},
		{"kubernetes.yaml", "30 s to drain", `\{name: ROCKET_DRAIN, value: 30s\}`},
		{"kubernetes.yaml", "a token for the admin port", `(?m)^  ROCKET_ADMIN_TOKEN: `},
		{"kubernetes.yaml", "no ROCKET_PORT from a service", `(?m)^ +enableServiceLinks: false$`},
	} {
		if !regexp.MustCompile(tt.expr).MatchString(readDeploy(t, tt.file)) {
			t.Errorf("%s: %s: nothing matches %s", tt.file, tt.what, tt.expr)
		}
	}
}
