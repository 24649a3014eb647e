#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# snapshots of machines with names, and the machines that go on from them

load common
load vm_named

@test "a clone goes on where the snapshot was taken, and so does what it was taken of" {
	create orig count --track-dirty
	"$HULL" vm start orig
	until_counting orig
	local a b c d
	a=$(count orig)
	run "$HULL" vm snapshot orig
	[ "$status" -eq 0 ]
	[ "$output" = "$HULL_ROOT/machines/${IDS# }/snapshot" ]
	[ "$(state orig Status)" = running ]
	b=$(count orig)
	IDS+=" $("$HULL" vm restore orig --name clone)"
	IDS+=" $("$HULL" vm restore "$output" --name clone2)"
	c=$(count clone)
	d=$(count clone2)
	echo "before $a after $b clones $c $d"
	[ "$b" -ge "$a" ]
	[ "$c" -ge "$a" ]
	[ "$d" -ge "$a" ]
	type_keys clone q ''
	[ "$("$HULL" vm wait clone)" = 3 ]
	[ "$(state clone2 Status),$(state orig Status)" = running,running ]
	# ended, it boots afresh
	"$HULL" vm start clone
	[[ $(type_keys clone c 'count [0-9]+') == *count* ]]
}

@test "a difference is merged with the snapshot before it, and refused where it does not fit" {
	create dd count --track-dirty
	create nn count
	"$HULL" vm start dd nn
	until_counting dd
	run "$HULL" vm snapshot dd --to snap --diff
	[ "$status" -eq 1 ]
	[[ $output == *"needs the snapshot before it"* ]]
	"$HULL" vm snapshot dd --to snap
	local a
	a=$(count dd)
	"$HULL" vm snapshot dd --to snap --diff
	IDS+=" $("$HULL" vm restore snap --name after)"
	[ "$(count after)" -ge "$a" ]
	[ "$(find snap -type f ! -name 'ahead-*' | wc -l)" -eq 3 ]
	"$HULL" vm snapshot dd --to other
	run "$HULL" vm snapshot dd --to snap --diff
	[ "$status" -eq 1 ]
	[[ $output == *"its last snapshot is another"* ]]
	[ "$(state dd Status)" = running ]
	[ "$(find snap -type f ! -name 'ahead-*' | wc -l)" -eq 3 ]
	"$HULL" vm snapshot nn --to nosnap
	run "$HULL" vm snapshot nn --to nosnap --diff
	echo "$output"
	[[ $output == *"made with --track-dirty"* ]]
	[ "$(state nn Status)" = running ]
}

@test "a machine with a split interrupt controller goes on from the middle of its work" {
	[ "${HULL_ENGINE-}" != bt ] || skip "bt has all of the controller itself"
	python3 -c 'for n in range(4096): open("disk", "ab").write(n.to_bytes(8, "little") + bytes(504))'
	create split snapshot --irqchip split --disk disk,ro --cmdline rounds=60
	"$HULL" vm start split
	wait_for eval '"$HULL" vm logs split | grep -q "round 10"'
	"$HULL" vm snapshot split --to middle >/dev/null
	IDS+=" $("$HULL" vm restore middle --name again)"
	for name in split again; do
		[ "$("$HULL" vm wait "$name")" = 0 ]
		[ "$("$HULL" vm logs "$name" | tail -1)" = "done, disk interrupts came" ]
	done
	# an engine that has all of the controller itself takes it; other things it may lack
	run "$HULL" vm restore middle --name other --engine bt
	[[ $output != *"interrupt controller"* ]] || { echo "$output"; return 1; }
	[ "$status" -ne 0 ] || "$HULL" vm wait other
}

@test "each clone has a disk of its own that begins as the snapshot's" {
	local how a
	truncate -s 1M raw
	"$HULL" disk create -f qcow2 qcow2 1M
	for how in raw qcow2; do
		create "o$how" count --disk "$how,format=$how"
		"$HULL" vm start "o$how"
		until_counting "o$how"
		a=$(type_keys "o$how" w 'wrote [0-9]+' | sed 's/wrote \([0-9]*\).*/\1/')
		"$HULL" vm snapshot "o$how" --to "snap$how" >/dev/null
		type_keys "o$how" w 'wrote [0-9]+' >/dev/null
		IDS+=" $("$HULL" vm restore "snap$how" --name "c1$how")"
		IDS+=" $("$HULL" vm restore "snap$how" --name "c2$how")"
		[[ $(type_keys "c1$how" r 'disk [0-9]+') == *"disk $a, status 0"* ]]
		type_keys "c1$how" w 'wrote [0-9]+, status 0' >/dev/null
		[[ $(type_keys "c2$how" r 'disk [0-9]+') == *"disk $a, status 0"* ]]
		[ "$how" = raw ] || continue
		# a clone of a clone, whose disk is an overlay
		"$HULL" vm snapshot "c2$how" --to "second$how" >/dev/null
		"$HULL" vm rm -f "c2$how"
		rm -r "snap$how"
		IDS+=" $("$HULL" vm restore "second$how" --name "c3$how")"
		[[ $(type_keys "c3$how" r 'disk [0-9]+') == *"disk $a, status 0"* ]]
		[[ $(type_keys "c1$how" r 'disk [0-9]+') == *"status 0"* ]]
	done
	"$HULL" vm snapshot oraw --to bare --no-disks
	run "$HULL" vm restore bare
	[ "$status" -eq 125 ]
	[[ $output == *"--disk disk0=FILE"* ]]
	[ "${#lines[@]}" -eq 1 ]
	cp raw copy
	IDS+=" $("$HULL" vm restore bare --name own --disk disk0=copy)"
	[[ $(type_keys own r 'disk [0-9]+') == *"status 0"* ]]
	run "$HULL" vm restore bare --disk disk7=copy
	[[ $output == *"the snapshot has no disk7"* ]]
}

@test "the first clone lists the memory it touched, the others fetch it and run, and the list goes with its snapshot" {
	[ "${HULL_ENGINE-}" != bt ] || skip "bt copies the memory: nothing is left to fetch"
	local list
	create ah count
	"$HULL" vm start ah
	until_counting ah
	"$HULL" vm snapshot ah --to snap
	IDS+=" $("$HULL" vm restore snap --name a1)"
	list=$(find snap -name 'ahead-*')
	wait_for eval "[ \"\$(stat -c %s $list)\" -gt 32 ]"
	[ "$(head -c 8 "$list")" = HULLWSET ]
	IDS+=" $("$HULL" vm restore snap --name a2)"
	IDS+=" $("$HULL" vm restore snap --name a3 --ahead own)"
	wait_for eval "[ \"\$(stat -c %s own)\" -gt 32 ]"
	IDS+=" $("$HULL" vm restore snap --name a4 --ahead own)"
	for name in a1 a2 a3 a4; do
		[ -n "$(count "$name")" ]
		[ "$(state "$name" Status)" = running ]
	done
	"$HULL" vm snapshot a2 --to snap
	[ "$(find snap -type f | wc -l)" -eq 3 ]
	[ -n "$(count a1)" ]
	# a hint only
	echo nonsense >own
	IDS+=" $("$HULL" vm restore snap --name a5 --ahead own)"
	IDS+=" $("$HULL" vm restore snap --name a6 --ahead no/such/directory)"
	[ -n "$(count a5)" ] && [ -n "$(count a6)" ]
	[ "$(cat own)" = nonsense ]
}

@test "a snapshot that was damaged or lies about its files makes no machine" {
	need jq
	create ss count
	"$HULL" vm start ss
	"$HULL" vm snapshot ss --to good
	local bad f
	for bad in '.State = "../../../etc/passwd"' '.Memory = "/etc/passwd"' '.Memory = "nothing"' 'del(.Options)' \
		'del(.Id)' '.Options.Disks = ["/etc/passwd"]' '.Options.Cpus = "x"' '.Options = []'; do
		rm -rf bad && cp -r good bad
		jq "$bad" good/snapshot.json >bad/snapshot.json
		run "$HULL" vm restore bad
		echo "$bad: $status $output"
		[[ $bad == *Cpus* ]] && { [ "$status" -eq 0 ] && "$HULL" vm rm -f "$output" >/dev/null; continue; }
		[ "$status" -eq 125 ]
		[ "$(grep -c '^hull: ' <<<"$output")" -eq 1 ]
	done
	for f in good/state-* good/snapshot.json; do
		rm -rf bad && cp -r good bad
		head -c 100 "$f" >"bad/${f##*/}"
		run "$HULL" vm restore bad
		echo "$f: $output"
		[ "$status" -eq 125 ]
	done
	[ "$("$HULL" vm ps -aq | wc -l)" -eq 1 ]
}

@test "commands killed at random points leave nothing that a later one does not clear up" {
	local i pid
	create base count --track-dirty
	"$HULL" vm start base
	"$HULL" vm snapshot base --to snap >/dev/null
	for i in $(seq 24); do
		case $((i % 4)) in
		0) "$HULL" vm create --name "r$i" --kernel "$GUEST/count" >/dev/null 2>&1 & ;;
		1) "$HULL" vm restore snap --name "r$i" >/dev/null 2>&1 & ;;
		2) "$HULL" vm snapshot base --to snap >/dev/null 2>&1 & ;;
		3) "$HULL" vm rm -f "r$((i - 2))" >/dev/null 2>&1 & ;;
		esac
		pid=$!
		sleep "0.0$(printf %02d $((RANDOM % 30)))"
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	sleep 0.2
	wait_for eval "[ \"\$(state base Status)\" = running ]"
	[ -n "$(count base)" ]
	"$HULL" vm snapshot base --to snap >/dev/null
	[ "$(find snap -type f | wc -l)" -eq 3 ]
	IDS+=" $("$HULL" vm restore snap --name whole)"
	[ -n "$(count whole)" ]
	for i in $("$HULL" vm ps -aq); do "$HULL" vm rm -f "$i" >/dev/null; done
	"$HULL" system prune -f >/dev/null
	nothing_left
}
