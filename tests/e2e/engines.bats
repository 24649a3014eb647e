#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Other engines with `hull oci` in place of runc: Debian's podman, and dockerd with its containerd. Both are started by this
# file in directories and on sockets of their own, and stopped by process id.

load common

setup_file() {
	need_root
	setup_hull
	make_rootfs "$HULL_TMP/rootfs"
	export LIMITS="--ulimit nofile=1024:1024 --ulimit nproc=1024:1024"
	ln -s "$HULL" "$HULL_TMP/hull-oci"
}

teardown_file() {
	if [ -s "$HULL_TMP/docker.pid" ]; then
		local pid
		pid=$(cat "$HULL_TMP/docker.pid")
		kill "$pid" 2>/dev/null
		for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
	fi
	for m in $(awk -v t="$HULL_TMP" 'index($5, t) == 1 {print $5}' /proc/self/mountinfo | sort -r); do umount -l "$m"; done
	teardown_hull
}

pod() {
	podman --root "$HULL_TMP/pod/root" --runroot "$HULL_TMP/pod/run" --tmpdir "$HULL_TMP/pod/tmp" --cgroup-manager cgroupfs \
		--events-backend file --storage-driver vfs --runtime "$HULL_TMP/hull-oci" "$@"
}

need_podman() {
	need podman
	[ -d "$HULL_TMP/pod" ] || tar -C "$HULL_TMP/rootfs" -c . | pod import - bb:1 >/dev/null 2>&1
}

dock() { docker -H "unix://$HULL_TMP/docker.sock" "$@"; }

need_docker() {
	need dockerd
	need docker
	[ ! -S "$HULL_TMP/docker.sock" ] || return 0
	# an address of its own for the containerd it starts; no bridge, no firewall rules: this host's network stays as it is
	dockerd --data-root "$HULL_TMP/docker" --exec-root "$HULL_TMP/dx" --pidfile "$HULL_TMP/docker.pid" \
		-H "unix://$HULL_TMP/docker.sock" --iptables=false --ip6tables=false --bridge=none --storage-driver vfs \
		--add-runtime "hull=$HULL_TMP/hull-oci" >"$HULL_TMP/docker.log" 2>&1 3>&- &
	wait_for dock version || { tail "$HULL_TMP/docker.log"; return 1; }
	tar -C "$HULL_TMP/rootfs" -c . | dock import - bb:1 >/dev/null
}

@test "podman: run, output, exit code" {
	need_podman
	run pod run --rm --network none $LIMITS bb:1 sh -c 'echo hello; exit 5'
	echo "$output"
	[ "$status" -eq 5 ]
	[ "${lines[0]}" = hello ]
}

@test "podman: a terminal, limits, a user, capabilities, a read-only root" {
	need_podman
	run pod run --rm -t --network none $LIMITS -m 64m --pids-limit 50 --user 1000:1000 --cap-drop all --read-only bb:1 \
		sh -c 'tty; id -u; grep CapBnd /proc/self/status; touch /x'
	echo "$output"
	[[ "$output" == *"/dev/pts/0"* && "$output" == *1000* && "$output" == *0000000000000000* && "$output" == *"Read-only"* ]]
}

@test "podman: detached life cycle, exec, pause, stats, logs, stop" {
	need_podman
	pod run -d --name pd --network none $LIMITS bb:1 sh -c 'echo started; trap "exit 3" TERM; while :; do sleep 0.1; done'
	run pod exec pd sh -c 'ps; exit 4'
	[ "$status" -eq 4 ]
	pod pause pd
	[ "$(pod inspect -f '{{.State.Status}}' pd)" = paused ]
	pod unpause pd
	run pod stats --no-stream pd
	[ "$status" -eq 0 ]
	[ "$(pod logs pd)" = started ]
	pod stop -t 5 pd
	[ "$(pod inspect -f '{{.State.ExitCode}}' pd)" = 3 ]
	pod rm -f pd
}

@test "podman: a command that is not there is 127, one that cannot run is 126" {
	need_podman
	run pod run --rm --network none $LIMITS bb:1 nope
	[ "$status" -eq 127 ]
	run pod run --rm --network none $LIMITS bb:1 /etc/passwd
	[ "$status" -eq 126 ]
}

@test "podman: a pod's containers share namespaces; init reaps" {
	need_podman
	pod run -d --name p1 --network none $LIMITS bb:1 sleep 100
	run pod run --rm --network container:p1 --pid container:p1 --ipc container:p1 $LIMITS bb:1 ps
	echo "$output"
	[[ "$output" == *"sleep 100"* ]]
	pod rm -f -t 0 p1
}

@test "dockerd: run, output, exit code, default confinement" {
	need_docker
	run dock run --runtime hull --rm --network none bb:1 sh -c 'echo hello; grep -E "CapBnd|Seccomp:" /proc/self/status; exit 5'
	echo "$output"
	[ "$status" -eq 5 ]
	[[ "$output" == *hello*00000000a80425fb*Seccomp*2* ]]
}

@test "dockerd: detached life cycle, exec, pause, update, top, stats, stop" {
	need_docker
	dock run --runtime hull -d --name dd --network none bb:1 sh -c 'trap "exit 3" TERM; while :; do sleep 0.1; done'
	run dock exec dd sh -c 'exit 4'
	[ "$status" -eq 4 ]
	run dock exec -t dd tty
	[[ "$output" == *"/dev/pts/"* ]]
	dock pause dd
	dock unpause dd
	dock update -m 64m --memory-swap 64m dd
	run dock top dd
	[[ "$output" == *sleep* ]]
	run dock stats --no-stream dd
	[[ "$output" == *"64MiB"* ]]
	dock stop -t 5 dd
	[ "$(dock inspect -f '{{.State.ExitCode}}' dd)" = 3 ]
	dock rm dd
}

@test "dockerd: a memory limit kills, and docker is told so" {
	need_docker
	run dock run --runtime hull --name oom --network none -m 16m --memory-swap 16m bb:1 sh -c 'x=; while :; do x=$x$x$(dd if=/dev/zero bs=1M count=4 2>/dev/null | tr "\0" a); done'
	[ "$status" -eq 137 ]
	[ "$(dock inspect -f '{{.State.OOMKilled}}' oom)" = true ]
	dock rm oom
}

@test "dockerd: a command that is not there is 127; --init and a terminal work" {
	need_docker
	run dock run --runtime hull --rm --network none bb:1 nope
	[ "$status" -eq 127 ]
	run dock run --runtime hull --rm -t --init --network none bb:1 ps
	echo "$output"
	[[ "$output" == *docker-init* ]]
}
