# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Shared by the tests that run Debian's kernels under the bt engine.

# bt_setup: in setup_file; fails when this processor lacks what bt needs, and setup() then skips
bt_setup() {
	setup_hull
	if grep -qw bmi2 /proc/cpuinfo && grep -qw fsgsbase /proc/cpuinfo; then return 0; fi
	echo "this processor lacks what bt needs (BMI2, FSGSBASE)" >"$HULL_TMP/no_bt"
	return 1
}

# bt_kernel NAME PACKAGE [PROGRAM...]: the kernel that the meta package means is $KERNEL, and $LINUX an initial file system for it with these
# programs; fails when Debian cannot be asked, and says why in $HULL_TMP/no_kernel
bt_kernel() {
	local root=$BATS_TEST_DIRNAME/../..
	export KERNEL LINUX=$HULL_TMP/$1.initrd
	KERNEL=$(dirname "$HULL")/$1
	"$root/tools/debian-kernel" "$KERNEL" "$2" 2>"$HULL_TMP/why" || { mv "$HULL_TMP/why" "$HULL_TMP/no_kernel"; return 1; }
	"$root/tests/linux/mkinitrd" "$LINUX" "$KERNEL" "${@:3}"
}

need_kernel() { [ ! -e "$HULL_TMP/no_kernel" ] || skip "no kernel of Debian's: $(cat "$HULL_TMP/no_kernel")"; }

setup() {
	[ ! -e "$HULL_TMP/no_bt" ] || skip "$(cat "$HULL_TMP/no_bt")"
	cd "$BATS_TEST_TMPDIR" || return 1
}

teardown() {
	local pid
	for pid in ${PIDS-}; do kill -KILL "$pid" 2>/dev/null || true; done
	for pid in $("$HULL" vm ps -aq); do "$HULL" vm rm -f "$pid" >/dev/null; done
	stays_none "$BATS_TEST_TMPDIR"
}

teardown_file() { teardown_hull; }

# stays_none TEXT: no process has it on its command line
stays_none() { wait_for not_running "$1" || { pgrep -af "$1"; return 1; }; }
not_running() { ! pgrep -f "$1" >/dev/null; }

# A machine ends by itself; this is for one that hangs, and far from what a busy machine takes.
GUEST_MAX_S=120

# linux SCRIPT [OPTIONS]: what the script prints in the machine, in file `out`; hull's exit status
linux() {
	local name=${NAME-linux} status=0
	printf '%s\n' "$1" >"$name.script"
	shift
	"$BATS_TEST_DIRNAME/../linux/mkinitrd" "$name.cpio" --script "$name.script"
	cat "$LINUX" "$name.cpio" >"$name.initrd"
	# nothing but what the kernel says last: a panic, or that it restarts
	timeout -k 1 "$GUEST_MAX_S" "$HULL" vm run --engine bt --memory 256m --kernel "$KERNEL/vmlinuz" --initrd "$name.initrd" \
		--cmdline "console=ttyS0 reboot=k panic=-1 loglevel=0 ${CMDLINE-}" "$@" </dev/null >"$name.all" 2>&1 3>&- || status=$?
	[ "$status" = 0 ] || cat "$name.all"
	tr -d '\r' <"$name.all" | grep -v '^\[ *[0-9.]*\] reboot: ' >"$name.out" || true
	return "$status"
}

# said LINE...: exactly these lines
said() { diff <(printf '%s\n' "$@") "${NAME-linux}.out"; }
