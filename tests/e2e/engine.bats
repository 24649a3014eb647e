#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# hull engine: which engines this host has; HULL_ENGINE; what an engine counts

load common
load vm_named

setup() {
	GUEST=${GUEST_DIR:-$(dirname "$HULL")/guest}
	[ -x "$GUEST/hello" ] || skip "the guests are not built (make guests)"
	unset HULL_ENGINE # of whoever runs all tests with one engine
	cd "$BATS_TEST_TMPDIR" || return 1
}

need_engine() { "$HULL" engine list -q | grep -qx "$1" || skip "the engine $1 cannot run here"; }

@test "every engine is listed, with its speed or why it cannot run" {
	run "$HULL" engine list
	echo "$output"
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == ENGINE*USABLE*"RING 0"*"RING 3"*"PORT EXIT"*"FULL SPEED"*"WHY NOT" ]]
	[[ ${lines[1]} == kvm* && ${lines[2]} == bt* && ${#lines[@]} -eq 3 ]]
	run "$HULL" engine list --format json
	echo "$output"
	[ "$status" -eq 0 ]
	jq -se 'length == 2 and all(if .Usable == "yes" then .Reason == "" and .Ring0Picoseconds > 0 and .Ring3Picoseconds > 0
		and .ExitNanoseconds > 0 and (.Ring0 | test("^[0-9.]+ [pnum]s$")) else .Reason != "" end)' <<<"$output"
}

@test "an engine that cannot run says why, and is not among the names" {
	need_root
	need_engine kvm
	need unshare
	run unshare -m sh -c "mount --bind /dev/null /dev/kvm && \"$HULL\" engine list --format '{{.Name}} {{.Usable}} {{.Reason}}' &&
		\"$HULL\" engine list -q"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == "kvm no /dev/kvm"* ]]
	[[ ${lines[2]} != kvm ]]
}

@test "HULL_ENGINE is what --engine is by default, and an unknown one is refused" {
	local engine
	for engine in $("$HULL" engine list -q); do
		HULL_ENGINE=$engine run timeout 20 "$HULL" vm run --kernel "$GUEST/hello" </dev/null
		[ "$status" -eq 0 ]
		[ "$output" = hello ]
		HULL_ENGINE=$engine "$HULL" vm create --name "m$engine" --kernel "$GUEST/hello"
		[ "$("$HULL" vm inspect -f '{{.Options.Engine}}' "m$engine")" = "$engine" ]
	done
	HULL_ENGINE=vax run "$HULL" vm run --kernel "$GUEST/hello"
	[ "$status" -eq 125 ]
	[ "$output" = "hull: engine 'vax': want auto, kvm, bt" ]
	HULL_ENGINE=vax run "$HULL" vm create --kernel "$GUEST/hello"
	[ "$status" -ne 0 ]
	HULL_ENGINE=vax run "$HULL" firecracker --no-api --config-file /dev/null
	[ "$status" -eq 153 ]
	[ "$output" = "hull: engine 'vax': want auto, kvm, bt" ]
	HULL_ENGINE=vax run timeout 20 "$HULL" vm run --engine auto --kernel "$GUEST/hello" </dev/null
	[ "$status" -eq 0 ]
}

# counted MACHINE COUNTER: of its processor 0
counted() { "$HULL" engine stats --all --format json "$1" | jq -s --arg c "$2" '[.[] | select(.Cpu == 0 and .Counter == $c)][0].Value'; }

@test "an engine's counters are told of each processor while the machine runs, and grow" {
	local engine a
	for engine in $("$HULL" engine list -q); do
		"$HULL" vm create --name "c$engine" --kernel "$GUEST/count" --cpus 2 --engine "$engine"
		run "$HULL" engine stats "c$engine"
		[ "$status" -eq 1 ]
		[[ $output == *"hull: 'c$engine': it does not run" ]]
		"$HULL" vm start "c$engine"
		wait_for eval "[ \"\$(counted c$engine exit-io)\" -gt 0 ]"
		run "$HULL" engine stats "c$engine"
		echo "$output"
		[ "$status" -eq 0 ]
		[[ ${lines[0]} == MACHINE*ENGINE*CPU*COUNTER*VALUE ]]
		[[ $output == *"c$engine"*"$engine"*exit-io* ]]
		[[ $output != *exit-shutdown* ]]
		[ "$("$HULL" engine stats --all --format '{{.Cpu}}' "c$engine" | sort -u | paste -sd,)" = 0,1 ]
		"$HULL" vm pause "c$engine"
		a=$(counted "c$engine" exit-io)
		sleep 0.2
		[ "$(counted "c$engine" exit-io)" = "$a" ]
		"$HULL" vm resume "c$engine"
	done
	run "$HULL" engine stats nobody
	[ "$status" -eq 1 ]
}

@test "auto is the first engine for small guests, and says what it takes which engine for" {
	local first
	first=$("$HULL" engine list -q | head -1)
	"$HULL" vm create --name auto --kernel "$GUEST/count"
	"$HULL" vm start auto
	wait_for eval "[ \"\$(counted auto exit-io)\" -gt 0 ]"
	[ "$("$HULL" engine stats --format '{{.Engine}}' auto | sort -u)" = "$first" ]
	run "$HULL" engine list --format '{{.Name}} {{.FullSpeed}} {{.Auto}}'
	echo "$output"
	[[ $output == *all* || ( $output == *"small guests"* && $output == *"yes operating systems"* ) ]]
	[[ ${lines[0]} != "kvm yes "* || ${lines[0]} == "kvm yes all" ]]
	[ "$(stat -c %a "$HULL_RUN_ROOT/engine-auto")" = 600 ] || [ "$("$HULL" engine list -q | wc -l)" = 1 ]
}

@test "bt counts what it translates and interprets" {
	need_engine bt
	"$HULL" vm create --name bb --kernel "$GUEST/count" --engine bt
	"$HULL" vm start bb
	wait_for eval "[ \"\$(counted bb exit-io)\" -gt 0 ]"
	[ "$(counted bb blocks)" -gt 10 ]
	[ "$(counted bb instructions-translated)" -gt 10 ]
	[ "$(counted bb cache-bytes)" -gt 10 ]
	[ "$(counted bb instructions-interpreted)" -gt 0 ]
}
