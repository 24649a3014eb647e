#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# machines with names: hull vm create to rm, snapshots and clones, and what a kill leaves

load common

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

@test "a machine is made, started, ends with its guest's status, and is removed" {
	create one hello --cmdline status=7
	[ "$(state one Status)" = created ]
	run "$HULL" vm start -a one </dev/null
	[ "$status" -eq 7 ]
	[ "$output" = hello ]
	[ "$(state one Status)" = exited ]
	[ "$(state one ExitCode)" = 7 ]
	[ "$("$HULL" vm wait one)" = 7 ]
	"$HULL" vm start one
	[ "$("$HULL" vm wait one)" = 7 ]
	[ "$("$HULL" vm logs one)" = $'hello\nhello' ]
	run "$HULL" vm rm one
	[ "$status" -eq 0 ]
	[ "$output" = one ]
	run "$HULL" vm ps -aq
	[ -z "$output" ]
}

@test "how a guest ended is in its state" {
	create triple reset --cmdline how=triple
	run "$HULL" vm start -a triple </dev/null
	[ "$status" -eq 1 ]
	[ "$(state triple Error)" = "a triple fault" ]
	create off reset --cmdline how=off
	run "$HULL" vm start -a off </dev/null
	[ "$status" -eq 0 ]
	[ -z "$(state off Error)" ]
	create none hello
	printf x >notakernel
	"$HULL" vm create --name bad --kernel notakernel
	run "$HULL" vm start bad
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == *bad*notakernel* ]]
	[ "$(state bad Status)" = created ]
}

@test "names are unique, ids can be shortened, and what is wrong is one line" {
	local row
	create web hello
	local id=${IDS# }
	[ "$("$HULL" vm inspect -f '{{.Name}}' "${id:0:6}")" = web ]
	"$HULL" vm create --kernel "$GUEST/hello" >made_up
	[[ $("$HULL" vm inspect -f '{{.Name}}' "$(cat made_up)") == *_* ]]
	local -a bad=("create --name web --kernel $GUEST/hello|the name 'web' is in use"
		"create --name .x --kernel $GUEST/hello|invalid name" "create --name web2|needs --kernel"
		"create --name web2 --kernel /nonexistent|/nonexistent" "create --name web2 --kernel $GUEST/hello --cpus 99|cpus: 99"
		"create --kernel $GUEST/hello --cpus 2 --pin 0,1,2|3 lists for 2 processors"
		"create --kernel $GUEST/hello --pin x|--pin" "create --kernel $GUEST/hello --cpu-weight 10001|--cpu-weight"
		"start nobody|no such machine: 'nobody'" "stop nobody|no such machine" "kill web|it does not run"
		"pause web|it does not run" "resume web|it does not run" "console web|does not run (created)"
		"snapshot web|it does not run" "restore /nonexistent|/nonexistent" "inspect nobody|no such machine"
		"logs nobody|no such machine" "rm nobody|no such machine" "ps -f color=red|color")
	for row in "${bad[@]}"; do
		# shellcheck disable=SC2086
		run "$HULL" vm ${row%%|*} </dev/null
		echo "$row: $status $output"
		[ "$status" -ne 0 ]
		[[ $output == *"${row#*|}"* ]]
		[ "$(grep -c '^hull: ' <<<"$output")" -eq 1 ]
	done
	[ "$("$HULL" vm ps -aq | wc -l)" -eq 2 ]
	run "$HULL" vm rm -f nobody
	[ "$status" -eq 0 ]
}

@test "ps and inspect show machines as they are" {
	create aa count
	create bb hello --memory 64m --cpus 2
	"$HULL" vm start aa
	[ "$("$HULL" vm ps --format '{{.Names}} {{.State}}')" = "aa running" ]
	[ "$("$HULL" vm ps -a --format '{{.Names}}' | sort | paste -sd,)" = aa,bb ]
	[ "$("$HULL" vm ps -a --filter status=created --format '{{.Names}} {{.Memory}} {{.Cpus}}')" = "bb 64MiB 2" ]
	[[ $("$HULL" vm ps) == *"MACHINE ID"*"Up "*aa* ]]
	[ "$("$HULL" vm inspect aa | jq -r '.[0].Options.Kernel')" = "$GUEST/count" ]
	[ "$(ps -o comm= -p "$(state aa Pid)")" = hull-machine ]
	"$HULL" vm pause aa
	[ "$(state aa Status)" = paused ]
	"$HULL" vm resume aa
	[ "$(state aa Status)" = running ]
	run "$HULL" vm resume aa
	[[ $output == *"it is not paused"* ]]
	run "$HULL" vm rm aa
	[ "$status" -eq 1 ]
	[[ $output == *"it runs"* ]]
}

@test "relative paths hold wherever a machine is started from" {
	cp "$GUEST/hello" kernel
	truncate -s 1M disk
	"$HULL" vm create --name rel --kernel kernel --disk disk,ro
	run bash -c "cd / && '$HULL' vm start -a rel </dev/null"
	[ "$output" = hello ]
}

@test "a paused machine makes no progress, a resumed one goes on from there" {
	create cc count
	"$HULL" vm start cc
	wait_for count cc
	"$HULL" vm pause cc
	"$HULL" vm resume cc
	local a b
	a=$(count cc)
	sleep 0.3
	b=$(count cc)
	echo "$a $b"
	[ "$b" -gt "$a" ]
}

@test "stop asks, waits and ends it; kill does not ask" {
	create st count
	"$HULL" vm start st
	local t=$SECONDS
	"$HULL" vm stop -t 1 st
	[ $((SECONDS - t)) -lt 5 ]
	[ "$(state st Status),$(state st ExitCode)" = exited,137 ]
	"$HULL" vm stop st
	"$HULL" vm start st
	"$HULL" vm pause st
	"$HULL" vm stop -t 0 st
	[ "$(state st Status)" = exited ]
	"$HULL" vm start st
	"$HULL" vm kill st
	[ "$(state st Status),$(state st ExitCode)" = exited,137 ]
}

@test "the console takes keys, is left by the detach keys, and gives the exit status" {
	create con count
	"$HULL" vm start con
	run type_keys con cq 'count [0-9]+'
	[ "$status" -eq 0 ]
	[ "$("$HULL" vm wait con)" = 3 ]
	"$HULL" vm start con
	(sleep 0.5 && count con) 3>&- &
	run "$BATS_TEST_DIRNAME/vm_pty.py" 1011 "count" "$HULL" vm console con
	echo "$output"
	[ "${lines[-1]}" = "status 0, terminal as before" ]
	[ "$(state con Status)" = running ]
	run bash -c "(sleep 0.3; printf q; sleep 1) | '$HULL' vm console con"
	[ "$status" -eq 3 ]
}

@test "two machines at once do not meet, and neither holds what it does not need" {
	create m1 count
	create m2 count --cpus 2
	"$HULL" vm start m1 m2
	local n
	for n in m1 m2; do
		[ "$(count $n)" -ge 0 ]
		grep -q '^Seccomp:.2' "/proc/$(state $n Pid)/status"
		grep -q '^CapEff:.0000000000000000' "/proc/$(state $n Pid)/status"
	done
	"$HULL" vm kill m1
	[ "$(state m2 Status)" = running ]
	[ "$(count m2)" -ge 0 ]
	local keeper
	keeper=$(state m2 Shim)
	[ "$(awk '/^Anonymous/ { print $2 }' "/proc/$keeper/smaps_rollup")" -lt 512 ]
	[ -z "$(find "/proc/$keeper/fd" -lname '*count*')" ]
}
