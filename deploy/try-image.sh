#!/usr/bin/env bash
# Builds the image of the Dockerfile and runs it, without Docker and without a
# registry: buildah and podman do it, and the image that the build begins with is
# a small Debian with this machine's Go and its certificates. It prints what was
# done, what must hold and what was seen, and ends with status 1 if something does
# not hold. It wants root and a Debian or Ubuntu.
set -euo pipefail
cd "$(dirname "$0")"

if [ "${1:-}" != inside ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "$0: only root can run it" >&2
		exit 2
	fi
	missing=()
	for program in mmdebstrap buildah podman crun; do
		command -v $program >/dev/null || missing+=($program)
	done
	if [ ${#missing[@]} -gt 0 ]; then
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
	fi

	tmp=$(mktemp -d "${TMPDIR:-/var/tmp}/rocket-image.XXXXXX")
	inside=
	cleanup() {
		[ -z "$inside" ] || kill -KILL "$inside" 2>/dev/null || true
		wait || true
		rm -rf --one-file-system "$tmp"
	}
	trap cleanup EXIT
	trap 'exit 1' INT TERM HUP
	# In namespaces of its own, so that no mount and no process outlives it.
	unshare --mount --cgroup --pid --fork --kill-child --mount-proc "./${0##*/}" inside "$tmp" &
	inside=$!
	status=0
	wait $inside || status=$?
	inside=
	exit $status
fi

tmp=$2
. ./try-table.sh
exec 3>&2 2>"$tmp/log"
trap '[ $? = 0 ] || cat "$tmp/log" >&3' EXIT
# A place for locks and caches that ends with us, and control groups of version 2,
# whatever the machine has.
mount -t tmpfs tmpfs /dev/shm
mkdir -p /var/lib/containers
mount -t tmpfs tmpfs /var/lib/containers
umount --lazy /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup

store=(--root "$tmp/root" --runroot "$tmp/run" --storage-driver vfs)
build() { buildah "${store[@]}" build --isolation chroot --pull=never --format docker "$@" >&2; }
podman() { command podman "${store[@]}" --tmpdir "$tmp/libpod" --cgroup-manager cgroupfs --events-backend none "$@"; }

base=$(sed -n 's/^FROM \(.*\) AS build$/\1/p' Dockerfile)
mkdir "$tmp/base"
mmdebstrap --quiet --variant=minbase bookworm "$tmp/base/debian" ${MIRROR:-}
cp -a "$(go env GOROOT)" "$tmp/base/debian/usr/local/go"
install -D -t "$tmp/base/debian/etc/ssl/certs" /etc/ssl/certs/ca-certificates.crt
cat >"$tmp/base/Dockerfile" <<-'BASE'
	FROM scratch
	COPY debian /
	ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin GOPATH=/go
BASE
build --tag "docker.io/library/$base" "$tmp/base"
rm -rf "$tmp/base"

head_of_table
row "FROM $base" "this machine's Go is that" "$(go env GOVERSION)" "go${base#golang:}*"
row "build -f deploy/Dockerfile" "succeeds" "$(status build --file Dockerfile --tag rocket ..)" "status 0"
[ $failed = 0 ] || exit 1
look() { podman image inspect --format "$1" rocket; }
row "image inspect" "not root" "$(look '{{.User}}')" 65532:65532
row "" "the binary tells how it is" "$(look '{{.Config.Healthcheck.Test}}')" "[[]CMD /rocket health]"

row "image mount" "the binary and nothing else" "$(cd "$(podman image mount rocket)" && find . -type f)" ./rocket
row "" "and a directory of that user, for a volume" "$(cd "$(podman image mount rocket)" && stat -c '%n %u:%g %a' store)" "store 65532:65532 755"

# The health check is asked by hand: podman wants systemd for it.
# A container may have no more than who starts it.
run() { # name, and the rest
	podman run --detach --name "$1" --no-healthcheck --cgroups=disabled --network="${network:-none}" \
		--ulimit=nofile=4096:4096 --ulimit=nproc=4096:4096 \
		--read-only --cap-drop=all --security-opt=no-new-privileges "${@:2}" rocket ${argument:-}
}
rocket() { podman exec "$@"; }
of() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(podman inspect --format '{{.State.Pid}}' open)/status"; }

row "run --read-only --cap-drop=all" "succeeds" "$(status run open)" "status 0"
within 10 rocket open /rocket health
row "/rocket health; /rocket health -ready" "well, and ready" \
	"$(status rocket open /rocket health), $(status rocket open /rocket health -ready)" "status 0, status 0"
row "/proc/PID/status" "user 65532, without capabilities" "$(of Uid | cut -f2) $(of CapEff)" "65532 0000000000000000"

podman exec open /rocket subscribe -once news >"$tmp/events" 2>"$tmp/goodbye" &
within 10 rocket open /rocket publish news hello || true
within 10 test -s "$tmp/events" || true
row "/rocket subscribe, /rocket publish" "the event arrives" "$(head -1 "$tmp/events")" "*hello*"
podman stop --time 40 open >&2
row "stop, with a subscriber" "it says goodbye, and ends with status 0" \
	"status $(podman inspect --format '{{.State.ExitCode}}' open); $(tail -1 "$tmp/goodbye")" "status 0; *"
row "" "it was not killed" "$(podman logs open 2>&1 | grep -o '"msg":"shutting down"')" '*"shutting down"'

run locked --env ROCKET_READ_ONLY_SECRET=r --env ROCKET_READ_WRITE_SECRET=rw >&2
within 10 rocket locked /rocket health || true
podman exec --env ROCKET_SECRET=r locked /rocket subscribe -once news >"$tmp/events" 2>&1 &
within 10 rocket --env ROCKET_SECRET=rw locked /rocket publish news hello || true
row "run with secrets in the environment" "only who knows them may publish" \
	"$(status rocket locked /rocket publish news hello), $(status rocket --env ROCKET_SECRET=rw locked /rocket publish news hello)" \
	"status 4, status 0"
podman stop --time 40 locked >&2

run shut --env ROCKET_ADMIN=off >&2
within 10 rocket shut /rocket health || true
row "run with ROCKET_ADMIN=off" "well, and ready" \
	"$(status rocket shut /rocket health), $(status rocket shut /rocket health -ready)" "status 0, status 0"
row "logs" "records of the log, and no other lines" "$(podman logs shut 2>&1 | grep -cv '^{')" 0
podman stop --time 40 shut >&2

# Alone in its cluster, with the file of compose.yaml and a new volume.
stored() { # name
	run "$1" --env ROCKET_CLUSTER_LISTEN=127.0.0.1:9774 --env ROCKET_CLUSTER_ROUTES=127.0.0.1:9774 --env ROCKET_CLUSTER_NODE=one \
		--env ROCKET_CLUSTER_DIR=/store --volume "$PWD/cluster.json:/etc/rocket.json:ro" --volume store:/store
	within 20 rocket "$1" /rocket health -ready /etc/rocket.json
}
argument=/etc/rocket.json
row "run --volume store:/store, a new volume, with ROCKET_CLUSTER_DIR=/store" "ready: the volume belongs to its user" "$(status stored kept)" "status 0"
rocket kept /rocket publish news stored >&2 || true
podman stop --time 40 kept >&2
stored again >&2 || true
podman exec again /rocket subscribe -once -rewind 1 news >"$tmp/events" 2>&1 &
within 10 grep -q stored "$tmp/events" || true
row "run another container with that volume" "the history of the channel is there" "$(grep stored "$tmp/events" || true)" "*stored*"
podman stop --time 40 again >&2
argument=

# The clients are outside: what a container without a network has ends with it.
port=29772
go -C ../tools build -o "$tmp/crowd" ./crowd
network=host run crowded --env ROCKET_HOST=127.0.0.1 --env ROCKET_PORT=$port --env ROCKET_ADMIN=off >&2
within 10 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" || true
row "restart, under 2,000 clients" "the port refuses nobody for more than a second, and no herd comes back" \
	"$("$tmp/crowd" 2000 127.0.0.1:$port "$(type -P podman)" "${store[@]}" --tmpdir "$tmp/libpod" \
		--cgroup-manager cgroupfs --events-backend none restart crowded; echo "status $?")" "2000 back*status 0"
podman stop crowded >&2
exit $failed
