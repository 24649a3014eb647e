#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# a running machine seen from the host: what its process still has

load common

setup_file() {
	setup_hull
}

teardown_file() { teardown_hull; }

setup() {
	[ -w /dev/kvm ] || skip "no /dev/kvm"
	GUEST=${GUEST_DIR:-$(dirname "$HULL")/guest}
	[ -x "$GUEST/serial" ] || skip "the guests are not built (make guests)"
	cd "$BATS_TEST_TMPDIR" || return 1
}

# start [OPTIONS...]: a machine whose guest waits for input; its process id is $MACHINE
start() {
	mkfifo in
	sleep 20 >in 3>&- &
	HOLD=$!
	"$HULL" vm run --kernel "$GUEST/serial" --cmdline echo "$@" <in >out 2>&1 3>&- &
	MACHINE=$!
	for _ in $(seq 100); do
		grep -q '^Seccomp:.2' "/proc/$MACHINE/status" 2>/dev/null && [ "$(threads)" -ge 2 ] && return
		sleep 0.05
	done
	cat out
	return 1
}

threads() { find "/proc/$MACHINE/task" -mindepth 1 -maxdepth 1 | wc -l; }

teardown() {
	[ -z "${MACHINE-}" ] || kill -KILL "$MACHINE" 2>/dev/null || true
	[ -z "${HOLD-}" ] || kill "$HOLD" 2>/dev/null || true
}

@test "each thread of a machine is filtered, without capabilities, and cannot get new ones" {
	start
	local t
	for t in /proc/"$MACHINE"/task/*/status; do
		grep -q '^Seccomp:.2' "$t"
		grep -q '^NoNewPrivs:.1' "$t"
		for set in CapInh CapPrm CapEff CapBnd CapAmb; do
			grep -q "^$set:.0000000000000000" "$t" || { cat "$t"; return 1; }
		done
	done
	[ "$(threads)" -ge 2 ]
}

@test "a machine has namespaces of its own, an empty read-only root, and is nobody" {
	start
	local ns
	for ns in user mnt net ipc uts; do
		[ "$(readlink "/proc/$MACHINE/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ]
	done
	[ "$(wc -l <"/proc/$MACHINE/mountinfo")" = 1 ]
	grep -q ' / / ro,nosuid,nodev,noexec' "/proc/$MACHINE/mountinfo"
	[ -z "$(ls -A "/proc/$MACHINE/root")" ]
	[ "$(id -u)" != 0 ] || grep -q '^Uid:.65534' "/proc/$MACHINE/status"
}

@test "a machine holds no descriptor of a directory, and of files only those it was given" {
	truncate -s 1m disk

	start --disk disk --vsock 3,uds=sock
	local fd target
	for fd in /proc/"$MACHINE"/fd/*; do
		target=$(readlink "$fd")
		case $target in
		"$PWD/disk" | "$PWD/in" | "$PWD/out" | /dev/kvm | anon_inode:* | socket:* | /memfd:* | pipe:*) ;;
		*) echo "descriptor ${fd##*/} is $target"; return 1 ;;
		esac
	done
}

@test "the vsock socket goes with the machine, also when it is killed" {
	start --vsock 3,uds=sock
	[ -S sock ]
	kill -KILL "$MACHINE"
	for _ in $(seq 50); do
		[ -e sock ] || return 0
		sleep 0.05
	done
	return 1
}

@test "only the thread that serves a share has capabilities, those over files, and its root is empty too" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	mkdir share
	start --share share:tag
	local t caps='' other=0
	for t in /proc/"$MACHINE"/task/*; do
		grep -q '^Seccomp:.2' "$t/status"
		if grep -q '^CapEff:.0000000000000000' "$t/status"; then
			other=$((other + 1))
		else
			caps+=$(awk '/^CapEff/ { print $2 }' "$t/status")
		fi
	done
	[ "$other" -ge 2 ]
	[ "$caps" = 00000000000000df ]
	[ -z "$(ls -A "/proc/$MACHINE/root")" ]
}
