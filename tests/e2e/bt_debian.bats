#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The bt engine under more kernels of Debian's, as packaged, and under Debian itself.

load common
load bt_linux

setup_file() {
	bt_setup || return 0
	gcc -O2 -static -o "$HULL_TMP/userland" "$BATS_TEST_DIRNAME/../linux/userland.c"
	timeout 60 "$HULL_TMP/userland" >"$HULL_TMP/want"
}

# kernel NAME PACKAGE: boots, is well, does what the host's processor does, and finds its disk, on one processor and on two
kernel() {
	bt_kernel "$1" "$2" "$HULL_TMP/userland" || need_kernel
	local cpus sum
	head -c 4M /dev/urandom >disk
	sum=$(sha256sum <disk)
	for cpus in 1 2; do
		linux 'uname -r; nproc; dmesg | grep -ciE "BUG:|WARNING:|Oops|Call Trace"; devices; sha256sum </dev/vda; userland' \
			--cpus "$cpus" --disk disk,ro
		said "$(cat "$KERNEL/version")" "$cpus" 0 "$sum" "$(cat "$HULL_TMP/want")"
	done
}

@test "Debian's kernel for any machine" { kernel linux-any linux-image-amd64; }

@test "Debian's kernel of the next generation, for clouds" { kernel linux-next linux-image-6.12-cloud-amd64; }

@test "Debian's kernel of the next generation, for any machine, preemptible throughout" { kernel linux-next-rt linux-image-6.12-rt-amd64; }

@test "Debian comes up from its disk, with all of systemd, and goes down in order" {
	bt_kernel linux linux-image-cloud-amd64 || need_kernel
	need mmdebstrap
	need mke2fs
	local cpus starts=0
	"$BATS_TEST_DIRNAME/../linux/mkdebian" disk
	for cpus in 1 2; do
		CMDLINE="systemd.show_status=0" linux 'devices
			mkdir -p /root && mount /dev/vda /root && cd /root || exit
			for d in dev proc sys; do mount --move /$d $d; done
			exec switch_root . /sbin/init' --cpus "$cpus" --memory 512m --disk disk
		said 'system: running' "starts: $((++starts))"
		e2fsck -fn disk >/dev/null 2>&1
	done
}
