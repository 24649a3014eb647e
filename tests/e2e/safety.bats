#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One test for each fault that taught a rule: what a hostile image or workload tries, and that it gains nothing

load common

setup_file() { need_root; setup_hull; }
teardown_file() { teardown_hull; }
teardown() {
	for id in $(oci list -q); do oci delete -f "$id" 2>/dev/null || true; done
}

# own_rootfs FILTER: a bundle with a root file system of its own, in $own
own_rootfs() {
	own=$BATS_TEST_TMPDIR/own
	mkdir -p "$own"
	make_rootfs "$own/rootfs"
	make_bundle "$own" "$1 | .root.path = \"rootfs\" | .root.readonly = false"
}

@test "CVE-2019-5736: the runtime's binary cannot be opened for writing from inside" {
	readelf -lW "$HULL" | grep -q ' INTERP ' && skip "hull is linked dynamically here, and its loader is not inside"
	before=$(sha256sum "$HULL")
	# Process 1 waits for a process that runs anything but busybox, keeps its file open, and writes to it once it has ended.
	start_bundle self "$(sh_args 'while :; do for p in /proc/[0-9]*; do exe=$(readlink $p/exe) || continue
		case $exe in *busybox) continue ;; esac
		exec 5<$p/exe || continue
		touch /tmp/held
		while kill -0 ${p#/proc/}; do usleep 1000; done
		sh -c "echo x >>/proc/self/fd/5" 2>/tmp/result; touch /tmp/done; exec sleep 1000; done; done') | .root.readonly = false"
	# The image makes the runtime execute itself inside, where it waits for its standard input.
	mkfifo "$BATS_TEST_TMPDIR/stdin"
	sleep 60 >"$BATS_TEST_TMPDIR/stdin" &
	holder=$!
	oci exec self /proc/self/exe oci run --config /dev/stdin x <"$BATS_TEST_TMPDIR/stdin" &
	wait_for test -e "$HULL_TMP/rootfs/tmp/held"
	kill $holder
	wait_for test -e "$HULL_TMP/rootfs/tmp/done"
	result=$(cat "$HULL_TMP/rootfs/tmp/result")
	rm -f "$HULL_TMP/rootfs/tmp/"{held,done,result}
	echo "$result"
	[[ "$result" == *"Read-only file system"* ]]
	[ "$before" = "$(sha256sum "$HULL")" ]
}

@test "CVE-2024-21626: no descriptor of the host reaches the workload" {
	make_bundle "$BATS_TEST_TMPDIR/b" "$(sh_args 'cd /proc/self/fd; for f in *; do [ ! -e $f ] || echo "fd $f"; done')"
	exec 9</etc/hostname
	run oci run --bundle "$BATS_TEST_TMPDIR/b" fds
	exec 9<&-
	[ "$status" -eq 0 ]
	for fd in $(sed -n 's/^fd //p' <<<"$output"); do
		[ "$fd" -le 2 ] || { echo "$output"; return 1; }
	done
}

@test "CVE-2024-21626: a working directory behind a descriptor is refused" {
	for n in $(seq 3 24); do
		make_bundle "$BATS_TEST_TMPDIR/b" ".process.cwd = \"/proc/self/fd/$n\" | $(sh_args 'cat ../../../../etc/hostname; pwd')"
		run oci run --bundle "$BATS_TEST_TMPDIR/b" cwd
		[ "$status" -ne 0 ]
		[[ "$output" != *"$(cat /etc/hostname)"* ]]
	done
}

@test "CVE-2025-31133: a /dev/null that is a link masks nothing else" {
	own_rootfs "$(sh_args 'grep core_pattern /proc/self/mountinfo; cat /proc/keys | wc -c') |
		.mounts |= map(select(.destination | startswith(\"/dev\") | not)) | .linux.maskedPaths = [\"/proc/keys\"]"
	ln -s /proc/sys/kernel/core_pattern "$own/rootfs/dev/null"
	before=$(cat /proc/sys/kernel/core_pattern)
	run oci run --bundle "$own" mask
	echo "$output"
	[[ "$output" != *core_pattern* ]] || [ "$status" -ne 0 ]
	[ "$status" -ne 0 ] || [ "$output" = 0 ]
	[ "$before" = "$(cat /proc/sys/kernel/core_pattern)" ]
}

@test "CVE-2025-52565: a /dev/console that is a link is no way out" {
	own_rootfs "$(sh_args 'grep -c pattern /proc/self/mountinfo; true') | .process.terminal = true |
		.mounts |= map(select(.destination != \"/dev\"))"
	ln -s /proc/sys/kernel/core_pattern "$own/rootfs/dev/console"
	run oci run --bundle "$own" con
	echo "$output"
	[ "$status" -ne 0 ] || [[ "$output" == 0* ]]
}

@test "CVE-2025-52881: sysctls are written to procfs or not at all" {
	own_rootfs "$(sh_args 'cat /proc/sys/net/ipv4/ip_default_ttl') | .linux.sysctl = {\"net.ipv4.ip_default_ttl\": \"44\"} |
		.mounts |= map(if .destination == \"/proc\" then .type = \"tmpfs\" | .source = \"tmpfs\" else . end) |
		.linux.maskedPaths = [] | .linux.readonlyPaths = []"
	run oci run --bundle "$own" fake
	echo "$output"
	[ "$status" -ne 0 ]
	[ "$(cat /proc/sys/net/ipv4/ip_default_ttl)" != 44 ]
	run find "$own/rootfs/proc" -type f
	[ -z "$output" ]
}

@test "procfs is not mounted through a link" {
	own_rootfs "$(sh_args true)"
	rmdir "$own/rootfs/proc"
	ln -s /tmp "$own/rootfs/proc"
	run oci run --bundle "$own" link
	echo "$output"
	[ "$status" -ne 0 ]
	[[ "$output" == *"/proc"* ]]
}

@test "a mount's target never leaves the root through a link" {
	mkdir -p "$BATS_TEST_TMPDIR/host"
	own_rootfs "$(sh_args 'echo in >/esc/dir/file; cat /esc/dir/file') |
		.mounts += [{destination: \"/esc/dir\", type: \"tmpfs\", source: \"tmpfs\"}]"
	ln -s "../../../../../../../../..$BATS_TEST_TMPDIR/host" "$own/rootfs/esc"
	run oci run --bundle "$own" esc
	echo "$output"
	[ -z "$(ls -A "$BATS_TEST_TMPDIR/host")" ]
	[ "$status" -ne 0 ] || [ "$output" = in ]
}

@test "CVE-2021-30465: nor when the link is swapped in during the mount" {
	mkdir -p "$BATS_TEST_TMPDIR/host" "$BATS_TEST_TMPDIR/vol/a"
	ln -s "../../../../../../../../..$BATS_TEST_TMPDIR/host" "$BATS_TEST_TMPDIR/vol/b"
	own_rootfs "$(sh_args 'echo in >/vol/a/x/file') |
		.mounts += [{destination: \"/vol\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/vol\", options: [\"bind\"]},
		{destination: \"/vol/a/x\", type: \"tmpfs\", source: \"tmpfs\"}]"
	cat >"$BATS_TEST_TMPDIR/swap.py" <<-'EOF'
	import ctypes, os, sys, time
	libc = ctypes.CDLL(None)
	d = os.open(sys.argv[1], os.O_RDONLY)
	end = time.time() + float(sys.argv[2])
	while time.time() < end:
	    libc.renameat2(d, b"a", d, b"b", 2)
	EOF
	python3 "$BATS_TEST_TMPDIR/swap.py" "$BATS_TEST_TMPDIR/vol" 4 &
	swapper=$!
	while kill -0 $swapper 2>/dev/null; do
		oci run --bundle "$own" swap >/dev/null 2>&1 || true
		oci delete -f swap >/dev/null 2>&1 || true
		[ -z "$(ls -A "$BATS_TEST_TMPDIR/host")" ] || { kill $swapper; ls -lA "$BATS_TEST_TMPDIR/host"; return 1; }
	done
}

@test "devices are not made through a linked /dev" {
	mkdir -p "$BATS_TEST_TMPDIR/host"
	own_rootfs "$(sh_args true) | .mounts |= map(select(.destination | startswith(\"/dev\") | not))"
	rmdir "$own/rootfs/dev"
	ln -s "../../../../../../../../..$BATS_TEST_TMPDIR/host" "$own/rootfs/dev"
	run oci run --bundle "$own" dev
	echo "$output"
	[ -z "$(ls -A "$BATS_TEST_TMPDIR/host")" ]
}

@test "CVE-2022-29162: no capability is left in the inheritable set" {
	start_bundle caps "$(sh_args 'sleep 1000')"
	run oci exec --cap CAP_NET_ADMIN caps grep CapInh /proc/self/status
	[[ "$output" == *0000000000000000 ]]
	run oci exec caps grep CapInh /proc/1/status
	[[ "$output" == *0000000000000000 ]]
}

@test "exec's process cannot be looked into before it is the workload" {
	start_bundle spy "$(sh_args 'while :; do for p in /proc/[0-9]*; do
		ls -l $p/fd 2>/dev/null | grep -E "hull-e2e|/run/|pidfd|ns:|cgroup"; done >>/tmp/seen; done') | .root.readonly = false"
	exec 9<"$HULL_TMP/rootfs/etc/passwd"
	for _ in $(seq 40); do oci exec spy true; done
	exec 9<&-
	run cat "$HULL_TMP/rootfs/tmp/seen"
	rm -f "$HULL_TMP/rootfs/tmp/seen"
	echo "$output"
	[ -z "$output" ]
}

@test "cgroup names and sysctl values cannot carry a path or a line" {
	for filter in '.linux.cgroupsPath = "/../../x"' '.linux.sysctl = {"net.ipv4.ip_default_ttl/../../../kernel/panic": "1"}' \
		'.linux.sysctl = {"net.ipv4.ip_default_ttl": "1\n2"}' '.hostname = "a\u0000b"'; do
		make_bundle "$BATS_TEST_TMPDIR/b" "$filter"
		run oci run --bundle "$BATS_TEST_TMPDIR/b" bad
		echo "$filter -> $output"
		[ "$status" -ne 0 ]
	done
}
