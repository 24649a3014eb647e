#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# machines with names: hull vm create to rm, the console, and what a kill leaves

load common
load vm_named

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

# PROTO_HOLD to its keeper twice, the second the moment the first lets go: it must not count the first one's pause as its own
@test "who holds a machine right after another has it for himself" {
	need python3
	"$HULL" vm create --name held --kernel "$GUEST/count" >/dev/null
	"$HULL" vm start held
	python3 - "$HULL_RUN_ROOT" <<-'END'
		import glob, os, socket, stat, sys
		HOLD, DONE = 14, 69
		path, = (p for p in glob.glob(sys.argv[1] + "/machine/*") if stat.S_ISSOCK(os.stat(p).st_mode))
		def ask(s, kind, payload=b""):
		    s.send(bytes([kind]) + payload)
		    while (m := s.recv(65536))[0] != DONE:
		        pass
		    return m[1:]
		for _ in range(30):
		    a, b = (socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2))
		    a.connect(path)
		    b.connect(path)
		    assert ask(a, HOLD)[:4] == bytes(4)
		    a.close()
		    assert ask(b, HOLD)[:4] == bytes(4)
		    # it is paused now, and stays so: a save without files is refused for the files alone
		    c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		    c.connect(path)
		    assert b"snapshot of it is being made" in ask(c, HOLD), "held by nobody"
		    c.close()
		    b.close()
	END
	"$HULL" vm rm -f held >/dev/null
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
	grep -qa __asan_init "$HULL" || # a sanitizer's own memory is more
		[ "$(awk '/^Anonymous/ { print $2 }' "/proc/$keeper/smaps_rollup")" -lt 512 ]
	[ -z "$(find "/proc/$keeper/fd" -lname '*count*')" ]
}

@test "killed at any moment, keeper or machine, the next command tells the truth and nothing stays" {
	create kk count --cpus 2 --vsock 9
	local pid keeper i
	for i in 1 2 3 4; do
		"$HULL" vm start kk
		pid=$(state kk Pid) keeper=$(state kk Shim)
		[ "$i" -gt 2 ] || sleep 0.0$((RANDOM % 10))
		if [ $((i % 2)) = 0 ]; then
			kill -KILL "$keeper"
			wait_for eval "[ \"\$(state kk Status)\" = dead ]"
			[[ $("$HULL" vm ps -a) == *Dead*kk* ]]
			run "$HULL" vm console kk
			[ "$status" -eq 125 ]
			[[ $output == *"(dead)"* ]]
			wait_for eval "! kill -0 $pid"
		else
			kill -KILL "$pid"
			wait_for eval "[ \"\$(state kk Status)\" = exited ]"
			[ "$(state kk ExitCode)" = 137 ]
			[[ $(state kk Error) == *"killed by signal 9"* ]]
			wait_for eval "! kill -0 $keeper"
		fi
	done
	# a machine that cannot end by itself
	"$HULL" vm start kk
	pid=$(state kk Pid)
	kill -STOP "$pid"
	kill -KILL "$(state kk Shim)"
	wait_for eval "[ \"\$(state kk Status)\" = dead ]"
	kill -0 "$pid"
	"$HULL" system prune -f >/dev/null
	wait_for eval "! kill -0 $pid"
	[ -z "$(ls "$HULL_RUN_ROOT/machine")" ]
	"$HULL" vm start kk
	[ "$(state kk Status)" = running ]
	kill -KILL "$(state kk Shim)"
	"$HULL" vm rm -f kk
}

@test "a machine whose state was damaged while it ran is not started twice, and can be removed" {
	create dm count
	"$HULL" vm start dm
	local pid dir=$HULL_ROOT/machines/${IDS# }
	pid=$(state dm Pid)
	printf '{' >"$dir/state.json"
	[[ $("$HULL" vm ps -a) == *Dead*dm* ]]
	run "$HULL" vm start dm
	[ "$status" -eq 1 ]
	[[ $output == *"it still runs, though its state.json is damaged"* ]]
	run "$HULL" vm rm dm
	[[ $output == *"it runs"* ]]
	kill -0 "$pid"
	"$HULL" system prune -f >/dev/null
	kill -0 "$pid"
	printf '{' >"$dir/config.json"
	"$HULL" vm rm -f dm
	wait_for eval "! kill -0 $pid"
}

# cpu_ticks NAME: processor time its machine has had, 1/100 s
# cpu_ticks MACHINE: of its process, and of those in which an engine runs its processors
cpu_ticks() {
	local pid p
	pid=$(state "$1" Pid)
	for p in "$pid" $(pgrep -P "$pid"); do cat "/proc/$p/stat"; done | awk '{ sum += $14 + $15 } END { print sum }'
}

@test "busy machines of weight 1 and 2 on one processor get a third and two thirds, equals the same" {
	need_root
	[ -d /sys/fs/cgroup/cpu ] || grep -qw cpu /sys/fs/cgroup/cgroup.controllers 2>/dev/null || skip "no cpu controller"
	local w wa wb a b first second
	for w in "100 200" "100 100"; do
		wa=${w% *} wb=${w#* }
		create wa count --cmdline spin --pin 0 --cpu-weight "$wa"
		create wb count --cmdline spin --pin 0 --cpu-weight "$wb"
		"$HULL" vm start wa wb
		wait_for eval "'$HULL' vm logs wa | grep -q spinning"
		wait_for eval "'$HULL' vm logs wb | grep -q spinning"
		first=$(cpu_ticks wa) second=$(cpu_ticks wb)
		for _ in $(seq 12); do # others want the processor, too: until there is enough to judge by
			sleep 0.5
			a=$(($(cpu_ticks wa) - first)) b=$(($(cpu_ticks wb) - second))
			[ $((a + b)) -lt 120 ] || break
		done
		echo "weights $wa:$wb: $a and $b ticks"
		"$HULL" vm rm -f wa wb
		[ $((a + b)) -ge 40 ] || skip "the processor is busy with other things"
		# a third within a sixth of it, or a half
		[ $((a * 1000 / (a + b))) -gt $((wa * 1000 / (wa + wb) * 5 / 6)) ]
		[ $((a * 1000 / (a + b))) -lt $((wa * 1000 / (wa + wb) * 7 / 6)) ]
	done
}

@test "a cap holds, and each processor's thread is where it was pinned" {
	need_root
	[ "$(nproc)" -ge 2 ] || skip "one processor"
	[ -d /sys/fs/cgroup/cpu ] || grep -qw cpu /sys/fs/cgroup/cgroup.controllers 2>/dev/null || skip "no cpu controller"
	create cap count --cmdline spin --cpus 2 --pin 1,0 --cpu-max 0.2
	"$HULL" vm start cap
	wait_for eval "'$HULL' vm logs cap | grep -q spinning"
	local a pid t
	pid=$(state cap Pid)
	for t in /proc/"$pid"/task/*; do
		case $(cat "$t/comm") in
		"cpu 0") [ "$(awk '/^Cpus_allowed_list/ { print $2 }' "$t/status")" = 1 ] ;;
		"cpu 1") [ "$(awk '/^Cpus_allowed_list/ { print $2 }' "$t/status")" = 0 ] ;;
		esac
	done
	a=$(cpu_ticks cap)
	sleep 1
	a=$(($(cpu_ticks cap) - a))
	echo "$a ticks of 100"
	[ "$a" -gt 5 ]
	[ "$a" -lt 30 ]
}
