#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016 # scripts for the shells inside
# hull as an ordinary user: one with ranges of further ids, one without; made for this file and removed with it

load common

setup_file() {
	need_root
	need setpriv
	need useradd
	unshare --user true 2>/dev/null || skip "no user namespaces here"
	setup_hull
	chmod 755 "$HULL_TMP"
	install -m 755 "$HULL" "$HULL_TMP/hull"
	export RANGED=hullr$$ SINGLE=hulls$$
	local u
	for u in $RANGED $SINGLE; do
		useradd -m -d "$HULL_TMP/$u" "$u"
		# "user:" stands at the start of its own lines only
		sed -i "/^$u:/d" /etc/subuid /etc/subgid
		make_rootfs "$HULL_TMP/$u/rootfs"
		chown -R "$u:" "$HULL_TMP/$u"
	done
	usermod --add-subuids 700000-765535 --add-subgids 700000-765535 "$RANGED"
	for u in $RANGED $SINGLE; do
		as "$u" sh -c 'tar -C rootfs -c . | hull import -c "CMD [\"sh\"]" - img'
	done
}

teardown_file() {
	[ -n "${RANGED-}" ] || return 0
	local u left="" g
	for u in $RANGED $SINGLE; do
		as "$u" sh -c 'hull ps -aq | xargs -r hull rm -f; hull oci list -q | xargs -rn1 hull oci delete -f' || true
		# zombies are init's to reap
		left+=$(ps -u "$u" -o pid=,stat=,args= | awk '$2 !~ /^Z/')
		pgrep -u "$u" | xargs -r kill -9 2>/dev/null || true
		rm -rf "/tmp/hull-$(id -u "$u")" "/tmp/hull-oci-$(id -u "$u")"
		wait_for userdel -r "$u"
		sed -i "/^$u:/d" /etc/subuid /etc/subgid
	done
	for g in /sys/fs/cgroup/*/"hull-$RANGED"; do
		[ ! -d "$g" ] || find "$g" -depth -type d -exec rmdir {} \;
	done
	rm -rf --one-file-system "$HULL_TMP"
	[ -z "$left" ] || { echo "# processes left: $left" >&3; return 1; }
}

# as USER COMMAND...: with nothing of ours but the program
as() {
	local u=$1
	shift
	(cd "$HULL_TMP/$u" && exec setpriv --reuid="$(id -u "$u")" --regid="$(id -g "$u")" --clear-groups --inh-caps=-all \
		env -i HOME="$HULL_TMP/$u" PATH="$HULL_TMP:/usr/bin:/bin:/usr/sbin:/sbin" "$@" 3>&-)
}

# bundle USER NAME JQ-FILTER: a bundle of `spec --rootless`, changed
bundle() {
	local dir=$HULL_TMP/$1/$2
	as "$1" sh -c "rm -rf $2 && mkdir $2 && hull oci spec --rootless -b $2"
	jq ".root.path = \"$HULL_TMP/$1/rootfs\" | .root.readonly = false | .process.terminal = false | $3" \
		"$dir/config.json" >"$dir/new"
	mv "$dir/new" "$dir/config.json"
}

ranges='.linux.uidMappings += [{containerID: 1, hostID: 700000, size: 65536}]
	| .linux.gidMappings += [{containerID: 1, hostID: 700000, size: 65536}]'

# --- hull oci

@test "oci: a user without ranges runs as root of one id" {
	bundle "$SINGLE" b '.process.args = ["sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/setgroups; touch /tmp/x"]'
	run as "$SINGLE" hull oci run -b b r1
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = 0 ]
	[[ "${lines[1]}" =~ ^\ +0\ +$(id -u "$SINGLE")\ +1$ ]]
	[ "${lines[2]}" = deny ]
	[ "$(stat -c %U "$HULL_TMP/$SINGLE/rootfs/tmp/x")" = "$SINGLE" ]
}

@test "oci: ranges go through newuidmap, and give users and groups" {
	command -v newuidmap >/dev/null || skip "newuidmap is not installed"
	bundle "$RANGED" b "$ranges | .process.user = {uid: 33, gid: 34, additionalGids: [44]} | .process.args = [\"id\"]"
	run as "$RANGED" hull oci run -b b r2
	[ "$status" -eq 0 ]
	[ "$output" = "uid=33 gid=34 groups=44" ]
}

@test "oci: a range that is another's is refused" {
	command -v newuidmap >/dev/null || skip "newuidmap is not installed"
	bundle "$SINGLE" b "$ranges | .process.args = [\"id\"]"
	run as "$SINGLE" hull oci run -b b r3
	[ "$status" -ne 0 ]
	[[ "$output" == *"newuidmap refused the mapping; see /etc/subuid"* ]]
	run as "$SINGLE" hull oci state r3
	[[ "$output" == *"does not exist"* ]]
}

@test "oci: a user nobody mapped is refused by name" {
	bundle "$SINGLE" b '.process.user = {uid: 5, gid: 5} | .process.args = ["id"]'
	run as "$SINGLE" hull oci run -b b r4
	[ "$status" -ne 0 ]
	[[ "$output" == *"the user namespace has no user 5"* ]]
}

@test "oci: create, start, exec, ps, kill --all, delete without a cgroup; pause is refused" {
	local u
	for u in $SINGLE $RANGED; do
		bundle "$u" b '.process.args = ["sh", "-c", "sleep 1000 & exec sleep 1001"]'
		[ "$u" = "$SINGLE" ] || ! command -v newuidmap || bundle "$u" b "$ranges"' | .process.args = ["sh", "-c", "sleep 1000 & exec sleep 1001"]'
		as "$u" sh -c 'hull oci create -b b --pid-file pid c1 </dev/null >/dev/null 2>&1'
		[ "$(as "$u" hull oci state c1 | jq -r .status)" = created ]
		as "$u" hull oci start c1
		wait_for eval "[ \$(as $u hull oci ps -f json c1 | jq length) = 2 ]"
		run as "$u" hull oci exec c1 sh -c 'id -u; exit 9'
		[ "$status" -eq 9 ]
		[ "$output" = 0 ]
		run as "$u" hull oci pause c1
		[ "$status" -ne 0 ]
		[[ "$output" == *"'c1' cannot be paused: it has no cgroup"* ]]
		run as "$u" hull oci update --memory 1000000 c1
		[ "$status" -ne 0 ]
		[[ "$output" == *"no cgroup controller 'memory'"* ]]
		as "$u" hull oci kill --all c1 KILL
		wait_for eval "[ \$(as $u hull oci state c1 | jq -r .status) = stopped ]"
		as "$u" hull oci delete c1
	done
}

@test "oci: limits that nobody enforces are named, and only these" {
	bundle "$SINGLE" b '.process.args = ["true"]'
	run as "$SINGLE" hull oci run -b b r5
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	bundle "$SINGLE" b '.process.args = ["true"] | .linux.resources = {memory: {limit: 10000000}, pids: {limit: 10}}'
	run as "$SINGLE" hull oci run -b b r5
	[ "$status" -eq 0 ]
	[[ "$output" == *"warning: container 'r5': no cgroup of yours enforces these limits, they are ignored: memory pids" ]]
}

@test "oci: a terminal goes over the console socket" {
	as "$SINGLE" python3 -c 'import socket; socket.recv_fds' || skip "the user has no python3 with recv_fds"
	bundle "$SINGLE" b '.process.terminal = true | .process.args = ["sh", "-c", "tty; test -c /dev/console && echo console"]'
	cat >"$HULL_TMP/console.py" <<'PY'
import os, socket, subprocess, sys
s = socket.socket(socket.AF_UNIX)
s.bind("console.sock")
s.listen()
subprocess.run(["hull", "oci", "run", "-d", "-b", "b", "--console-socket", "console.sock", "t1"], check=True)
fd = socket.recv_fds(s.accept()[0], 64, 1)[1][0]
try:
    while data := os.read(fd, 4096):
        sys.stdout.write(data.decode())
except OSError:
    pass
PY
	run as "$SINGLE" python3 "$HULL_TMP/console.py"
	as "$SINGLE" hull oci delete -f t1
	[ "$status" -eq 0 ]
	[[ "$output" == *"/dev/pts/0"*console* ]]
}

@test "oci: a state directory in /tmp that another made is refused" {
	local dir
	dir=/tmp/hull-oci-$(id -u "$SINGLE")
	rm -rf "$dir"
	mkdir -m 777 "$dir"
	run as "$SINGLE" hull oci list
	rm -rf "$dir"
	[ "$status" -ne 0 ]
	[[ "$output" == *"$dir is not yours alone"* ]]
}

# --- hull

@test "import, run, exec, ps, cp, commit, stop, rm as either user" {
	local u
	for u in $SINGLE $RANGED; do
		run as "$u" hull run --rm img sh -c 'id -u; exit 3'
		[ "$status" -eq 3 ]
		[ "$output" = 0 ]
		as "$u" hull run -d --name one img sleep 1000
		[ "$(as "$u" hull exec one sh -c 'echo hi >/new; hostname; cat /new' | tail -1)" = hi ]
		[ "$(as "$u" hull ps --format '{{.Names}} {{.State}}')" = "one running" ]
		[[ "$(as "$u" hull top one)" == *"sleep 1000"* ]]
		[ "$(as "$u" hull diff one)" = "A /new" ]
		[ "$(as "$u" sh -c 'hull cp one:/new here && cat here')" = hi ]
		as "$u" hull commit one copy
		[ "$(as "$u" hull run --rm copy cat /new)" = hi ]
		as "$u" hull restart -t 0 one
		[ "$(as "$u" hull exec one cat /new)" = hi ]
		as "$u" hull stop -t 0 one
		as "$u" hull rm one
		[ -z "$(as "$u" hull ps -aq)" ]
	done
}

@test "build: RUN, removals, save and load as either user" {
	local u
	for u in $SINGLE $RANGED; do
		as "$u" mkdir -p ctx
		as "$u" sh -c 'printf "FROM img\nCOPY Dockerfile /d\nRUN id -u >/made && rm /bin/tty && rm -r /root && mkdir /root\nCMD cat /made\n" >ctx/Dockerfile'
		as "$u" hull build -q -t built ctx
		as "$u" sh -c 'hull save built >a.tar && hull rmi -f built && hull load -q -i a.tar'
		[ "$(as "$u" hull run --rm built)" = 0 ]
		run as "$u" hull run --rm built sh -c 'ls /bin/tty || ls -A /root'
		[[ "$output" == *"No such file"* ]]
	done
}

@test "the store and the run directory are the user's own places" {
	local u=$SINGLE
	[ -f "$HULL_TMP/$u/.local/share/hull/hull.db" ]
	[ "$(stat -c '%U %a' "/tmp/hull-$(id -u "$u")")" = "$u 700" ]
	mkdir -m 700 "$HULL_TMP/$u/xdg"
	chown "$u:" "$HULL_TMP/$u/xdg"
	as "$u" env XDG_DATA_HOME="$HULL_TMP/$u/xdg" XDG_RUNTIME_DIR="$HULL_TMP/$u/xdg" hull images -q
	[ -f "$HULL_TMP/$u/xdg/hull/hull.db" ]
	[[ "$(as "$u" hull info)" == *"Rootless: true"* ]]
}

@test "a run directory in /tmp that another made is refused" {
	local dir
	dir=/tmp/hull-$(id -u "$SINGLE")
	mv "$dir" "$dir.away"
	mkdir -m 777 "$dir"
	run as "$SINGLE" hull ps
	rmdir "$dir"
	ln -s "$dir.away" "$dir"
	[ "$status" -ne 0 ]
	[[ "$output" == *"'$dir': is not yours alone"* ]]
	run as "$SINGLE" hull ps
	rm "$dir"
	mv "$dir.away" "$dir"
	[ "$status" -ne 0 ]
	[[ "$output" == *"'$dir': is not yours alone"* ]]
}

@test "all instances are in one user namespace, also when started at once, and it ends with them" {
	local i ns
	for i in 1 2 3 4 5 6; do
		as "$RANGED" hull run -d --name "par$i" img sleep 1000 >/dev/null &
	done
	wait
	[ "$(as "$RANGED" hull ps -q | wc -l)" -eq 6 ]
	# only who lives: zombies of earlier tests are init's to reap, in its own time
	ns=$(ps -u "$RANGED" -o pid=,stat=,comm= | awk '$2 !~ /^Z/ && $3 == "sleep" { print $1 }' |
		while read -r i; do readlink "/proc/$i/ns/user"; done | sort -u)
	[ "$(wc -l <<<"$ns")" -eq 1 ]
	for i in 1 2 3 4 5 6; do
		[ "$(as "$RANGED" hull exec "par$i" echo in)" = in ]
	done
	as "$RANGED" hull rm -f par1 par2 par3 par4 par5 par6
	in_it() {
		local pid
		for pid in $(ps -e -o pid=,stat= | awk '$2 !~ /^Z/ { print $1 }'); do
			[ "$(readlink "/proc/$pid/ns/user")" != "$ns" ] || return 0
		done
		return 1
	}
	wait_for eval "! in_it"
}

@test "owners and groups of an image are kept as far as there are ids" {
	local u want
	rm -rf "$HULL_TMP/owners"
	make_rootfs "$HULL_TMP/owners"
	mkdir "$HULL_TMP/owners/one" "$HULL_TMP/owners/far"
	chown 1000:1000 "$HULL_TMP/owners/one"
	chown 4000000:4000000 "$HULL_TMP/owners/far"
	tar -C "$HULL_TMP/owners" -c . >"$HULL_TMP/owners.tar"
	for u in $SINGLE $RANGED; do
		want="0 0"
		[ "$u" = "$SINGLE" ] || ! command -v newuidmap || want="1000 0"
		as "$u" hull import -q "$HULL_TMP/owners.tar" owners || as "$u" hull import "$HULL_TMP/owners.tar" owners
		[ "$(as "$u" hull run --rm owners stat -c %u /one /far | xargs)" = "$want" ]
	done
	run as "$SINGLE" hull run --rm -u user owners id
	[ "$status" -ne 0 ]
	[[ "$output" == *"has no user 1000"* ]]
	command -v newuidmap >/dev/null || skip "newuidmap is not installed"
	[ "$(as "$RANGED" hull run --rm -u user owners id)" = "uid=1000(user) gid=1000(user) groups=1000(user),2000(extra)" ]
	# what such a user writes into a volume is removed again, although outside it is not the caller's
	as "$RANGED" hull run --rm -v data:/one -u user owners touch /one/x
	as "$RANGED" hull volume rm data
}

@test "the host's namespaces, devices, volumes and a privileged mount" {
	local u
	for u in $SINGLE $RANGED; do
		as "$u" hull run --rm --pid host --ipc host --uts host --network host --cgroupns host img true
		[[ "$(as "$u" hull run --rm --pid host img ls /proc)" == *$$* ]]
		[ "$(as "$u" hull run --rm -v "$HULL_TMP/$u:/h" img sh -c 'touch /h/mine && ls /h/mine')" = /h/mine ]
		[ "$(stat -c %U "$HULL_TMP/$u/mine")" = "$u" ]
		[ "$(as "$u" hull run --rm --device /dev/full img sh -c 'echo x >/dev/full' 2>&1 | grep -c 'No space')" = 1 ]
		[ "$(as "$u" hull run --rm --privileged img sh -c 'mount -t tmpfs x /tmp && echo ok')" = ok ]
		[ "$(as "$u" hull run --rm --ulimit nofile=100:100 img sh -c 'ulimit -n')" = 100 ]
	done
}

@test "CVE-2019-5736: the program cannot be written from inside, even where the user owns it" {
	readelf -lW "$HULL" | grep -q ' INTERP ' && skip "hull is linked dynamically here, and its loader is not inside"
	local u=$SINGLE before holder tmp=$HULL_TMP/$SINGLE/rootfs/tmp
	install -o "$u" -m 755 "$HULL" "$HULL_TMP/$u/own-hull"
	before=$(sha256sum <"$HULL_TMP/$u/own-hull")
	# As in safety.bats: the program, made to run inside, is held open until it has ended and its file is no longer busy.
	bundle "$u" b "$(sh_args 'while :; do for p in /proc/[0-9]*; do exe=$(readlink $p/exe) || continue
		case $exe in *busybox) continue ;; esac
		exec 5<$p/exe || continue
		touch /tmp/held
		while kill -0 ${p#/proc/}; do usleep 1000; done
		sh -c "echo x >>/proc/self/fd/5" 2>/tmp/result; touch /tmp/done; exec sleep 1000; done; done')"
	as "$u" sh -c './own-hull oci run -d -b b cve </dev/null >/dev/null 2>&1'
	mkfifo "$BATS_TEST_TMPDIR/stdin"
	sleep 60 >"$BATS_TEST_TMPDIR/stdin" 3>&- &
	holder=$!
	as "$u" ./own-hull oci exec cve /proc/self/exe oci run --config /dev/stdin x <"$BATS_TEST_TMPDIR/stdin" &
	wait_for test -e "$tmp/held"
	kill $holder
	wait_for test -e "$tmp/done"
	as "$u" hull oci delete -f cve
	cat "$tmp/result"
	[[ "$(cat "$tmp/result")" == *"Operation not permitted"* ]]
	[ "$(sha256sum <"$HULL_TMP/$u/own-hull")" = "$before" ]
}

@test "limits without a delegated cgroup: one warning each, and none when none was asked for" {
	run as "$SINGLE" hull run --rm img true
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	run as "$SINGLE" hull run --rm --memory 20m --pids-limit 9 img true
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -eq 2 ]
	[[ "$output" == *"--memory needs a cgroup delegated to you with controller 'memory', and there is none: the limit is ignored"* ]]
	as "$SINGLE" hull run -d --name np img sleep 1000
	run as "$SINGLE" hull pause np
	as "$SINGLE" hull rm -f np
	[ "$status" -ne 0 ]
	[[ "$output" == *"it has no cgroup"* ]]
}

@test "limits in a delegated cgroup are enforced, and pause works" {
	local h g made=""
	for h in memory pids freezer unified; do
		g=/sys/fs/cgroup/$h/hull-$RANGED
		[ -d "/sys/fs/cgroup/$h" ] && mkdir "$g" 2>/dev/null || continue
		chown -R "$RANGED:" "$g"
		made+=" $g"
	done
	[[ "$made" == *memory* && "$made" == *freezer* ]] || skip "no cgroup v1 memory and freezer here"
	in_groups() {
		local g
		for g in $made; do echo $BASHPID >"$g/cgroup.procs"; done
		as "$RANGED" "$@"
	}
	run in_groups hull run --rm --memory 16m --memory-swap 16m img sh -c 'x=$(head -c 60000000 /dev/zero | tr "\0" a); echo survived'
	[[ "$output" != *warning* && "$output" != *survived* ]]
	[ "$status" -eq 137 ]
	[[ "$(in_groups hull run --rm --memory 16m img cat /proc/self/cgroup)" == *":memory:/hull-$RANGED/hull/"* ]]
	(in_groups hull run -d --name dp --memory 16m img sleep 1000)
	as "$RANGED" hull pause dp
	[ "$(as "$RANGED" hull ps --format '{{.State}}')" = paused ]
	as "$RANGED" hull unpause dp
	as "$RANGED" hull rm -f dp
	for g in $made; do [ -z "$(find "$g/hull" -mindepth 1 -type d)" ]; done
}

@test "podman: rootless, with hull oci as its runtime, also with --userns keep-id" {
	local u=$RANGED
	need podman
	need newuidmap
	ln -sf hull "$HULL_TMP/hull-oci"
	cat >"$HULL_TMP/pod" <<-'SH'
		#!/bin/sh
		exec podman --root "$HOME/pod/root" --runroot "$HOME/pod/run" --tmpdir "$HOME/pod/tmp" --cgroup-manager cgroupfs \
			--events-backend file --storage-driver vfs --runtime "${0%/*}/hull-oci" "$@"
	SH
	chmod 755 "$HULL_TMP/pod"
	as "$u" sh -c 'tar -C rootfs -c . | pod import - bb:1' >/dev/null 2>&1
	run as "$u" pod run --rm --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 bb:1 sh -c 'id -u; exit 5'
	echo "$output"
	[ "$status" -eq 5 ]
	[ "${lines[-1]}" = 0 ]
	run as "$u" pod run --rm --network none --userns keep-id --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 bb:1 id -u
	[ "$status" -eq 0 ]
	[ "${lines[-1]}" = "$(id -u "$u")" ]
	as "$u" pod system migrate >/dev/null 2>&1 # ends the process that podman keeps
}
