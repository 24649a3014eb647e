#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# hull vm run: the command, its console, its ends; what guests see of a machine is vm_guest.bats'

load common

setup_file() {
	setup_hull
	need_kvm
}

teardown_file() { teardown_hull; }

setup() {
	need_kvm
	GUEST=${GUEST_DIR:-$(dirname "$HULL")/guest}
	[ -x "$GUEST/hello" ] || skip "the guests are not built (make guests)"
}

need_kvm() { [ -w /dev/kvm ] || skip "no /dev/kvm"; }

# vm GUEST [OPTIONS...]: run it, 20 seconds at most
vm() {
	local kernel=$1
	shift
	timeout -k 1 20 "$HULL" vm run --kernel "$GUEST/$kernel" "$@" </dev/null
}

# nothing_left: no process of this file's machines, none of their threads
nothing_left() { ! pgrep -f "vm run --kernel $GUEST" >/dev/null; }

@test "a guest's output is on the console and its exit status is hull's" {
	local status_wanted
	for status_wanted in 0 1 7 124 255; do
		run vm hello --cmdline "status=$status_wanted"
		[ "$status" -eq "$status_wanted" ]
		[ "$output" = hello ]
	done
}

@test "all memory is there, below and above 4 GiB, and none of it costs before it is touched" {
	run vm memory --memory 256m
	[ "$status" -eq 0 ]
	[[ $output == *"bad words 0"* ]]
	run vm hello --memory 6g
	[ "$status" -eq 0 ]
	[ "$output" = hello ]
}

@test "hull itself stays below 4 MB with a guest that touches next to nothing" {
	need /usr/bin/time
	! grep -qa __asan_init "$HULL" || skip "a sanitizer's own memory is more"
	run /usr/bin/time -f '%M' "$HULL" vm run --kernel "$GUEST/hello" --memory 512m --virtio-console
	[ "$status" -eq 0 ]
	echo "resident: ${lines[-1]} KB"
	[ "${lines[-1]}" -lt 4096 ]
}

@test "power-off and reset end with 0, a triple fault and a panic with 1 and a line" {
	local how
	for how in i8042 acpi off; do
		run vm reset --cmdline "how=$how"
		echo "$how: $status $output"
		[ "$status" -eq 0 ]
		[ "$output" = ending ]
	done
	run vm reset --cmdline how=triple
	[ "$status" -eq 1 ]
	[ "${lines[1]}" = "hull: the guest ended: a triple fault" ]
	run vm reset --cmdline how=panic
	[ "$status" -eq 1 ]
	[ "${lines[1]}" = "hull: the guest ended: the guest's kernel panicked" ]
}

@test "what is no kernel is refused with one line" {
	local bad
	head -c 5000 "$GUEST/hello" >"$BATS_TEST_TMPDIR/cut"
	: >"$BATS_TEST_TMPDIR/empty"
	for bad in "$BATS_TEST_TMPDIR/cut" "$BATS_TEST_TMPDIR/empty" "$BATS_TEST_DIRNAME/common.bash" /dev/null \
		"$BATS_TEST_TMPDIR" /nonexistent; do
		run "$HULL" vm run --kernel "$bad"
		echo "$bad: $output"
		[ "$status" -eq 125 ]
		[ "${#lines[@]}" -eq 1 ]
		[[ $output == *"$bad"* ]]
	done
}

@test "options that make no sense are refused with one line that names them" {
	local -a bad=("--cpus 0|cpus: 0, want 1 to 32" "--cpus 33|cpus: 33, want 1 to 32"
		"--memory 0|memory: 0 bytes" "--memory 1000|memory: 1000 bytes" "--engine vax|engine 'vax': want auto"
		"--net tap=|--net: want none" "--net wifi|--net: want none" "--vsock 2|vsock: cid 2"
		"--vsock x|--vsock: 'x', want a number" "--disk /nonexistent|--disk '/nonexistent'"
		"--disk /dev/null,format=vdi|format=vdi" "--share /tmp|want DIR:TAG" "--share /tmp:t:rx|want ro or rw"
		"--cpu z80|z80" "--balloon big|--balloon" "surplus|takes no arguments")
	local row
	for row in "${bad[@]}"; do
		# shellcheck disable=SC2086
		run "$HULL" vm run --kernel "$GUEST/hello" ${row%%|*}
		echo "$row: $status $output"
		[ "$status" -eq 125 ]
		[ "${#lines[@]}" -eq 1 ]
		[[ $output == *"${row#*|}"* ]]
	done
	run "$HULL" vm run
	[ "$status" -eq 125 ]
	[[ $output == *"--kernel"* ]]
}

@test "input reaches the guest from a pipe and from a file" {
	printf 'one\ntwo\nquit\n' >"$BATS_TEST_TMPDIR/in"
	# shellcheck disable=SC2002
	run bash -c "cat '$BATS_TEST_TMPDIR/in' | timeout 20 '$HULL' vm run --kernel '$GUEST/serial' --cmdline echo"
	[ "$status" -eq 0 ]
	[[ $output == *"got 'one'"*"got 'two'"* ]]
	run timeout 20 "$HULL" vm run --kernel "$GUEST/serial" --cmdline echo <"$BATS_TEST_TMPDIR/in"
	[ "$status" -eq 0 ]
	[[ $output == *"got 'one'"*"got 'two'"* ]]
}

@test "on a terminal keys go to the guest, and Ctrl-A x ends the machine and restores the terminal" {
	need python3
	run "$BATS_TEST_DIRNAME/vm_pty.py" "$(printf 'hi\x01\x01\rquit\r' | xxd -p)" "cause" \
		"$HULL" vm run --kernel "$GUEST/serial" --cmdline echo
	echo "$output"
	[[ $output == *"got 'hi"$'\x01'"'"* ]]
	[ "${lines[-1]}" = "status 0, terminal as before" ]
	run "$BATS_TEST_DIRNAME/vm_pty.py" 0178 "cause" "$HULL" vm run --kernel "$GUEST/serial" --cmdline echo
	[ "${lines[-1]}" = "status 130, terminal as before" ]
}

@test "a signal ends the machine at once, with its status" {
	local pid
	"$HULL" vm run --kernel "$GUEST/reset" --cmdline how=halt </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 &
	pid=$!
	wait_for grep -q ending "$BATS_TEST_TMPDIR/out"
	kill -TERM "$pid"
	status=0
	wait "$pid" || status=$?
	[ "$status" -eq 143 ]
	nothing_left
}

@test "killed outright a machine leaves nothing that hinders the next" {
	local pid
	for _ in 1 2 3; do
		"$HULL" vm run --kernel "$GUEST/reset" --cmdline how=halt --cpus 2 --vsock "7,uds=$BATS_TEST_TMPDIR/v" \
			</dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 &
		pid=$!
		wait_for grep -q ending "$BATS_TEST_TMPDIR/out"
		kill -KILL "$pid"
		status=0
		wait "$pid" || status=$?
		[ "$status" -eq 137 ]
	done
	wait_for nothing_left
	run vm hello --vsock "7,uds=$BATS_TEST_TMPDIR/v"
	[ "$status" -eq 0 ]
	[ ! -e "$BATS_TEST_TMPDIR/v" ]
}

@test "a socket that somebody listens on is not taken away" {
	"$HULL" vm run --kernel "$GUEST/reset" --cmdline how=halt --vsock "7,uds=$BATS_TEST_TMPDIR/v" \
		</dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 &
	local pid=$!
	wait_for grep -q ending "$BATS_TEST_TMPDIR/out"
	run vm hello --vsock "7,uds=$BATS_TEST_TMPDIR/v"
	[ "$status" -eq 125 ]
	[ -S "$BATS_TEST_TMPDIR/v" ]
	kill "$pid"
	wait "$pid" || true
}

@test "two machines at once do not meet" {
	local a b
	vm smp --cpus 2 --cmdline cpus=2 >"$BATS_TEST_TMPDIR/a" 2>&1 &
	a=$!
	vm smp --cpus 2 --cmdline cpus=2 >"$BATS_TEST_TMPDIR/b" 2>&1 &
	b=$!
	wait "$a"
	wait "$b"
	cmp "$BATS_TEST_TMPDIR/a" "$BATS_TEST_TMPDIR/b"
	grep -q "2 processors" "$BATS_TEST_TMPDIR/a"
}

@test "a console whose reader is gone does not end or stall the machine" {
	run bash -c "timeout 20 '$HULL' vm run --kernel '$GUEST/smp' --cpus 2 --cmdline cpus=2 </dev/null | true; echo \${PIPESTATUS[0]}"
	[ "$output" = 0 ]
}

@test "a card on a bridge is a port of it while the machine runs" {
	need_root
	need ip
	unshare -n true 2>/dev/null || skip "no network namespaces"
	run unshare -n bash -c '
		ip link add br0 type bridge && ip link set br0 up || exit 77
		"$0" vm run --kernel "$1/reset" --cmdline how=halt --net bridge=br0 </dev/null >"$2" 2>&1 &
		for _ in $(seq 100); do grep -qs ending "$2" && break; sleep 0.05; done
		ip -o link show master br0
		kill $!
		wait $!
		echo "left: $(ip -o link show master br0)"
		"$0" vm run --kernel "$1/hello" --net bridge=br9 </dev/null' "$HULL" "$GUEST" "$BATS_TEST_TMPDIR/out"
	[ "$status" -ne 77 ] || skip "no bridges here"
	echo "$output"
	[[ ${lines[0]} == *hull0*UP*"master br0"* ]]
	[ "${lines[1]}" = "left: " ]
	[ "${lines[2]}" = "hull: bridge 'br9': there is none" ]
}

# numbered FILE SECTORS: each sector holds its number, as the guest expects
numbered() {
	python3 -c '
import struct, sys
with open(sys.argv[1], "wb") as f:
    for i in range(int(sys.argv[2])):
        f.write(struct.pack("<Q", i) * 64)' "$1" "$2"
}

@test "a disk is read and written, raw and qcow2, and --disk FILE,ro keeps it as it is" {
	need python3
	local sum
	numbered "$BATS_TEST_TMPDIR/raw" 4096
	"$HULL" disk convert -f raw -O qcow2 "$BATS_TEST_TMPDIR/raw" "$BATS_TEST_TMPDIR/q"
	sum=$(sha256sum <"$BATS_TEST_TMPDIR/raw")
	run vm blk --disk "$BATS_TEST_TMPDIR/raw,ro" --cmdline ro
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"4096 sectors, read-only"*"320 of 320 reads right"*"read-only disk: status 1"* ]]
	[ "$(sha256sum <"$BATS_TEST_TMPDIR/raw")" = "$sum" ]
	run vm blk --disk "$BATS_TEST_TMPDIR/raw"
	echo "$output"
	[[ $output == *"320 of 320 reads right"*"read 0, the same"* ]]
	[ "$(sha256sum <"$BATS_TEST_TMPDIR/raw")" != "$sum" ]
	run vm blk --disk "$BATS_TEST_TMPDIR/q,format=qcow2"
	echo "$output"
	[[ $output == *"4096 sectors"*"320 of 320 reads right"*"read 0, the same"* ]]
}

@test "--rng gives the guest random numbers" {
	run vm rng --rng
	[ "$status" -eq 0 ]
	[[ $output == *different* ]]
}
