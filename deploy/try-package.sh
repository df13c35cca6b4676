#!/usr/bin/env bash
# Installs the Debian package on clean Debians, each booted with its own systemd,
# and prints what was done, what must hold and what was seen. Ends with status 1
# if something does not hold.
#
#   deploy/try-package.sh PACKAGE NEXT CROWD
#
# NEXT is a later version of the same package, for the upgrade. CROWD is the program
# in tools/crowd: the clients that a restart has to serve. It wants root and
# a Debian or Ubuntu: the Debians are containers of systemd-nspawn, without a
# network, in a temporary folder. SUITES says which (bookworm trixie), MIRROR
# whence they come.
set -euo pipefail
cd "$(dirname "$0")"

package=$(realpath "$OLDPWD/${1:?PACKAGE}")
next=$(realpath "$OLDPWD/${2:?NEXT}")
crowd=$(realpath "$OLDPWD/${3:?CROWD}")
suites=${SUITES:-bookworm trixie}

if [ "$(id -u)" != 0 ]; then
	echo "$0: only root can boot a container" >&2
	exit 2
fi

missing=()
command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
command -v systemd-nspawn >/dev/null || missing+=(systemd-container)
command -v pkill >/dev/null || missing+=(procps)
if [ ${#missing[@]} -gt 0 ]; then
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

tmp=$(mktemp -d "${TMPDIR:-/var/tmp}/rocket-package.XXXXXX")
name=rocket-package-$$
container= # systemd-nspawn, while it runs
groups=()  # the control groups that are ours
cleanup() {
	# Nothing in the container outlives its systemd, which is the only child of
	# systemd-nspawn, and that ends then.
	for _ in $(seq 100); do
		[ -n "$container" ] && kill -0 "$container" 2>/dev/null || break
		pkill -KILL -P "$container" || true
		sleep 0.1
	done
	kill $(jobs -p) 2>/dev/null || true
	for group in "${groups[@]}"; do
		# The kernel may need a moment to see that they are empty.
		for _ in $(seq 50); do
			find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
			[ -d "$group" ] || break
			sleep 0.1
		done
	done
	rm -rf --one-file-system "$tmp"
	# It leaves this one behind if /run is no tmpfs.
	rmdir "/run/systemd/nspawn/propagate/$name" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# Where systemd runs already it gives the container a scope. Elsewhere the
# container gets a control group that is made here.
options=(--quiet --register=no --private-network --resolv-conf=off --link-journal=no --console=pipe)
if [ ! -d /run/systemd/system ]; then
	options+=(--keep-unit)
	for root in $(awk '$3 == "cgroup2" || $3 == "cgroup" && $4 ~ /name=systemd/ {print $2}' /proc/mounts); do
		groups+=("$root/$name")
		mkdir "$root/$name"
	done
fi

boot() { # root
	for group in "${groups[@]}"; do
		echo $BASHPID >"$group/cgroup.procs"
	done
	SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 exec \
		systemd-nspawn "${options[@]}" --machine="$name" --directory="$1" --boot </dev/null
}

status=0
for suite in $suites; do
	root=$tmp/$suite
	mmdebstrap --quiet --variant=minbase --include=systemd-sysv,dbus,man-db,logrotate "$suite" "$root" ${MIRROR:-}
	install -D -t "$root/try" try-package-inside.sh try-table.sh
	install "$crowd" "$root/try/crowd"
	install -m 644 "$package" "$root/try/rocket.deb"
	install -m 644 "$next" "$root/try/next.deb"
	cat >"$root/etc/systemd/system/try-package.service" <<-UNIT
		[Unit]
		After=dbus.service
		SuccessAction=exit
		FailureAction=exit
		[Service]
		Type=oneshot
		ExecStart=/try/try-package-inside.sh
		TimeoutStartSec=240s
		StandardOutput=file:/try/table
		StandardError=file:/try/log
		[Install]
		WantedBy=multi-user.target
	UNIT
	ln -s ../try-package.service "$root/etc/systemd/system/multi-user.target.wants/"

	touch "$root/try/table" # it may never get as far as that
	boot "$root" >"$tmp/console" 2>&1 &
	container=$!
	sleep 300 &
	limit=$!
	result=0
	wait -n -p ended "$container" "$limit" || result=$?
	if [ "$ended" = "$limit" ]; then
		echo "$suite has not ended in time"
		cat "$tmp/console" "$root/try/table"
		exit 1
	fi
	container=
	kill "$limit"

	echo "### $(. "$root/etc/os-release" && echo "$PRETTY_NAME"), $(chroot "$root" systemctl --version | head -1), $(uname -sr)"
	echo
	cat "$root/try/table"
	echo
	if [ $result -ne 0 ]; then
		status=1
		echo "status $result"
		cat "$tmp/console" "$root/try/log" || true
		journalctl --quiet --no-pager -D "$root/var/log/journal" -u rocket 2>/dev/null | tail -50 || true
	fi
	rm -rf --one-file-system "$root"
done
exit $status
