#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The bt engine under a kernel it knows nothing of: Debian's cloud kernel, as packaged, with busybox on top; and under kernels that are none.

load common
load bt_linux

setup_file() {
	bt_setup || return 0
	local here=$BATS_TEST_DIRNAME/../linux
	gcc -O2 -static -o "$HULL_TMP/vsock" "$here/vsock.c"
	gcc -m32 -O2 -ffreestanding -fno-pic -fno-stack-protector -static -nostdlib -no-pie -o "$HULL_TMP/i386" "$here/i386.c"
	gcc -O2 -static -o "$HULL_TMP/userland" "$here/userland.c"
	gcc -O2 -static -o "$HULL_TMP/attack" "$here/attack.c"
	gcc -O2 -static -o "$HULL_TMP/scatter" "$here/scatter.c"
	mkdir "$HULL_TMP/applets"
	busybox --install -s "$HULL_TMP/applets"
	bt_kernel linux linux-image-cloud-amd64 "$HULL_TMP"/{vsock,i386,userland,attack,scatter} || true
}

PIPELINE="seq 1 20000 | awk '{print \$1 * 3 % 7919, \$1}' | gzip | gunzip | sort | sha256sum"

on_host() { env -i PATH="$HULL_TMP/applets" "$HULL_TMP/applets/sh" -c "$1"; }

# gone SESSION: no process of it is alive. What nobody has waited for yet is dead as well.
gone() { ! ps -o stat= -s "$1" | grep -qv '^Z'; }

@test "Debian's kernel boots, finds its memory as it should be, and ends by itself" {
	need_kernel
	linux 'uname -r; dmesg | grep -o "Checked W+X mappings: passed"; dmesg | grep -ciE "BUG:|WARNING:|Oops|Call Trace"'
	said "$(cat "$KERNEL/version")" 'Checked W+X mappings: passed' 0
	linux 'echo off; poweroff -f'
	said off
	CMDLINE=reboot=t linux 'echo triple' || [ $? = 1 ]
	said triple 'hull: the guest ended: a triple fault'
}

@test "auto takes an engine on which Debian's kernel runs" {
	need_kernel
	HULL_ENGINE='' linux 'echo booted' --engine auto
	said booted
}

@test "five boots in a row compute what the host computes" {
	need_kernel
	local want
	want=$(on_host "$PIPELINE")
	for _ in 1 2 3 4 5; do
		linux "$PIPELINE"
		said "$want"
	done
}

@test "a guest has the memory it was given, and can use it" {
	need_kernel
	local mib
	for mib in 128 1024; do
		linux "awk '/MemTotal/ {print (\$2 > $mib * 640 && \$2 <= $mib * 1024)}' /proc/meminfo
			mount -t tmpfs -o size=90% none /tmp
			head -c $((mib / 8))m /dev/zero >/tmp/zero; tr '\\0' x </tmp/zero >/tmp/x; sha256sum </tmp/x" --memory "${mib}m"
		said 1 "$(head -c $((mib / 8))M /dev/zero | tr '\0' x | sha256sum)"
	done
}

@test "memory in more pieces than a host process may map is slower by a few times at most, and right" {
	need_kernel
	local options
	for options in "" --track-dirty; do
		# shellcheck disable=SC2086
		linux 't() { cut -d" " -f1 /proc/uptime; }
			a=$(t); scatter 200; b=$(t); scatter 800; c=$(t)
			echo "$a $b $c" | awk "{print (\$3 - \$2 < 40 * (\$2 - \$1)) ? \"in time\" : \$0}"' --memory 1024m $options
		said "25600 pages, 0 wrong" "102400 pages, 0 wrong" "in time"
	done
}

@test "what differences are merged from works on to the same end, on two processors" {
	need_kernel
	local want name
	cat >work.script <<-'END'
		work() { for i in $(seq 120); do sleep 0.08; seq $((i * 7)) 3000 | awk '{print $1 * 3 % 7919, $1}' | sort | tee "/data/$1$((i % 9))" | sha256sum >"/data/$1sum$i"; echo "$1 round $i"; done; }
		work a & work b; wait
		echo end "$(cat /data/* | sha256sum)"
		poweroff -f
	END
	mkdir data
	want=$(on_host "$(sed "s|/data|$PWD/data|g; s/sleep 0.08; //; /^poweroff/d" work.script)" | tail -1)
	[[ $want == "end "* ]]
	"$BATS_TEST_DIRNAME/../linux/mkinitrd" work.cpio --script work.script
	cat "$LINUX" work.cpio >work.initrd
	"$HULL" vm create --name work --engine bt --track-dirty --cpus 2 --memory 192m --kernel "$KERNEL/vmlinuz" --initrd work.initrd \
		--cmdline "console=ttyS0 reboot=k panic=-1 loglevel=0" >/dev/null
	"$HULL" vm start work
	wait_for eval '"$HULL" vm logs work | grep -q "round 3"'
	"$HULL" vm snapshot work --to snap >/dev/null
	for _ in 1 2 3; do
		sleep 0.1
		"$HULL" vm snapshot work --to snap --diff >/dev/null
	done
	"$HULL" vm restore snap --name again >/dev/null
	for name in work again; do
		"$HULL" vm wait "$name" >/dev/null
		"$HULL" vm logs "$name" | tr -d '\r' | grep '^end ' >"$name.end"
		diff <(echo "$want") "$name.end"
	done
	# it did go on from the middle
	[ "$("$HULL" vm logs again | grep -c "a round")" -lt 119 ]
}

@test "a 32-bit program computes as on the host" {
	need_kernel
	local want
	want=$("$HULL_TMP/i386") || skip "this host runs no 32-bit programs"
	linux i386
	said "$want"
}

@test "code that changes, faults that are caught, registers over switches: as on the host" {
	need_kernel
	local cpus
	timeout 60 "$HULL_TMP/userland" >want
	for cpus in 1 2 4; do
		linux userland --cpus "$cpus"
		diff want linux.out
	done
}

# A guest's program is not kept from the process it runs in; this is what keeps that process from the host.
@test "a program that takes over its space process reaches nothing of the host's" {
	need_kernel
	local call status
	# open, socket, fork, execve, kill, ptrace, prctl, mount, sched_setaffinity of another, bpf, process_vm_writev, io_uring_setup
	for call in 2 41 57 59 62 101 157 165 203 321 311 425; do
		status=0
		linux "attack $call" || status=$?
		[ "$status" = 125 ]
		# how one died that is not the first, nobody but the first is told
		grep -qE "its process: it (made a system call that it may not make|has lost one of its own)" linux.all
	done
	# one that it may make gains nothing: it ends as well
	status=0
	linux "attack 3" || status=$?
	[ "$status" = 125 ]
	grep -q "hull: the machine stopped: " linux.all
}

@test "two machines at once" {
	need_kernel
	local want
	want=$(on_host "$PIPELINE")
	(NAME=a linux "$PIPELINE") 3>&- &
	(NAME=b linux "$PIPELINE") 3>&- &
	wait -n && wait -n
	NAME=a said "$want"
	NAME=b said "$want"
}

@test "two processors share the work" {
	need_kernel
	local want
	want=$(on_host "$PIPELINE")
	linux "nproc; ($PIPELINE) & ($PIPELINE); wait" --cpus 2
	said 2 "$want" "$want"
}

# start [OPTIONS]: a machine in a session of its own, which is $MACHINE
start() {
	setsid "$HULL" vm run --engine bt --kernel "$KERNEL/vmlinuz" --cmdline 'console=ttyS0 quiet' "$@" </dev/null >out 2>&1 3>&- &
	MACHINE=$! PIDS+=" $!"
}

# kill_it SIGNAL: and all its processes end with it
kill_it() {
	kill -"$1" "$MACHINE"
	wait "$MACHINE" || true
	wait_for gone "$MACHINE" || { ps -f -s "$MACHINE"; return 1; }
}

@test "a machine that is killed half-way leaves no process behind" {
	need_kernel
	local signal delay
	echo 'echo working; while :; do seq 1 100 | sort | gzip >/dev/null; done' >script
	"$BATS_TEST_DIRNAME/../linux/mkinitrd" script.cpio --script script
	cat "$LINUX" script.cpio >initrd
	for signal in TERM KILL; do
		start --initrd "$PWD/initrd"
		wait_for grep -q working out || { cat out; return 1; }
		[ "$(ps -o pid= -s "$MACHINE" | wc -l)" -ge 2 ]
		kill_it "$signal"
	done
	# in boot, at any moment
	for delay in 0.03 0.06 0.1 0.2 0.3 0.5; do
		start --initrd "$PWD/initrd"
		sleep "$delay"
		kill_it KILL
	done
}

@test "what is no kernel is refused, and one of random bytes ends, resets or runs until it is stopped" {
	local seed protocol
	head -c 100000 /dev/zero | tr '\0' '\220' >nops
	run timeout 20 "$HULL" vm run --engine bt --kernel nops </dev/null
	[ "$status" = 125 ]
	[[ "$output" == *"neither an ELF nor a bzImage nor a multiboot kernel"* ]]
	for seed in 1 2 3 4 5 6 7 8; do
		for protocol in pvh linux64; do
			"$BATS_TEST_DIRNAME/../linux/mkrandom" random "$seed" "$protocol"
			run timeout -k 5 3 "$HULL" vm run --engine bt --memory 64m --kernel "$PWD/random" </dev/null
			echo "$protocol $seed: $status: $output"
			# 124: was still running, and ended at the first signal
			[ "$status" = 1 ] || [ "$status" = 0 ] || [ "$status" = 124 ]
			[ "$status" != 1 ] || [[ "$output" == *"the guest ended"* ]]
		done
	done
}

# devices OPTIONS: one boot with every device, its traffic compared with the host's
devices() {
	need_kernel
	need socat
	head -c 8M /dev/urandom >data
	truncate -s 8M copy
	mkdir -p share
	cp data share/
	rm -f share/made vsock*
	# what answers only once it has all: neither end may wait for the other
	socat -t 30 "UNIX-LISTEN:$PWD/vsock_1000,fork" EXEC:sha256sum 3>&- &
	PIDS+=" $!"
	local port sum
	python3 -c '
import socket, sys
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
c = s.accept()[0]
data = open("data", "rb").read()
got = b""
while len(got) < len(data) and (more := c.recv(65536)):
    got += more
open("got", "wb").write(got)
c.sendall(data)
c.close()' >port 3>&- &
	PIDS+=" $!"
	wait_for test -s port && wait_for test -S vsock_1000
	port=$(cat port)
	sum=$(sha256sum <data)
	linux "devices
		sha256sum </dev/vda
		dd if=/dev/vda of=/dev/vdb bs=64k conv=fsync 2>/dev/null
		ip link set eth0 up
		udhcpc -i eth0 -n -q -s /bin/true 2>&1 | grep -o 'lease of 10.0.2.15 obtained'
		ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2
		nc 10.0.2.2 $port </dev/vda | sha256sum
		vsock 1000 </dev/vda
		dd if=/dev/hwrng bs=16 count=4 2>/dev/null | wc -c
		echo 'by the virtio console' >/dev/hvc0
		mount -t virtiofs tag /data; sha256sum </data/data; echo by guest >/data/made" \
		--disk data,ro --disk copy --net user --vsock "5,uds=$PWD/vsock" --virtio-console --rng --share "$PWD/share:tag" "$@"
	said "$sum" 'lease of 10.0.2.15 obtained' "$sum" "$sum" 64 'by the virtio console' "$sum"
	cmp data copy
	cmp data got
	[ "$(cat share/made)" = 'by guest' ]
}

@test "Debian's drivers work every virtio device behind registers" { devices; }

@test "Debian's drivers work every virtio device on PCI" { devices --pci; }
