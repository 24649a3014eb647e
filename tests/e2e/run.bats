#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What every flag of run does, seen from inside of the container; what a wrong value says; confinement by default.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

bats_require_minimum_version 1.5.0
load common

setup_file() {
	need_root
	need jq
	need python3
	setup_hull
	make_image box >/dev/null
	write_probe
	write_pty
}

teardown_file() { teardown_hull; }

teardown() {
	local id
	for id in $("$HULL" ps -aq); do "$HULL" rm -f -v "$id" >/dev/null; done
}

# write_probe: a program that tries system calls and prints what each says; with an argument, its descriptors
write_probe() {
	cat >"$HULL_TMP/probe.c" <<-'C'
		#define _GNU_SOURCE
		#include <errno.h>
		#include <fcntl.h>
		#include <sched.h>
		#include <stdio.h>
		#include <string.h>
		#include <sys/syscall.h>
		#include <unistd.h>
		#define TRY(nr, ...) printf(#nr " %s\n", syscall(SYS_##nr, __VA_ARGS__) < 0 ? strerrorname_np(errno) : "ok")
		int main(int argc, char **argv)
		{
			if (argc > 1) { /* the descriptors we were given */
				for (int fd = 0; fd < 1024; fd++)
					if (fcntl(fd, F_GETFD) >= 0)
						printf("%d ", fd);
				return !argv[1];
			}
			TRY(mount, "none", "/tmp", "tmpfs", 0, 0);
			TRY(unshare, CLONE_NEWUSER);
			TRY(keyctl, 0, 0, 0, 0, 0);
			TRY(add_key, "user", "a", "b", 1, -3);
			TRY(bpf, 0, 0, 0);
			TRY(perf_event_open, 0, 0, 0, 0, 0);
			TRY(userfaultfd, 0);
			TRY(setns, -1, 0);
			TRY(kexec_load, 0, 0, 0, 0);
			TRY(init_module, 0, 0, 0);
			TRY(open_by_handle_at, -1, 0, 0);
			TRY(fsopen, "tmpfs", 0);
			TRY(pivot_root, ".", ".");
			TRY(reboot, 0, 0, 0, 0);
			TRY(swapon, "/x", 0);
			TRY(settimeofday, 0, 0);
			TRY(getpid, 0);
			return 0;
		}
	C
	cc -static -o "$HULL_TMP/probe" "$HULL_TMP/probe.c"
}

# write_pty: run a command on a terminal. Steps: e:TEXT wait for it, s:TEXT type it, z:ROWSxCOLS resize it
write_pty() {
	cat >"$HULL_TMP/on_tty.py" <<-'PY'
		import fcntl, os, pty, select, struct, sys, termios, time
		split = sys.argv.index("--")
		steps, command = sys.argv[1:split], sys.argv[split + 1:]
		seen, limit = b"", time.time() + 15

		def resize(fd, rows, cols):
		    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

		pid, fd = pty.fork()
		if pid == 0:
		    resize(0, 30, 90)
		    os.execvp(command[0], command)

		def more(wanted):
		    global seen
		    while wanted is None or wanted not in seen:
		        ready = select.select([fd], [], [], max(0, limit - time.time()))[0]
		        if not ready:
		            print(f"timeout, waiting for {wanted!r}, seen {seen!r}")
		            os.kill(pid, 9)
		            sys.exit(99)
		        try:
		            chunk = os.read(fd, 4096)
		        except OSError:
		            chunk = b""
		        if not chunk:
		            return
		        sys.stdout.write(chunk.decode(errors="replace").replace("\r", ""))
		        seen += chunk

		for step in steps:
		    what = step[2:].encode().decode("unicode_escape").encode()
		    if step[0] == "e":
		        more(what)
		        seen = seen[seen.find(what) + len(what):] if what in seen else b""
		    elif step[0] == "s":
		        os.write(fd, what)
		    else:
		        resize(fd, *map(int, step[2:].split("x")))
		more(None)
		sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) % 256)
	PY
}

on_tty() { python3 "$HULL_TMP/on_tty.py" "$@"; }

# box FLAGS... -- COMMAND...: run it, once, with these flags
box() {
	local flags=()
	while [ "$1" != -- ]; do flags+=("$1"); shift; done
	shift
	"$HULL" run --rm "${flags[@]}" box "$@"
}

# got WANT FLAGS... -- COMMAND...: what it prints must be WANT
got() {
	local want=$1 have
	shift
	have=$(box "$@" 2>&1) || true
	[ "$have" = "$want" ] || { printf '%s\nwant: %s\n got: %s\n' "$*" "$want" "$have"; return 1; }
}

# refused PATTERN FLAGS...: one line with this in it, status 125, and no container stays
refused() {
	local want=$1 before
	shift
	before=$("$HULL" ps -aq)
	run "$HULL" run --rm "$@" box true
	[ "$status" = 125 ] && [ "${#lines[@]}" = 1 ] && [[ $output == "hull: "*"$want"* ]] ||
		{ printf '%s\nwant: 125, *%s*\n got: %s, %s\n' "$*" "$want" "$status" "$output"; return 1; }
	[ "$("$HULL" ps -aq)" = "$before" ] || { echo "$*: a container is left"; return 1; }
}

state() { "$HULL" inspect -f "{{.State.$2}}" "$1"; }
is() { [ "$(state "$1" "$2")" = "$3" ]; }
background() { "$HULL" run -d "$@" >/dev/null; }
cpu_ns() { cut -d' ' -f1 "/proc/$(state "$1" Pid)/schedstat"; }

# limit V1-FILE V2-FILE FLAGS...: what the container reads of its own limit
limit() {
	local v1=$1 v2=$2
	shift 2
	box "$@" -- sh -c "cat /sys/fs/cgroup/$v1 2>/dev/null || cat /sys/fs/cgroup/$v2"
}

# --- words, files, environment --------------------------------------------------------------

@test "name, hostname and domainname" {
	got c-one --name n1 --hostname c-one -- hostname
	got "c-one dom.example" -h c-one --domainname dom.example -- sh -c 'echo $(hostname) $(cat /proc/sys/kernel/domainname)'
	background --name n2 box sleep 60
	run -125 "$HULL" run --name n2 box true
	[[ $output == *"in use"* ]]
	[ "$("$HULL" exec n2 hostname)" = "$("$HULL" ps -q)" ]
	refused "at least two" --name a
	refused "invalid name" --name "a b"
	refused "--hostname" --hostname "$(printf 'a%.0s' {1..70})"
}

@test "environment: values, the caller's own, files, and which one wins" {
	printf 'A=file\nB=file\n# comment\nFROM_CALLER\n' >"$HULL_TMP/env"
	export FROM_CALLER=caller
	got "flag file caller 5" -e A=flag -e N=5 --env-file "$HULL_TMP/env" -- sh -c 'echo $A $B $FROM_CALLER $N'
	got caller -e FROM_CALLER -- sh -c 'echo $FROM_CALLER'
	got unset -e NOT_SET_ANYWHERE -- sh -c 'echo ${NOT_SET_ANYWHERE-unset}'
	got "/root $(printf %s x)" -e X=x -- sh -c 'echo $HOME $X'
	refused "--env" -e =x
	refused "/nonexistent" --env-file /nonexistent
}

@test "working directory, user, groups, entrypoint" {
	got /var/new -w /var/new -- pwd
	got "1000 1000 1000 2000" -u user -- sh -c 'echo $(id -u) $(id -g) $(id -G)'
	got "1000:2000" -u 1000:extra -- sh -c 'echo $(id -u):$(id -g)'
	got "77 0" -u 77 -- sh -c 'echo $(id -u) $(id -g)'
	got "0 0 10 2000" --group-add 10 --group-add extra -- sh -c 'echo $(id -u) $(id -G)'
	got /home/user -u user -- sh -c 'echo $HOME'
	got "a b" --entrypoint echo -- a b
	got sh --entrypoint "" -- echo sh
	refused "no user 'nobody-here'" -u nobody-here
	refused "USER[:GROUP]" -u 1:2:3
	refused "no group 'nosuch'" --group-add nosuch
	refused "absolute path" -w rel
}

@test "labels, annotations, pull, isolation, platform are recorded or refused" {
	printf 'f=1\n' >"$HULL_TMP/labels"
	background --name l1 -l a=1 --label b --label-file "$HULL_TMP/labels" --annotation k=v --pull never --isolation container box sleep 60
	[ "$("$HULL" inspect -f '{{json .Config.Labels}}' l1 | jq -cS .)" = '{"a":"1","b":"","f":"1"}' ]
	[ "$("$HULL" ps -q --filter label=a=1)" ]
	[ -z "$("$HULL" ps -q --filter label=a=2)" ]
	[ "$(jq -r .annotations.k "$HULL_RUN_ROOT/shim/$("$HULL" ps -q --no-trunc)/spec.json")" = v ]
	refused "--label" -l =x
	refused "--annotation" --annotation x
	refused "--annotation" --annotation =x
	refused "never or missing" --pull sometimes
	refused "registries are not there" --pull always
	refused "no isolation level 'bogus'" --isolation bogus
	refused "--platform" --platform linux/arm64
}

@test "cidfile holds the id; one that exists is not overwritten" {
	box --cidfile "$HULL_TMP/cid" -- true
	[ "$(wc -c <"$HULL_TMP/cid")" = 64 ]
	refused "exists already" --cidfile "$HULL_TMP/cid"
	refused "No such file" --cidfile /nonexistent/cid
	rm "$HULL_TMP/cid"
	refused "no user" --cidfile "$HULL_TMP/cid" -u nobody-here
}

# --- how it ends -----------------------------------------------------------------------------

@test "exit codes: its own, 128 + signal, 127, 126, 125" {
	run -7 box -- sh -c 'exit 7'
	local sig
	for sig in 9 15; do
		{ wait_for "$HULL" exec "k$sig" true && "$HULL" kill -s "$sig" "k$sig"; } >/dev/null &
		run -$((128 + sig)) box --init --name "k$sig" -- sleep 60
		wait
	done
	run -127 box -- no-such-command
	run -127 box -- /no/such/path
	run -126 box -- /etc/passwd
	run -126 box -- /etc
	run -125 box --nosuch -- true
	run -125 "$HULL" run no-such-image
}

@test "a start that fails is told the same every time, and stays to be looked at" {
	local i
	for i in 1 2 3 4 5 6 7 8; do
		run -127 "$HULL" run --name "gone$i" box /no/such
		[ "${#lines[@]}" = 1 ] && [[ $output == *'exec: "/no/such"'*"no such file"* ]]
	done
	run -127 "$HULL" run -d --name gone9 box /no/such
	[ "$("$HULL" ps -a --format '{{.Status}}' | sort -u)" = Created ]
	[ "$(state gone1 ExitCode)" = 127 ]
	[[ $(state gone1 Error) == *"/no/such"* ]]
	run -126 "$HULL" run --name denied box /etc/passwd
	[ "$(state denied ExitCode)" = 126 ]
	[ "$("$HULL" wait denied)" = 126 ]
}

@test "exec into what is not there or does not run is 1" {
	run -1 "$HULL" exec nosuch true
	"$HULL" create --name made box sleep 60 >/dev/null
	run -1 "$HULL" exec made true
	[[ $output == *"not running"* ]]
	"$HULL" start made
	run -127 "$HULL" exec made nosuch
	run -126 "$HULL" exec made /etc
	run -125 "$HULL" exec --nosuch made true
}

@test "stop signal and time out" {
	background --name s1 --stop-signal USR1 box sh -c 'trap "exit 7" USR1; echo up; while :; do sleep 0.05; done'
	background --name s2 --stop-timeout 1 box sh -c 'trap "" TERM; echo up; while :; do sleep 0.05; done'
	wait_for sh -c '"$1" logs s1 | grep up && "$1" logs s2 | grep up' - "$HULL"
	"$HULL" stop s1
	is s1 ExitCode 7
	SECONDS=0
	"$HULL" stop s2
	[ "$SECONDS" -ge 1 ] && [ "$SECONDS" -le 5 ]
	is s2 ExitCode 137
	refused "no such signal" --stop-signal NOPE
	refused "--stop-timeout" --stop-timeout -5
}

@test "restart: on-failure counts, always goes on, stop ends it" {
	background --name r1 --restart on-failure:2 box sh -c 'echo run; exit 3'
	background --name r2 --restart always box sh -c 'echo run; sleep 0.05'
	background --name r3 --restart on-failure box sh -c 'echo run'
	background --name r4 --restart unless-stopped box sh -c 'echo run; exit 1'
	wait_for is r1 Status exited
	[ "$("$HULL" logs r1 | grep -c run)" = 3 ]
	is r1 ExitCode 3
	[ "$("$HULL" inspect -f '{{.RestartCount}}' r1)" = 2 ]
	[ "$("$HULL" logs r3)" = run ]
	wait_for sh -c '[ "$("$1" logs r2 | grep -c run)" -ge 3 ]' - "$HULL"
	wait_for sh -c '[ "$("$1" logs r4 | grep -c run)" -ge 2 ]' - "$HULL"
	"$HULL" stop r2 r4 >/dev/null
	is r2 Status exited
	is r4 Status exited
	run -125 "$HULL" run --restart sometimes box true
	[[ $output == *"on-failure[:N]"* ]]
	run -125 "$HULL" run --restart on-failure:x box true
	refused "--rm" --restart always
}

@test "health: healthy, unhealthy, and ps tells" {
	background --name h1 --health-cmd 'test -e /tmp/well' --health-interval 100ms --health-retries 2 --health-timeout 5s box sleep 60
	wait_for is h1 Health.Status unhealthy
	[[ $("$HULL" ps --format '{{.Status}}') == *"(unhealthy)" ]]
	[ "$(state h1 Health.FailingStreak)" -ge 2 ]
	"$HULL" exec h1 touch /tmp/well
	wait_for is h1 Health.Status healthy
	[[ $("$HULL" ps --format '{{.Status}}') == *"(healthy)" ]]
	[ "$(state h1 Health.FailingStreak)" = 0 ]
	background --name h2 --health-cmd 'sleep 30' --health-interval 100ms --health-retries 1 --health-timeout 200ms box sleep 60
	wait_for is h2 Health.Status unhealthy
	background --name h3 --health-cmd false --health-interval 100ms --health-retries 1 --health-start-period 60s --health-start-interval 100ms box sleep 60
	sleep 0.6
	is h3 Health.Status starting
	[[ $("$HULL" ps --format '{{.Status}}' --filter name=h3) == *"(health: starting)" ]]
	refused "--health-interval" --health-interval soon
	refused "--health-retries" --health-retries -1
	refused "--no-healthcheck" --no-healthcheck --health-cmd true
}

@test "init is process 1, reaps orphans and passes signals on" {
	run box --init -- sh -c 'echo me $$; cat /proc/1/comm; (sleep 0.1 & exec true); sleep 0.4; grep -l "^State:.Z" /proc/[0-9]*/status; true'
	[[ ${lines[0]} == "me "[2-9]* ]]
	[ "${#lines[@]}" = 2 ]
	background --name i1 --init box sh -c 'trap "exit 9" TERM; echo up; while :; do sleep 0.05; done'
	wait_for sh -c '"$1" logs i1 | grep up' - "$HULL"
	"$HULL" stop i1
	is i1 ExitCode 9
	run -5 box --init -- sh -c 'exit 5'
	run -127 box --init -- no-such
}

@test "memory: the limit is seen inside, kills with 137, and is told" {
	[ "$(limit memory/memory.limit_in_bytes memory.max -m 64m)" = 67108864 ]
	[ "$(limit memory/memory.soft_limit_in_bytes memory.low -m 64m --memory-reservation 32m)" = 33554432 ]
	if [ -e /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes ]; then
		[ "$(limit memory/memory.memsw.limit_in_bytes - -m 64m --memory-swap 80m)" = 83886080 ]
		[ "$(limit memory/memory.memsw.limit_in_bytes - -m 64m)" = 134217728 ]
		[ "$(limit memory/memory.swappiness - --memory-swappiness 7)" = 7 ]
	fi
	run -137 "$HULL" run --name m1 -m 16m --memory-swap 16m box tail /dev/zero
	is m1 OOMKilled true
	is m1 ExitCode 137
	background --name m2 box sleep 60
	"$HULL" kill m2
	wait_for is m2 ExitCode 137
	is m2 OOMKilled false
	refused "6m" -m 5m
	refused "a size" -m x
	refused "--memory-swap" --memory-swap 64m
	refused "--memory-swap" -m 64m --memory-swap 32m
	refused "--memory-reservation" -m 64m --memory-reservation 1g
	refused "--memory-swappiness" --memory-swappiness 101
}

@test "processor: shares 512 and 1024 get one third and two thirds of one, measured" {
	local cpu a b share
	cpu=$(taskset -cp $$ | sed 's/.*[ ,-]//')
	background --name p1 --cpu-shares 512 --cpuset-cpus "$cpu" box sh -c 'while :; do :; done'
	background --name p2 --cpu-shares 1024 --cpuset-cpus "$cpu" box sh -c 'while :; do :; done'
	a=$(cpu_ns p1) b=$(cpu_ns p2)
	sleep 3
	a=$(($(cpu_ns p1) - a)) b=$(($(cpu_ns p2) - b))
	share=$((100 * a / (a + b)))
	[ "$share" -ge 28 ] && [ "$share" -le 39 ] || { echo "512 of 1536 got $share %"; return 1; }
}

@test "processor: --cpus 0.2 is a fifth, measured; update changes it" {
	local a from
	background --name p3 --cpus 0.2 box sh -c 'while :; do :; done'
	a=$(cpu_ns p3) from=$(date +%s%N)
	sleep 2
	a=$((100 * ($(cpu_ns p3) - a) / ($(date +%s%N) - from)))
	[ "$a" -ge 8 ] && [ "$a" -le 24 ] || { echo "got $a % of a processor"; return 1; }
	"$HULL" update --cpus 0.05 p3 >/dev/null
	a=$(cpu_ns p3) from=$(date +%s%N)
	sleep 1
	a=$((100 * ($(cpu_ns p3) - a) / ($(date +%s%N) - from)))
	[ "$a" -ge 1 ] && [ "$a" -le 9 ] || { echo "after update: got $a % of a processor"; return 1; }
}

@test "processor: quota, period, set, and what is refused" {
	got "20000 50000" --cpu-quota 20000 --cpu-period 50000 -- sh -c 'cd /sys/fs/cgroup
		cat cpu.max 2>/dev/null || echo $(cat cpu/cpu.cfs_quota_us) $(cat cpu/cpu.cfs_period_us)'
	got 1 --cpuset-cpus 0 -- nproc
	got 0 --cpuset-cpus 0 --cpuset-mems 0 -- sed -n 's/^Mems_allowed_list:.//p' /proc/self/status
	refused "--cpus" --cpus x
	refused "this machine has only" --cpus 100000
	refused "--cpus cannot go together" --cpus 1 --cpu-quota 1000
	refused "--cpu-shares" --cpu-shares -1
	refused "--cpu-quota" --cpu-quota 1
	refused "--cpu-period" --cpu-period 1
	refused "'99999'" --cpuset-cpus 99999
	refused "numbers and ranges" --cpuset-cpus x
}

@test "pids: more than the limit cannot be made" {
	run box --pids-limit 6 -- sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done 2>&1; echo done'
	[[ $output == *"can't fork"* ]]
	got "done" --pids-limit -1 -- sh -c 'for i in 1 2 3 4 5 6 7 8 9; do true & done; wait; echo done'
	refused "--pids-limit" --pids-limit -2
}

@test "disk: weight, rates of bytes and operations, measured" {
	local disk took
	disk=/dev/$(basename "$(readlink -f "/sys/dev/block/$(stat -c %Hd:%Ld "$HULL_TMP")" || true)")
	[ -b "$disk" ] || skip "$HULL_TMP is not on a disk"
	[ -z "$(cat "/sys/class/block/$(basename "$disk")/partition" 2>/dev/null)" ] || disk=/dev/$(basename "$(readlink -f "/sys/class/block/$(basename "$disk")/..")")
	mkdir -p "$HULL_TMP/disk"
	# three megabytes at one a second
	took=$(date +%s%N)
	box -v "$HULL_TMP/disk:/d" --device-write-bps "$disk:1m" -- dd if=/dev/zero of=/d/f bs=256k count=12 oflag=direct 2>/dev/null
	took=$((($(date +%s%N) - took) / 1000000))
	[ "$took" -ge 1800 ] || { echo "3 MB written in $took ms at 1 MB/s"; return 1; }
	took=$(date +%s%N)
	box -v "$HULL_TMP/disk:/d" --device-read-iops "$disk:10" -- dd if=/d/f of=/dev/null bs=4k count=20 iflag=direct 2>/dev/null
	took=$((($(date +%s%N) - took) / 1000000))
	[ "$took" -ge 1000 ] || { echo "20 reads in $took ms at 10 a second"; return 1; }
	got 300 --blkio-weight 300 -- sh -c 'cd /sys/fs/cgroup; cat blkio/blkio.bfq.weight blkio/blkio.weight io.bfq.weight 2>/dev/null | tr -dc 0-9'
	refused "--blkio-weight" --blkio-weight 5
	refused "No such file" --device-read-bps /dev/nonexistent:1m
	refused "not a block device" --device-write-bps /dev/null:1m
	refused "--device-read-iops" --device-read-iops "$disk:1m"
	refused "--device-write-iops" --device-write-iops "$disk:-1"
	refused "10 to 1000" --blkio-weight-device "$disk:5"
}

# --- what it may do --------------------------------------------------------------------------

@test "confinement by default: capabilities, seccomp, system calls" {
	got "CapInh:0000000000000000 CapPrm:00000000a80425fb CapEff:00000000a80425fb CapBnd:00000000a80425fb CapAmb:0000000000000000 NoNewPrivs:0 Seccomp:2" -- \
		sh -c 'echo $(grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status | tr -d "\t")'
	run box -v "$HULL_TMP/probe:/probe:ro" -- /probe
	[ "${lines[-1]}" = "getpid ok" ]
	[ "$(grep -vc EPERM <<<"$output")" = 1 ] || { echo "$output"; return 1; }
	# a user who is not root has none that work
	got "CapEff: 0000000000000000" -u 1000 -- sh -c 'echo $(grep CapEff /proc/self/status)'
}

@test "confinement by default: masked and read-only paths, no descriptor, no device of the host" {
	local path
	for path in /proc/kcore /proc/keys /proc/timer_list /proc/latency_stats /proc/interrupts; do
		[ ! -f "$path" ] || got "" -- cat "$path"
	done
	for path in /proc/acpi /proc/scsi /proc/asound /sys/firmware /sys/devices/virtual/powercap; do
		[ ! -d "$path" ] || got "" -- ls "$path"
	done
	for path in /proc/sys/kernel/domainname /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/uevent_seqnum /sys/fs/cgroup/x; do
		run box -- sh -c "echo 1 >$path"
		[ "$status" != 0 ] || { echo "$path can be written"; return 1; }
	done
	exec 9<"$HULL_TMP"
	got "0 1 2 " -i -v "$HULL_TMP/probe:/probe:ro" -- /probe fds
	exec 9<&-
	# what is the null device in there is its own
	got /dev/null -- readlink /proc/self/fd/0
	got "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero" -- sh -c 'echo $(ls /dev | grep -vx core)'
	run box -- sh -c 'mknod /tmp/mem c 1 1 && cat /tmp/mem'
	[[ $output == *"not permitted"* ]]
}

@test "capabilities are given and taken" {
	got 00000000a80425fb --cap-add CHOWN -- sed -n 's/^CapEff:.//p' /proc/self/status
	got 00000000a80435fb --cap-add net_admin -- sed -n 's/^CapEff:.//p' /proc/self/status
	got 0000000000000000 --cap-drop ALL -- sed -n 's/^CapBnd:.//p' /proc/self/status
	got 0000000000000001 --cap-drop all --cap-add CAP_CHOWN -- sed -n 's/^CapEff:.//p' /proc/self/status
	run box --cap-drop CHOWN -- chown 5 /tmp
	[ "$status" = 1 ]
	got mounted --cap-add SYS_ADMIN -- sh -c 'mount -t tmpfs x /tmp && echo mounted'
	got down --cap-add NET_ADMIN -- sh -c 'ip link set lo down && echo down'
	refused "no such capability" --cap-add FOO
	refused "no such capability" --cap-drop BAR
}

@test "privileged: all capabilities, devices and paths, no seccomp" {
	local all
	all=$(sed -n 's/^CapBnd:.//p' /proc/self/status)
	got "$all 0" --privileged -- sh -c 'echo $(sed -n "s/^CapEff:.//p;s/^Seccomp:.//p" /proc/self/status)'
	got ok --privileged -- sh -c 'mount -t tmpfs x /tmp && echo a >/proc/sys/kernel/domainname && echo ok'
	got "$(stat -c %t:%T /dev/kmsg)" --privileged -- stat -c %t:%T /dev/kmsg
}

@test "security options: seccomp profiles, no-new-privileges, labels" {
	echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}' >"$HULL_TMP/seccomp.json"
	run box --security-opt "seccomp=$HULL_TMP/seccomp.json" -- mkdir /tmp/x
	[[ $output == *"No space left"* ]]
	got "Seccomp: 0" --security-opt seccomp=unconfined -- sh -c 'echo $(grep Seccomp: /proc/self/status)'
	got "NoNewPrivs: 1" --security-opt no-new-privileges -- sh -c 'echo $(grep NoNewPrivs /proc/self/status)'
	got "NoNewPrivs: 0" --security-opt no-new-privileges=false -- sh -c 'echo $(grep NoNewPrivs /proc/self/status)'
	got ok --security-opt apparmor=unconfined --security-opt label=disable -- echo ok
	refused "seccomp=/nonexistent" --security-opt seccomp=/nonexistent
	refused "line 1" --security-opt seccomp=/etc/passwd
	refused "--security-opt" --security-opt bogus
	refused "--security-opt" --security-opt no-new-privileges=maybe
	refused "label" --security-opt label=bogus
	[ -e /sys/kernel/security/apparmor ] || refused "AppArmor" --security-opt apparmor=some-profile
	[ -e /sys/fs/selinux/enforce ] || refused "SELinux" --security-opt label=type:some_t
}

@test "devices: given, with the access asked for, and no more" {
	local dev number
	for dev in /dev/loop-control /dev/fuse /dev/net/tun /dev/kvm; do [ ! -c "$dev" ] || break; done
	[ -c "$dev" ] || skip "none of the devices this test knows is here"
	number=$(stat -c %t:%T "$dev")
	got "$number" --device "$dev:/dev/given" -- stat -c %t:%T /dev/given
	got both --device "$dev:/dev/given" -- sh -c ': <>/dev/given && echo both'
	got read --device "$dev:/dev/given:r" -- sh -c ': </dev/given && echo read'
	run box --device "$dev:/dev/given:r" -- sh -c ': >>/dev/given'
	[[ $output == *"not permitted"* ]]
	got "c $number" --device "$dev" -- sh -c "echo c \$(stat -c %t:%T $dev)"
	number="$((0x${number%:*})) $((0x${number#*:}))"
	run box -- sh -c "mknod /tmp/k c $number && : </tmp/k"
	[[ $output == *"not permitted"* ]]
	got read --device-cgroup-rule "c ${number/ /:} rm" -- sh -c "mknod /tmp/k c $number && : </tmp/k && echo read"
	refused "No such file" --device /dev/nonexistent
	refused "not a device" --device /etc/passwd
	refused "PATH[:PATH][:rwm]" --device /dev/null:/dev/x:q
	refused "--device-cgroup-rule" --device-cgroup-rule foo
}

@test "limits, sysctls, oom score" {
	got "100 200 50" --ulimit nofile=100:200 --ulimit nproc=50 -- sh -c 'echo $(ulimit -Sn) $(ulimit -Hn) $(sed -n "s/^Max processes *\([0-9]*\).*/\1/p" /proc/self/limits)'
	got "0 0" --ulimit core=0 -- sh -c 'echo $(ulimit -Sc) $(ulimit -Hc)'
	got "1 4096" --sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=4096 -- sh -c 'cd /proc/sys; echo $(cat net/ipv4/ip_forward kernel/msgmax)'
	got 300 --oom-score-adj 300 -- cat /proc/self/oom_score_adj
	refused "no such limit" --ulimit foo=1
	refused "NAME=SOFT[:HARD]" --ulimit nofile=x
	refused "soft is more than hard" --ulimit nofile=20:10
	refused "does not belong to a namespace" --sysctl kernel.panic=1
	refused "No such file" --sysctl net.ipv4.nosuch=1
	refused "--network host" --network host --sysctl net.ipv4.ip_forward=1
	refused "kernel.msgmax" --ipc host --sysctl kernel.msgmax=100
	refused "-1000 to 1000" --oom-score-adj 2000
}

# --- namespaces ------------------------------------------------------------------------------

@test "namespaces of the host: pid, ipc, uts, network, cgroup" {
	local ns host
	for ns in pid ipc uts net cgroup; do
		host=$(readlink "/proc/self/ns/$ns")
		case $ns in net) flag=--network ;; cgroup) flag=--cgroupns ;; *) flag=--$ns ;; esac
		got "$host" "$flag" host -- readlink "/proc/self/ns/$ns"
	done
	for ns in pid ipc uts net mnt; do
		[ "$(box -- readlink "/proc/self/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ]
	done
	[ "$(box --cgroupns private -- readlink /proc/self/ns/cgroup)" != "$(readlink /proc/self/ns/cgroup)" ]
	got 0 --cgroupns private -- sh -c 'grep -vc ":/$" /proc/self/cgroup; true'
	got "$(readlink /proc/self/ns/user)" --userns host -- readlink /proc/self/ns/user
	got "$(cat /proc/1/comm)" --pid host -- cat /proc/1/comm
	got lo --network none -- sh -c 'cd /sys/class/net && echo *'
	local flag
	for flag in pid ipc uts userns cgroupns network; do
		refused "--$flag" "--$flag" bogus
	done
	refused "no such container" --pid container:nosuch
	refused "no such container" --ipc container:nosuch
	refused "no such container" --network container:nosuch
	refused "--hostname" --uts host -h other
}

@test "namespaces of another container: pid, ipc, network" {
	background --name first --ipc shareable box sh -c 'echo here >/dev/shm/file; sleep 60'
	wait_for "$HULL" exec first test -e /dev/shm/file
	got sleep --pid container:first -- cat /proc/1/comm
	got here --ipc container:first -- cat /dev/shm/file
	local ns
	for ns in pid ipc net; do
		got "$("$HULL" exec first readlink "/proc/self/ns/$ns")" \
			--pid container:first --ipc container:first --network container:first -- readlink "/proc/self/ns/$ns"
	done
	"$HULL" stop -t 0 first
	refused "not running" --pid container:first || [[ $output == *"not running"* ]]
}

@test "ipc: none has no /dev/shm, shm-size has the size" {
	got no --ipc none -- sh -c 'grep -q " /dev/shm " /proc/mounts && echo yes || echo no'
	got 2048 --shm-size 2m -- sh -c 'df -k /dev/shm | sed -n "2s/^[^ ]* *\([0-9]*\).*/\1/p"'
	refused "--shm-size" --shm-size x
}

# --- mounts ----------------------------------------------------------------------------------

@test "read-only root: nothing but what is mounted can be written" {
	run box --read-only -- touch /x
	[[ $output == *"Read-only file system"* ]]
	got ok --read-only --tmpfs /t -v vol-ro:/v -- sh -c 'touch /t/x /v/x /dev/shm/x && echo ok'
	run box --read-only -- sh -c 'echo x >/etc/hosts'
	[[ $output == *"Read-only file system"* ]]
	"$HULL" volume rm vol-ro
}

@test "bind mounts: -v makes what is missing, --mount refuses; read-only, files, subdirectories" {
	mkdir -p "$HULL_TMP/b/sub"
	echo one >"$HULL_TMP/b/f"
	got "one" -v "$HULL_TMP/b:/b" -- cat /b/f
	run box -v "$HULL_TMP/b:/b:ro" -- touch /b/x
	[[ $output == *"Read-only file system"* ]]
	run box --mount "type=bind,src=$HULL_TMP/b,dst=/b,readonly" -- touch /b/x
	[[ $output == *"Read-only file system"* ]]
	got one -v "$HULL_TMP/b/f:/deep/er/file:ro" -- cat /deep/er/file
	(cd "$HULL_TMP" && got one -v ./b:/b -- cat /b/f)
	box -v "$HULL_TMP/new/dir:/n" -- touch /n/made
	[ -f "$HULL_TMP/new/dir/made" ]
	refused "No such file" --mount "type=bind,src=$HULL_TMP/missing,dst=/n"
	[ ! -e "$HULL_TMP/missing" ]
	got inner -v "$HULL_TMP/b:/b" -v "$HULL_TMP/new:/b/sub" -- sh -c 'mkdir -p /b/sub/inner; ls /b/sub | head -1 | sed s/dir/inner/'
	refused "two colons" -v a:/b:c:d
	refused "'bogus'" -v /tmp:/x:bogus
	refused "'/'" -v rel/ative:/x
	refused "absolute" -v name:rel
	refused "type bogus" --mount type=bogus,dst=/x
	refused "absolute target" --mount type=tmpfs
	refused "absolute source" --mount type=bind,src=rel,dst=/x
	refused "bogus=1" --mount type=bind,src=/tmp,dst=/x,bogus=1
	refused "has no source" --mount type=tmpfs,src=/tmp,dst=/x
}

@test "named volumes: filled from the image, kept, shared; nocopy does not fill" {
	got user -v filled:/etc -- sh -c 'cut -d: -f1 /etc/passwd | tail -1'
	box -v filled:/v -- sh -c 'echo kept >/v/kept'
	got kept -v filled:/again -- cat /again/kept
	got "" -v empty:/etc:nocopy -- sh -c 'ls /etc | grep -v -x -e hosts -e hostname -e resolv.conf; true'
	got "" --mount type=volume,src=empty2,dst=/etc,volume-nocopy -- sh -c 'ls /etc | grep -v -x -e hosts -e hostname -e resolv.conf; true'
	run box -v filled:/v:ro -- touch /v/x
	[[ $output == *"Read-only file system"* ]]
	box -v /anonymous -- touch /anonymous/x
	[ "$("$HULL" volume ls -q | sort | tr '\n' ' ')" = "empty empty2 filled " ]
	"$HULL" volume rm filled empty empty2
	refused "volume name" --mount type=volume,src=bad/name,dst=/x
}

@test "tmpfs: size, mode, options" {
	got "1024 1777" --tmpfs /t:size=1m -- sh -c 'echo $(df -k /t | sed -n "2s/^[^ ]* *\([0-9]*\).*/\1/p") $(stat -c %a /t)'
	got 700 --tmpfs /t:mode=700 -- stat -c %a /t
	got 750 --mount type=tmpfs,dst=/t,tmpfs-mode=0750,tmpfs-size=64k -- stat -c %a /t
	run box --tmpfs /t:size=64k -- dd if=/dev/zero of=/t/f bs=128k count=1
	[[ $output == *"No space left"* ]]
	run box --tmpfs /t -- sh -c 'cp /bin/busybox /t/true && /t/true'
	[[ $output == *"ermission denied"* ]]
	got ok --tmpfs /t:exec -- sh -c 'cp /bin/busybox /t/echo && /t/echo ok'
	got "rw,nosuid,nodev,noexec" --tmpfs /t -- sh -c 'grep " /t " /proc/mounts | cut -d" " -f4 | cut -d, -f1-4'
	run box --tmpfs /t:ro -- touch /t/x
	[[ $output == *"Read-only file system"* ]]
	refused "absolute path" --tmpfs rel
	refused "size=" --tmpfs /t:size=zz
	refused "mode=" --tmpfs /t:mode=9x
	refused "bogus" --tmpfs /t:bogus
	refused "tmpfs-size=zz" --mount type=tmpfs,dst=/t,tmpfs-size=zz
}

@test "a link in a volume never carries a mount outside" {
	mkdir -p "$HULL_TMP/outside" "$HULL_TMP/linked"
	ln -s "$HULL_TMP/outside" "$HULL_TMP/linked/out"
	ln -s ../../../../../../../.."$HULL_TMP/outside" "$HULL_TMP/linked/dots"
	ln -s /proc/1/root "$HULL_TMP/linked/magic"
	local link
	for link in out dots magic; do
		run box -v "$HULL_TMP/linked:/l" --tmpfs "/l/$link/made" -- true
		run box -v "$HULL_TMP/linked:/l" -v "$HULL_TMP/linked:/l/$link/made2" -- true
		run box -v "$HULL_TMP/linked:/l" -w "/l/$link/made3" -- true
	done
	[ -z "$(ls "$HULL_TMP/outside")" ] || { ls "$HULL_TMP/outside"; return 1; }
	[ ! -e /made ] && [ ! -e /made2 ] && [ ! -e /made3 ]
}

# --- logs and terminals ----------------------------------------------------------------------

@test "logs are rotated by size and count" {
	local id dir
	background --name lo --log-opt max-size=4k --log-opt max-file=2 box seq 1 2000
	[ "$("$HULL" wait lo)" = 0 ]
	id=$("$HULL" inspect -f '{{.Id}}' lo)
	dir=$HULL_ROOT/instances/$id
	[ "$(find "$dir" -maxdepth 1 -name 'log.json*' | wc -l)" = 2 ]
	[ -z "$(find "$dir" -maxdepth 1 -name 'log.json*' -size +5k)" ]
	[ "$("$HULL" logs lo | tail -1)" = 2000 ]
	[ "$("$HULL" logs lo | wc -l)" -lt 200 ]
	background --name no --log-driver none box echo x
	[ "$("$HULL" wait no)" = 0 ]
	run "$HULL" logs no
	[[ $output != x* ]]
	refused "max-size" --log-opt max-size=x
	refused "max-file" --log-opt max-file=0
	refused "--log-opt" --log-opt bogus=1
	refused "--log-driver" --log-driver syslog
}

@test "terminal: size, resize, Ctrl-C, exit code" {
	run on_tty 'e:ready' 'z:44x133' 'e:changed' 's:stty size\n' 'e:44 133' 's:exit 6\n' -- "$HULL" run --rm -it box sh -c \
		'stty size; trap "echo changed" WINCH; echo ready; while :; do read -r line && eval "$line"; done'
	[ "$status" = 6 ] || { echo "$output"; return 1; }
	[ "${lines[0]}" = "30 90" ]
	run on_tty 'e:ready' 's:\x03' 'e:caught' -- "$HULL" run --rm -it box sh -c 'trap "echo caught; exit 3" INT; echo ready; while :; do sleep 0.05; done'
	[ "$status" = 3 ] || { echo "$output"; return 1; }
	run on_tty 'e:ready' 's:\x03' -- "$HULL" run --rm -i box sh -c 'trap "exit 4" INT; echo ready; while :; do sleep 0.05; done'
	[ "$status" = 4 ] || { echo "$output"; return 1; }
	run on_tty -- "$HULL" run --rm -t box sh -c 'test -t 1 && stty size'
	[ "${lines[0]}" = "30 90" ] || { echo "$output"; return 1; }
	run -125 "$HULL" run --rm -it box true </dev/null
	[[ $output == *"not a terminal"* ]]
}

@test "terminal: the detach keys leave it running, attach comes back" {
	run on_tty 'e:# ' 's:echo $((40+2))\n' 'e:42' 's:\x10' 's:\x11' -- "$HULL" run --name tt -it box sh
	[ "$status" = 0 ] || { echo "$output"; return 1; }
	is tt Status running
	run on_tty 's:\n' 'e:# ' 's:echo $((50+3)); exit 8\n' 'e:53' -- "$HULL" attach tt
	[ "$status" = 8 ] || { echo "$output"; return 1; }
	run on_tty 'e:# ' 's:x' -- "$HULL" run --name tx --detach-keys x -it box sh
	[ "$status" = 0 ]
	is tx Status running
	run on_tty 'e:# ' 's:stty size; exit 5\n' 'e:30 90' -- "$HULL" exec -it tx sh
	[ "$status" = 5 ] || { echo "$output"; return 1; }
	refused "--detach-keys" --detach-keys ctrl-nope
}

@test "standard streams: without -i it is empty, -a takes one, a closed pipe ends nothing" {
	got 0 -- sh -c 'wc -c'
	[ "$(echo through | box -i -- cat)" = through ]
	[ "$(box -a stderr -- sh -c 'echo out; echo err >&2' 2>&1)" = err ]
	[ "$(box -- sh -c 'echo out; echo err >&2' 2>/dev/null)" = out ]
	[ "$(box -- yes 2>/dev/null | head -1)" = y ]
	refused "--attach" -a bogus
	run -125 "$HULL" run -d -a stdout box true
}

@test "update: new limits hold in the running container, wrong ones change nothing" {
	background --name up --pids-limit 50 -m 64m box sleep 60
	"$HULL" update --pids-limit 3 -m 32m --memory-swap 64m --cpu-shares 200 --cpuset-cpus 0 --restart on-failure:4 up >/dev/null
	[ "$("$HULL" exec up sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max')" = 33554432 ]
	[ "$("$HULL" exec up nproc)" = 1 ]
	[ "$("$HULL" inspect -f '{{.HostConfig.RestartPolicy.MaximumRetryCount}}' up)" = 4 ]
	run -1 "$HULL" update -m 1m up
	[ "${#lines[@]}" = 1 ]
	run -1 "$HULL" update --cpuset-cpus 99999 up
	[ "$("$HULL" exec up nproc)" = 1 ]
	run -1 "$HULL" update -m 32m nosuch
	run "$HULL" exec up sh -c 'for i in 1 2 3 4 5; do sleep 1 & done'
	[[ $output == *"can't fork"* ]]
}
