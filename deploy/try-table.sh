# What try-package-inside.sh and try-image.sh share: the table that they print.

failed=0
head_of_table() {
	echo "| what was done | what must hold | what was seen | |"
	echo "|---|---|---|---|"
}

row() { # done, must hold, seen, pattern
	local mark=ok
	# The pattern is one: no quotes.
	if [[ $3 != $4 ]]; then
		mark=FAILED
		failed=1
	fi
	printf '| %s | %s | %s | %s |\n' "$1" "$2" "${3//$'\n'/; }" "$mark"
}

within() { # seconds, command: tries until it succeeds
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

status() { # command: what it says goes to standard error
	"$@" >&2
	echo "status $?"
}
