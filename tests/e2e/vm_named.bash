# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Shared by the tests of machines with names: each test makes its own, and none may leave anything.

setup_file() {
	setup_hull
}

teardown_file() {
	local id
	for id in $("$HULL" vm ps -aq 2>/dev/null); do "$HULL" vm rm -f "$id" >/dev/null 2>&1; done
	teardown_hull
}

setup() {
	[ -w /dev/kvm ] || skip "no /dev/kvm"
	GUEST=${GUEST_DIR:-$(dirname "$HULL")/guest}
	[ -x "$GUEST/count" ] || skip "the guests are not built (make guests)"
	cd "$BATS_TEST_TMPDIR" || return 1
}

teardown() {
	local id
	for id in $("$HULL" vm ps -aq 2>/dev/null); do "$HULL" vm rm -f "$id" >/dev/null; done
	nothing_left
}

# nothing_left: of all machines of this root
nothing_left() {
	local left
	left=$(find "$HULL_ROOT/machines" "$HULL_RUN_ROOT/machine" -mindepth 1 ! -path '*/names' 2>/dev/null)
	[ -z "$left" ] || { echo "left: $left"; return 1; }
	for id in ${IDS-}; do
		left=$(find /sys/fs/cgroup -name "$id" 2>/dev/null)
		[ -z "$left" ] || { echo "left: $left"; return 1; }
		wait_for no_process "$id" || { pgrep -af "hull keeper $id"; return 1; }
	done
}

no_process() { ! pgrep -f "hull keeper $1" >/dev/null; }

# create NAME GUEST [OPTIONS...]
create() {
	local name=$1 guest=$2 id
	shift 2
	id=$("$HULL" vm create --name "$name" --kernel "$GUEST/$guest" "$@") || return 1
	IDS+=" $id"
}

# state NAME FIELD
state() { "$HULL" vm inspect -f "{{.State.$2}}" "$1"; }

# type_keys NAME KEYS WANT: what the console answers, up to a line with WANT
type_keys() {
	python3 -c '
import os, re, select, subprocess, sys, time
p = subprocess.Popen([sys.argv[1], "vm", "console", sys.argv[2]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
p.stdin.write(sys.argv[3].encode()); p.stdin.flush()
seen, end = b"", time.time() + 10
while not re.search(sys.argv[4].encode() + b"[^\n]*\n", seen) and time.time() < end:
    if select.select([p.stdout], [], [], 0.2)[0]:
        more = os.read(p.stdout.fileno(), 4096)
        if not more: break
        seen += more
p.kill()
sys.stdout.write(seen.decode())
sys.exit(0 if re.search(sys.argv[4].encode(), seen) else 1)' "$HULL" "$1" "$2" "$3"
}

# count NAME: how far it has counted
count() { type_keys "$1" c 'count [0-9]+' | sed -n 's/.*count \([0-9]*\).*/\1/p' | tail -1; }

# until_counting NAME: its guest answers
until_counting() { wait_for eval "[ -n \"\$(count $1)\" ]"; }
