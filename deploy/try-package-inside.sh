#!/usr/bin/env bash
# What try-package.sh does in a clean Debian, as root. It prints a table, and ends
# with status 1 if something in it does not hold.
set -uo pipefail
cd /try
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

. ./try-table.sh

property() { systemctl show --value --property="$1" rocket; }
pid() { property MainPID; }
active() { echo "$(systemctl is-active rocket), $(systemctl is-enabled rocket)"; }
process() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(pid)/status"; }
logged() { journalctl --quiet --boot --unit=rocket --output=cat "$@"; }
version() { dpkg-query --showformat='${Version}' --show rocket; }
config() { stat --format='%n %a %U:%G' /etc/rocket/rocket.json /etc/default/rocket; }
apt_get() { status apt-get install --yes -qq -o=Dpkg::Use-Pty=0 "$@"; }
reload() {
	if [ "$(property Type)" = notify-reload ]; then
		systemctl reload rocket
	else
		systemctl kill --signal=HUP rocket
	fi
}
# 2,000 clients come back from what the command does to the server.
under_crowd() {
	./crowd 2000 127.0.0.1:9772 "$@"
	echo "status $?"
}
# publishes to a channel that is there only if the configuration says so.
publish_named() { rocket publish headlines hello; }

head_of_table

# Since 253 systemd knows notify-reload.
systemd=$(systemctl --version | awk 'NR == 1 {print $2}')
type=notify
[ "$systemd" -lt 253 ] || type=notify-reload

row "apt install ./rocket.deb" "succeeds" "$(status apt install --yes ./rocket.deb)" "status 0"
row "" "the service runs, and will after a boot" "$(active)" "active, enabled"
row "" "systemd knows when it serves" "Type=$(property Type)" "Type=$type"
row "" "it runs as rocket" "$(stat --format=%U:%G "/proc/$(pid)")" rocket:rocket
row "" "nobody can log in as rocket" "$(getent passwd rocket | cut -d: -f6-)" "/nonexistent:/usr/sbin/nologin"
row "" "secrets are not for everybody" "$(config)" \
	"/etc/rocket/rocket.json 640 root:rocket"$'\n'"/etc/default/rocket 600 root:root"
# Debian 12 says that it does not know notify-reload.
row "systemd-analyze verify" "no complaints, but for notify-reload in old systemd" \
	"$(systemd-analyze verify --man=no rocket.service 2>&1 | grep rocket.service | grep -v 'notify-reload$')" ""
row "rocket health; rocket health -ready" "well, and ready" \
	"$(status rocket health), $(status rocket health -ready)" "status 0, status 0"

# A Debian of debootstrap has none; the installer and the images of clouds make one.
# Without one, nobody knows localhost.
[ -f /etc/hosts ] || echo "127.0.0.1 localhost" >/etc/hosts

rocket subscribe -once news >events 2>goodbye &
within 10 rocket publish news '{"title": "hello"}'
within 10 test -s events
row "rocket subscribe, rocket publish" "the event arrives" "$(head -1 events)" '*hello*'
first=$(pid)
systemctl stop rocket
wait %1
row "systemctl stop, with a subscriber" "it says goodbye, and ends with status 0" \
	"$(property Result), status $(property ExecMainStatus); $(tail -1 goodbye)" "success, status 0; *1001*"
systemctl start rocket
row "systemctl start" "another process serves" "$([ "$(pid)" != "$first" ] && rocket health -ready && active)" "*active, enabled"
row "journalctl -u rocket" "the log is there, in JSON" "$(logged --grep='"msg":"serving"' | tail -1)" '{*"serving"*}'

# What protects the machine, as the kernel sees it.
files() { awk '/^Max open files/ {print $5}' "/proc/$1/limits"; }
most=$(files 1) # all there are, if this is a container that may not have more
row "/proc/PID/limits" "a million open files, or what systemd itself may have" \
	"$(files "$(pid)") of $(property LimitNOFILE); systemd has $most" \
	"$((most < 1048576 ? most : 1048576)) of 1048576; *"
row "/proc/PID/status" "no new privileges; CAP_NET_BIND_SERVICE only" \
	"$(process NoNewPrivs) $(process CapBnd) $(process CapEff)" "1 0000000000000400 0000000000000400"
filters=$(($(process Seccomp_filters) - $(sed -n 's/^Seccomp_filters:[[:space:]]*//p' /proc/1/status)))
row "" "system calls are filtered, beyond what the container does" "$filters filters" "[1-9]*"
row "/proc/PID/mountinfo" "the file system is read-only" \
	"$(awk '$5 == "/" {print $6}' "/proc/$(pid)/mountinfo" | tail -1)" "ro*"
row "" "a /tmp of its own; no homes, no other processes" \
	"$(awk '$5 == "/tmp" && $4 ~ /private/ || $5 == "/home" && $4 ~ /inaccessible/ || $5 == "/proc" && /hidepid/ {print $5}' \
		"/proc/$(pid)/mountinfo" | sort | xargs)" "/home /proc /tmp"
row "systemd-analyze security" "exposure below 2 of 10" \
	"$(systemd-analyze security --no-pager rocket.service | grep -o 'Overall exposure.*: [0-9.]*' | grep -o '[0-9.]*$')" "[01].*"

cp /etc/rocket/rocket.json before.json
echo "ROCKET_LOG_LEVEL=debug" >>/etc/default/rocket
sed -i 's|{"Path": "/"}|{"Path": "/", "Channels": ["headlines"]}|' /etc/rocket/rocket.json
row "a channel in rocket.json, not yet reloaded" "nobody can publish to it" "$(status publish_named)" "status 1"
first=$(pid)
reload
[ $type = notify-reload ] || within 10 publish_named # nobody says when it is done
row "reload" "the channel is there" "$(status publish_named)" "status 0"
cp /etc/rocket/rocket.json good.json
echo '{"Hubs": [' >/etc/rocket/rocket.json
reload
within 10 logged --grep="not reloaded"
row "a broken rocket.json, and reload" "the log says what is wrong" "$(logged --grep='not reloaded' | grep -o '"error":.*' | tail -1)" "*rocket.json*"
row "" "nothing has changed" "$(status publish_named), $(active)" "status 0, active, enabled"
row "" "it is still the same process" "$([ "$(pid)" = "$first" ] && echo yes)" yes
row "rocket check" "it would have said so" "$(rocket check /etc/rocket/rocket.json 2>&1 >/dev/null | head -1)" "*rocket.json*"
cp good.json /etc/rocket/rocket.json
systemctl restart rocket
row "systemctl restart" "another process serves" \
	"$([ "$(pid)" != "$first" ] && status publish_named)" "status 0"

row "systemctl restart, under 2,000 clients" "the port refuses nobody for more than a second, and no herd comes back" \
	"$(under_crowd systemctl restart rocket)" "2000 back*status 0"
row "kill -9, under 2,000 clients" "the port refuses nobody for more than a second" \
	"$(under_crowd systemctl kill --kill-who=main --signal=KILL rocket)" "2000 back*refused within 0.*"
systemctl restart rocket

restarted() { [ "$(property NRestarts)" -ge "$1" ] && rocket health -ready; }
for n in 1 2 3 4 5 6; do
	systemctl kill --kill-who=main --signal=KILL rocket
	within 10 restarted $n
done
row "kill -9, six times" "systemd starts it again" "$(property NRestarts) restarts, $(active)" "6 restarts, active, enabled"
row "systemctl show" "the watchdog looks" "$(property WatchdogUSec)" 30s
# The same, and in less than a minute.
mkdir -p /run/systemd/system/rocket.service.d
printf '[Service]\nWatchdogSec=4s\n' >/run/systemd/system/rocket.service.d/try.conf
systemctl daemon-reload
systemctl restart rocket
sleep 9
row "WatchdogSec=4s, for 9 s" "it gives signs of life" "$(property NRestarts) restarts, $(active)" "0 restarts, active, enabled"
systemctl kill --kill-who=main --signal=STOP rocket
within 20 restarted 1
row "kill -STOP" "systemd sees that it hangs, and starts it again" \
	"$(property NRestarts) restarts, $(active); $(logged --grep='Watchdog timeout' | tail -1)" "1 restarts, active, enabled; *Watchdog*"
rm -r /run/systemd/system/rocket.service.d
systemctl daemon-reload

printf 'ROCKET_PORT=80\nROCKET_LOG=/var/log/rocket/rocket.log\n' >/etc/default/rocket
sed -i '/"Port"/d' /etc/rocket/rocket.json
systemctl restart rocket
row "port 80, and a log in /var/log/rocket" "it may have both" \
	"$(status rocket publish -url ws://localhost:80/ headlines hello), $(grep -c '"serving"' /var/log/rocket/rocket.log) line" "status 0, 1 line"
row "logrotate --force" "succeeds" "$(status logrotate --force /etc/logrotate.d/rocket)" "status 0"
within 10 grep -q '"reloaded"' /var/log/rocket/rocket.log
row "" "the server goes on in a new file, of its own" \
	"$(cd /var/log/rocket && grep -c '"reloaded"' rocket.log rocket.log.1; stat --format='%U %a' rocket.log)" \
	"rocket.log:1"$'\n'"rocket.log.1:0"$'\n'"rocket 600"
: >/etc/default/rocket

row "man rocket" "the manual is there" "$(MANWIDTH=80 man rocket 2>&1 | grep -A1 '^NAME' | tail -1 | xargs)" "rocket - *"
row "bash completion" "completes" \
	"$(bash -c '. /usr/share/bash-completion/completions/rocket && complete -p rocket' 2>&1)" "complete *"
row "completion for zsh and fish" "is there" \
	"$(stat --format=%F /usr/share/zsh/vendor-completions/_rocket /usr/share/fish/vendor_completions.d/rocket.fish | uniq)" "regular file"

# From here on rocket.json is one that somebody has changed.
cp good.json /etc/rocket/rocket.json
systemctl restart rocket
kept() { cmp good.json /etc/rocket/rocket.json && echo kept; }
first=$(pid)
row "apt install --reinstall" "succeeds, keeps rocket.json, restarts" \
	"$(apt_get --reinstall ./rocket.deb), $(kept), $(status publish_named), $([ "$(pid)" != "$first" ] && active)" \
	"status 0, kept, status 0, active, enabled"
first=$(pid)
old=$(version)
row "apt install ./next.deb, under 2,000 clients" "the port refuses nobody for more than a second, and no herd comes back" \
	"$(under_crowd apt-get install --yes -qq -o=Dpkg::Use-Pty=0 ./next.deb)" "2000 back*status 0"
row "" "keeps rocket.json, restarts" \
	"$(kept), $(status publish_named), $([ "$(pid)" != "$first" ] && active)" \
	"kept, status 0, active, enabled"
row "" "it is the later version" "$(dpkg --compare-versions "$(version)" gt "$old" && echo "$old, $(version)")" "?*"
systemctl disable --now --quiet rocket
row "apt install of the older, the service disabled" "it stays disabled" \
	"$(apt_get --allow-downgrades ./rocket.deb), $(active)" "status 0, inactive, disabled"
systemctl enable --now --quiet rocket

process=$(pid)
row "apt remove" "succeeds" "$(status apt-get remove --yes -qq -o=Dpkg::Use-Pty=0 rocket)" "status 0"
row "" "the server has stopped" "$([ -d "/proc/$process" ] || systemctl is-active rocket)" inactive
row "" "its program is gone, rocket.json is not" "$(ls /usr/bin/rocket 2>/dev/null)$(kept)" kept
row "apt install, after that" "the service runs as before" \
	"$(apt_get ./rocket.deb), $(status publish_named), $(active)" "status 0, status 0, active, enabled"
row "apt purge" "succeeds" "$(status apt-get purge --yes -qq -o=Dpkg::Use-Pty=0 rocket)" "status 0"
row "" "nothing is left but the user" \
	"$(find /etc /usr /var /run -xdev -not -path '/var/cache/man/*' -iname '*rocket*' | sort); $(getent passwd rocket | cut -d: -f1)" "; rocket"
row "" "no unit, and none has failed" "$(systemctl list-units --all --no-legend 'rocket*'; systemctl --failed --no-legend)" ""
row "apt install, after that" "as at first" \
	"$(apt_get ./rocket.deb), $(cmp before.json /etc/rocket/rocket.json && active)" "status 0, active, enabled"

exit $failed
