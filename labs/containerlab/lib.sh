# What the check scripts of the labs share. They are run in the folder of a lab,
# which runs in Docker, started by containerlab, or in namespaces, started by the
# runner (go run ./test/clab).
set -eu
lab=$(basename "$PWD")

# on NODE COMMAND... runs a command on a node.
on() {
	on_node=$1
	shift
	if [ -n "${CLAB_EXEC-}" ]; then
		$CLAB_EXEC "$on_node" "$@" </dev/null
	else
		docker exec "clab-$lab-$on_node" "$@" </dev/null
	fi
}

# lose NODE ends a node as a power failure does.
lose() {
	if [ -n "${CLAB_KILL-}" ]; then
		$CLAB_KILL "$1"
	else
		docker kill "clab-$lab-$1" >/dev/null
	fi
}

# step WORDS says what is looked at next.
step() { printf '%s\n' "$*"; }

# eventually COMMAND... runs a command until it succeeds. If it does not in
# four minutes, which is long enough for an emulated machine, the check has failed.
eventually() {
	eventually_end=$(($(date +%s) + 240))
	until eventually_out=$("$@" 2>&1); do
		if [ "$(date +%s)" -ge "$eventually_end" ]; then
			printf 'FAILED: %s\n%s\n' "$*" "$eventually_out" >&2
			exit 1
		fi
		sleep 0.5
	done
}

# says TEXT COMMAND... succeeds if the command prints the text, a pattern of grep.
says() {
	says_text=$1
	shift
	says_out=$("$@" 2>&1) || { printf '%s\n' "$says_out"; return 1; }
	printf '%s\n' "$says_out" | grep -q -e "$says_text" || { printf 'no "%s" in:\n%s\n' "$says_text" "$says_out"; return 1; }
}

# silent TEXT COMMAND... succeeds if the command works and does not print it.
silent() {
	silent_text=$1
	shift
	silent_out=$("$@" 2>&1) || { printf '%s\n' "$silent_out"; return 1; }
	! printf '%s\n' "$silent_out" | grep -e "$silent_text"
}

# pings FROM ADDRESS... waits until addresses answer a node.
pings() {
	pings_from=$1
	shift
	for pings_to; do
		eventually on "$pings_from" ping -n -c 1 -W 1 "$pings_to"
		step "  $pings_from reaches $pings_to"
	done
}
