#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The three layouts of cgroups: as the host has it, v2 alone and v1 alone in private mount namespaces; limits are measured,
# not read back.

load common

setup_file() { need_root; need jq; setup_hull; }
teardown_file() { teardown_hull; }
teardown() {
	for id in $(oci list -q); do oci delete -f "$id" 2>/dev/null || true; done
	for id in $("$HULL" ps -aq 2>/dev/null); do "$HULL" rm -f "$id" >/dev/null 2>&1 || true; done
	find /sys/fs/cgroup -depth -type d -path "*/hull-e2e-cg-$$*" -exec rmdir {} + 2>/dev/null || true
}

# in_v2, in_v1, in_host: run a command where /sys/fs/cgroup shows that layout
in_v2() {
	unshare -m --propagation private bash -c 'umount -R /sys/fs/cgroup 2>/dev/null
		mount -t cgroup2 none /sys/fs/cgroup || exit 99; exec "$@"' _ "$@"
}
in_v1() {
	unshare -m --propagation private bash -c 'umount /sys/fs/cgroup/unified 2>/dev/null
		[ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ] || exit 99; exec "$@"' _ "$@"
}
in_host() { "$@"; }

# layout NAME: the commands of this test run in it; skips when this host cannot show it
layout() {
	L=in_$1
	"$L" true 2>/dev/null || skip "this host cannot show cgroup $1 alone"
	if [ "$1" = v1 ] && ! ls -d /sys/fs/cgroup/*/cgroup.procs >/dev/null 2>&1; then
		skip "this host has no cgroup v1 hierarchy"
	fi
}

# has CONTROLLER: does the layout have it?
has() {
	if [ "$("$L" stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
		"$L" cat /sys/fs/cgroup/cgroup.controllers | grep -qw "$1"
	else
		"$L" awk -v c="$1" '!/^0:/ { split($0, f, ":"); n = split(f[2], l, ","); for (i = 1; i <= n; i++) if (l[i] == c) ok = 1 }
			END { exit !ok }' /proc/self/cgroup
	fi
}

# loci: the OCI runtime in the layout
loci() { "$L" "$HULL" oci --root "$OCI_ROOT" "$@"; }

# lstart ID FILTER: in the background
lstart() {
	make_bundle "$BATS_TEST_TMPDIR/$1" ".linux.cgroupsPath = \"/hull-e2e-cg-$$/$1\" | $2"
	loci run --detach --bundle "$BATS_TEST_TMPDIR/$1" "$1" </dev/null >"$BATS_TEST_TMPDIR/$1.out" 2>&1 ||
		{ cat "$BATS_TEST_TMPDIR/$1.out"; return 1; }
}

# lrun ID FILTER: in the foreground
lrun() {
	make_bundle "$BATS_TEST_TMPDIR/$1" ".linux.cgroupsPath = \"/hull-e2e-cg-$$/$1\" | $2"
	run loci run --bundle "$BATS_TEST_TMPDIR/$1" "$1"
}

lstatus() { loci state "$1" | jq -r .status; }

# groups ID: the directories that are the container's, in any hierarchy
groups() { "$L" find /sys/fs/cgroup -maxdepth 4 -type d -path "*/hull-e2e-cg-$$/$1" 2>/dev/null; }

# ticks PID: processor time it has used, in hundredths of a second
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

# used SECONDS PID...: the ticks each used in that time
used() {
	local seconds=$1 pid i=0
	shift
	local before=()
	for pid; do before+=("$(ticks "$pid")"); done
	sleep "$seconds"
	for pid; do
		echo $(($(ticks "$pid") - before[i]))
		i=$((i + 1))
	done
}

# --- a life in each layout

life() {
	lrun exit "$(sh_args 'exit 7')"
	[ "$status" -eq 7 ]
	[ -z "$(groups exit)" ]
	lstart a "$(sh_args 'while :; do date +%s%N >/tmp/tick; usleep 1000; done') | .root.readonly = false"
	[ -n "$(groups a)" ]
	[ "$(lstatus a)" = running ]
	run loci exec a sh -c 'echo in; exit 9'
	[ "$status" -eq 9 ]
	[ "$output" = in ]
	loci exec --detach a sleep 1234
	[ "$(loci ps -f json a | jq length)" -ge 2 ]
	run loci ps a
	[[ "$output" == *"sleep 1234"* ]]

	loci pause a
	[ "$(lstatus a)" = paused ]
	tick=$(cat "$HULL_TMP/rootfs/tmp/tick")
	sleep 0.2
	[ "$tick" = "$(cat "$HULL_TMP/rootfs/tmp/tick")" ]
	run loci exec a true
	[ "$status" -ne 0 ]
	[[ "$output" == *paused* ]]
	loci resume a
	[ "$(lstatus a)" = running ]
	wait_for eval '[ "$before" != "$(cat "$HULL_TMP/rootfs/tmp/tick")" ]'

	run loci delete a
	[ "$status" -ne 0 ]
	loci kill a KILL
	wait_for eval '[ "$(lstatus a)" = stopped ]'
	loci delete a
	[ -z "$(groups a)" ]
	rm -f "$HULL_TMP/rootfs/tmp/tick"
}

@test "host's layout: run, exec, ps, pause, resume, kill, delete" { layout host; life; }
@test "v2 alone: run, exec, ps, pause, resume, kill, delete" { layout v2; life; }
@test "v1 alone: run, exec, ps, pause, resume, kill, delete" { layout v1; life; }

paused_dies() {
	lstart pk "$(sh_args 'sleep 1000')"
	loci pause pk
	loci kill pk KILL
	wait_for eval '[ "$(lstatus pk)" = stopped ]'
	loci delete pk
	lstart pd "$(sh_args 'sleep 1000')"
	loci pause pd
	loci delete -f pd
	[ -z "$(groups pk)$(groups pd)" ]
}

@test "host's layout: a paused container can be killed, and deleted by force" { layout host; paused_dies; }
@test "v2 alone: a paused container can be killed, and deleted by force" { layout v2; paused_dies; }
@test "v1 alone: a paused container can be killed, and deleted by force" { layout v1; paused_dies; }

# alive PID...: is any of them a process that runs?
alive() {
	local pid
	for pid; do
		[ "$(awk '/^State/ { print $2 }' "/proc/$pid/status" 2>/dev/null | tr -d ZX)" = "" ] || return 0
	done
	return 1
}

# Without a pid namespace of its own nothing but the cgroup tells who belongs to it.
all_die() {
	local pids shared='.linux.namespaces |= map(select(.type != "pid"))'
	lstart all "$(sh_args 'sleep 1000 & sleep 1000 & sleep 1000') | $shared"
	wait_for eval '[ "$(loci ps -f json all | jq length)" -ge 3 ]'
	mapfile -t pids < <(loci ps -f json all | jq '.[]')
	loci kill all KILL
	wait_for eval '! alive "${pids[@]}"'
	loci delete all
	lstart all "$(sh_args 'sleep 1000 & sleep 1000 & sleep 0.1') | $shared"
	wait_for eval '[ "$(lstatus all)" = stopped ]'
	mapfile -t pids < <(loci ps -f json all | jq '.[]')
	[ "${#pids[@]}" -eq 2 ] # init has left them behind
	alive "${pids[@]}"
	loci delete all
	wait_for eval '! alive "${pids[@]}"'
	[ -z "$(groups all)" ]
}

@test "host's layout: a container that shares the pid namespace dies whole" { layout host; all_die; }
@test "v2 alone: a container that shares the pid namespace dies whole" { layout v2; all_die; }
@test "v1 alone: a container that shares the pid namespace dies whole" { layout v1; all_die; }

device_filter() {
	lrun dev "$(sh_args 'mknod /tmp/k b 7 0 && dd if=/tmp/k of=/dev/null count=1; echo x >/dev/null && echo null') |
		.root.readonly = false | .process.capabilities[\"bounding\", \"effective\", \"permitted\"] += [\"CAP_MKNOD\"]"
	rm -f "$HULL_TMP/rootfs/tmp/k"
	echo "$output"
	[[ "$output" == *"not permitted"* && "$output" == *null* ]]
}

@test "host's layout: a device that is not allowed is refused" { layout host; device_filter; }
@test "v2 alone: a device that is not allowed is refused" { layout v2; device_filter; }
@test "v1 alone: a device that is not allowed is refused" { layout v1; device_filter; }

# A container may keep groups of its own; delete takes them along, and exec still gets in.
nested() {
	local at
	lstart nest "$(sh_args 'sleep 1000')"
	for at in $(groups nest); do
		"$L" mkdir -p "$at/inner/deeper" || true
	done
	run loci exec nest echo in
	[ "$output" = in ]
	loci delete -f nest
	[ -z "$(groups nest)" ]
}

@test "host's layout: groups inside the container's go with it" { layout host; nested; }
@test "v2 alone: groups inside the container's go with it" { layout v2; nested; }
@test "v1 alone: groups inside the container's go with it" { layout v1; nested; }

@test "v2 alone: exec gets into a container whose init has made groups and handed controllers down" {
	layout v2
	has hugetlb || has pids || skip "no controller to hand down in this layout"
	lstart sub "$(sh_args 'exec sleep 1000')"
	at=$(groups sub)
	"$L" mkdir "$at/init"
	for pid in $(loci ps -f json sub | jq '.[]'); do "$L" sh -c "echo $pid >$at/init/cgroup.procs"; done
	"$L" sh -c "sed 's/\\(^\\| \\)/\\1+/g' $at/cgroup.controllers >$at/cgroup.subtree_control"
	[ -n "$("$L" cat "$at/cgroup.subtree_control")" ]
	run loci exec sub cat /proc/self/cgroup
	echo "$output"
	[ "$status" -eq 0 ]
	loci delete -f sub
	[ -z "$(groups sub)" ]
}

# --- limits, where the layout has the controller; where not, each is refused by its name in the specification

pids_limit() {
	has pids || skip "no pids controller in this layout"
	lrun pids "$(sh_args 'for i in 1 2 3 4 5 6 7 8; do sleep 0.3 & done; wait') | .linux.resources.pids = {limit: 4}"
	echo "$output"
	[[ "$output" == *"can't fork"* ]]
	lrun pids "$(sh_args 'for i in 1 2 3 4 5 6 7 8; do sleep 0.1 & done; wait; echo all') | .linux.resources.pids = {limit: 40}"
	[ "$output" = all ]
}

@test "host's layout: the limit of processes holds" { layout host; pids_limit; }
@test "v2 alone: the limit of processes holds" { layout v2; pids_limit; }
@test "v1 alone: the limit of processes holds" { layout v1; pids_limit; }

memory_limit() {
	has memory || skip "no memory controller in this layout"
	lrun mem "$(sh_args 'dd if=/dev/zero of=/dev/null bs=200M count=1') | .linux.resources.memory = {limit: 67108864, swap: 67108864}"
	echo "$output"
	[ "$status" -ne 0 ]
	lrun mem "$(sh_args 'dd if=/dev/zero of=/dev/null bs=20M count=1 && echo fits') |
		.linux.resources.memory = {limit: 67108864, swap: 67108864}"
	[[ "$output" == *fits* ]]
}

@test "host's layout: the limit of memory holds" { layout host; memory_limit; }
@test "v2 alone: the limit of memory holds" { layout v2; memory_limit; }
@test "v1 alone: the limit of memory holds" { layout v1; memory_limit; }

refused_by_name() {
	local controller filter field n=0
	while IFS='|' read -r controller filter field; do
		if has "$controller"; then continue; fi
		lrun refused ".linux.resources$filter"
		echo "$filter -> $output"
		[ "$status" -ne 0 ]
		[[ "$output" == *"linux.resources.$field: "*"'$controller'"* ]]
		[ "${#lines[@]}" -eq 1 ]
		[ -z "$(groups refused)" ]
		[ -z "$(loci list -q)" ]
		n=$((n + 1))
	done <<-'EOF2'
	memory|.memory = {limit: 1000000000}|memory.limit
	memory|.memory = {reservation: 1000000000}|memory.reservation
	cpu|.cpu = {shares: 100}|cpu.shares
	cpu|.cpu = {quota: 20000}|cpu.quota
	cpuset|.cpu = {cpus: "0"}|cpu.cpus
	pids|.pids = {limit: 10}|pids.limit
	EOF2
	[ $n -gt 0 ] || skip "this layout has every controller"
}

@test "v2 alone: a limit whose controller is not there is refused by name" { layout v2; refused_by_name; }

@test "v1 alone: unified is refused by name" {
	layout v1
	lrun unified '.linux.resources.unified = {"memory.max": "1000000000"}'
	[ "$status" -ne 0 ]
	[[ "$output" == *linux.resources.unified* ]]
}

@test "v2 alone: unified sets a file of a controller that is there" {
	layout v2
	has hugetlb || skip "no hugetlb controller in this layout"
	[ -e /sys/kernel/mm/hugepages/hugepages-2048kB ] || skip "no huge pages of 2 MB"
	lstart uni "$(sh_args 'sleep 1000') | .linux.resources.unified = {\"hugetlb.2MB.max\": \"4194304\"}"
	[ "$("$L" cat "$(groups uni)/hugetlb.2MB.max")" = 4194304 ]
}

# --- measured: processor time

spin='while :; do :; done'
cpu_filter() { echo ".linux.resources.cpu = ({cpus: \"0\"} + $1)"; }

weights() {
	has cpu && has cpuset || skip "no cpu and cpuset controllers in this layout"
	lstart w1 "$(sh_args "$spin") | $(cpu_filter '{shares: 1024}')"
	lstart w2 "$(sh_args "$spin") | $(cpu_filter '{shares: 2048}')"
	sleep 0.5
	mapfile -t got < <(used 4 "$(loci state w1 | jq .pid)" "$(loci state w2 | jq .pid)")
	share=$((got[0] * 1000 / (got[0] + got[1])))
	echo "# 1024 and 2048 used ${got[*]} ticks: the lighter has $share thousandths" >&3
	[ "$share" -ge 290 ]
	[ "$share" -le 377 ]
}

@test "host's layout: weights of 1024 and 2048 are one third and two thirds of a busy processor" { layout host; weights; }
@test "v2 alone: weights of 1024 and 2048 are one third and two thirds of a busy processor" { layout v2; weights; }
@test "v1 alone: weights of 1024 and 2048 are one third and two thirds of a busy processor" { layout v1; weights; }

quota() {
	has cpu || skip "no cpu controller in this layout"
	lstart q "$(sh_args "$spin") | .linux.resources.cpu = {quota: 20000, period: 100000}"
	ticks=$(used 4 "$(loci state q | jq .pid)")
	echo "# a quota of 20 % used $ticks of 400 ticks" >&3
	[ "$ticks" -ge 48 ]
	[ "$ticks" -le 92 ]
	loci update --cpu-quota 60000 q
	ticks=$(used 3 "$(loci state q | jq .pid)")
	echo "# updated to 60 % it used $ticks of 300 ticks" >&3
	[ "$ticks" -ge 100 ]
	[ "$ticks" -le 200 ]
}

@test "host's layout: a quota of 20 % is 20 %, and one of 60 % after an update" { layout host; quota; }
@test "v2 alone: a quota of 20 % is 20 %, and one of 60 % after an update" { layout v2; quota; }
@test "v1 alone: a quota of 20 % is 20 %, and one of 60 % after an update" { layout v1; quota; }

@test "hull run: --cpu-shares and --cpus are measured too" {
	layout host
	has cpu && has cpuset || skip "no cpu and cpuset controllers"
	make_image spin
	"$HULL" run -d --name s1 --network none --cpuset-cpus 0 --cpu-shares 1024 spin sh -c "$spin"
	"$HULL" run -d --name s2 --network none --cpuset-cpus 0 --cpu-shares 2048 spin sh -c "$spin"
	sleep 0.5
	mapfile -t got < <(used 4 "$("$HULL" inspect -f '{{.State.Pid}}' s1)" "$("$HULL" inspect -f '{{.State.Pid}}' s2)")
	share=$((got[0] * 1000 / (got[0] + got[1])))
	echo "# --cpu-shares 1024 and 2048 used ${got[*]} ticks: the lighter has $share thousandths" >&3
	[ "$share" -ge 290 ]
	[ "$share" -le 377 ]
	"$HULL" rm -f s1 s2
	"$HULL" run -d --name s3 --network none --cpus 0.2 spin sh -c "$spin"
	ticks=$(used 4 "$("$HULL" inspect -f '{{.State.Pid}}' s3)")
	echo "# --cpus 0.2 used $ticks of 400 ticks" >&3
	[ "$ticks" -ge 48 ]
	[ "$ticks" -le 92 ]
}
