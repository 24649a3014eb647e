#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# hull oci: the OCI runtime by its command line, on real bundles

load common

setup_file() { need_root; setup_hull; }
teardown_file() { teardown_hull; }
teardown() {
	for id in $(oci list -q); do oci delete -f "$id" 2>/dev/null || true; done
}

status_of() { oci state "$1" | jq -r .status; }

# --- life cycle

@test "run passes output and exit code through and leaves nothing" {
	run_bundle r1 "$(sh_args 'echo out; echo err >&2; exit 7')"
	[ "$status" -eq 7 ]
	[[ "$output" == *out* && "$output" == *err* ]]
	run oci state r1
	[ "$status" -eq 1 ]
	[[ "$output" == *"container 'r1' does not exist"* ]]
	[ -z "$(find /sys/fs/cgroup -name r1 2>/dev/null)" ]
}

@test "a signal that ends the process becomes 128 + n" {
	run_bundle r2 "$(sh_args 'kill -9 $$')"
	# a process 1 ignores its own fatal signals: it ends by itself
	run_bundle r3 "$(sh_args 'sh -c "kill -9 \$\$"; exit $?')"
	[ "$status" -eq 137 ]
}

@test "create waits, start runs, kill ends, delete removes" {
	make_bundle "$BATS_TEST_TMPDIR/c" "$(sh_args 'echo started >/tmp/x; sleep 1000')"
	oci create --bundle "$BATS_TEST_TMPDIR/c" --pid-file "$BATS_TEST_TMPDIR/pid" c1 </dev/null >/dev/null 2>&1
	[ "$(status_of c1)" = created ]
	[ "$(cat "$BATS_TEST_TMPDIR/pid")" = "$(oci state c1 | jq .pid)" ]
	oci start c1
	[ "$(status_of c1)" = running ]
	run oci start c1
	[ "$status" -ne 0 ]
	run oci delete c1
	[ "$status" -ne 0 ]
	[[ "$output" == *"not stopped"* ]]
	oci kill c1 KILL
	wait_for eval '[ "$(status_of c1)" = stopped ]'
	run oci kill c1 TERM
	[ "$status" -ne 0 ]
	[[ "$output" == *"container not running"* ]]
	oci delete c1
	run oci delete c1
	[ "$status" -ne 0 ]
}

@test "an id is taken once, and checked" {
	start_bundle dup "$(sh_args 'sleep 1000')"
	run oci run --bundle "$BATS_TEST_TMPDIR/dup" dup
	[ "$status" -ne 0 ]
	[[ "$output" == *"already exists"* ]]
	[ "$(status_of dup)" = running ]
	for id in ../x a/b . .. 'a b' ''; do
		run oci run --bundle "$BATS_TEST_TMPDIR/dup" "$id"
		[ "$status" -ne 0 ]
		[[ "$output" == *"container id"* ]]
	done
}

@test "a program that is not there fails at create, in the words engines look for" {
	make_bundle "$BATS_TEST_TMPDIR/n" '.process.args = ["nope"]'
	run oci create --bundle "$BATS_TEST_TMPDIR/n" n1
	[ "$status" -ne 0 ]
	[[ "$output" == *'exec: "nope": executable file not found in $PATH'* ]]
	make_bundle "$BATS_TEST_TMPDIR/n" '.process.args = ["/etc/passwd"]'
	run oci run --bundle "$BATS_TEST_TMPDIR/n" n1
	[[ "$output" == *'exec: "/etc/passwd": permission denied'* ]]
	[ -z "$(oci list -q)" ]
}

@test "exec joins, and has its own exit code, user, environment and directory" {
	start_bundle e1 "$(sh_args 'sleep 1000')"
	run oci exec e1 sh -c 'exit 9'
	[ "$status" -eq 9 ]
	run oci exec --user 1000:2000 --cwd /tmp --env A=b e1 sh -c 'id -u; id -g; pwd; echo $A'
	[ "$output" = $'1000\n2000\n/tmp\nb' ]
	run oci exec e1 ps
	[[ "$output" == *"sleep 1000"* ]]
	run oci exec --user nobody e1 true
	[ "$status" -ne 0 ]
}

@test "pause freezes, resume thaws, exec refuses in between" {
	start_bundle p1 "$(sh_args 'while :; do date +%s%N >/tmp/tick; usleep 1000; done') | .root.readonly = false"
	oci pause p1
	[ "$(status_of p1)" = paused ]
	run oci exec p1 true
	[ "$status" -ne 0 ]
	[[ "$output" == *paused* ]]
	before=$(cat "$HULL_TMP/rootfs/tmp/tick")
	sleep 0.2
	[ "$before" = "$(cat "$HULL_TMP/rootfs/tmp/tick")" ]
	oci resume p1
	[ "$(status_of p1)" = running ]
	wait_for eval '[ "$before" != "$(cat "$HULL_TMP/rootfs/tmp/tick")" ]'
}

@test "update changes a live limit; events --stats shows it" {
	start_bundle u1 "$(sh_args 'sleep 1000') | .linux.resources.pids.limit = 100"
	[ "$(oci events --stats u1 | jq .data.pids.limit)" -eq 100 ]
	oci update --pids-limit 17 u1
	[ "$(oci events --stats u1 | jq .data.pids.limit)" -eq 17 ]
	echo '{"pids": {"limit": 23}}' | oci update -r - u1
	[ "$(oci events --stats u1 | jq .data.pids.limit)" -eq 23 ]
}

@test "list and ps tell what runs" {
	start_bundle l1 "$(sh_args 'sleep 1000')"
	[ "$(oci list -q)" = l1 ]
	[ "$(oci list -f json | jq -r '.[0].status')" = running ]
	[ "$(oci ps -f json l1 | jq length)" -ge 1 ]
	run oci ps l1
	[[ "$output" == *"sleep 1000"* ]]
}

@test "a terminal is made, and its size is the one asked for" {
	run_bundle t1 "$(sh_args 'tty; stty size; test -c /dev/console && echo console') | .process.terminal = true |
		.process.consoleSize = {height: 33, width: 77}"
	[ "$status" -eq 0 ]
	[[ "$output" == *"/dev/pts/0"* && "$output" == *console* ]]
	[[ "$output" == *"33 77"* ]]
}

@test "the same runtime answers to the name hull-oci" {
	ln -sf "$HULL" "$BATS_TEST_TMPDIR/hull-oci"
	make_bundle "$BATS_TEST_TMPDIR/b" "$(sh_args 'echo by-link')"
	run "$BATS_TEST_TMPDIR/hull-oci" --root "$OCI_ROOT" run --bundle "$BATS_TEST_TMPDIR/b" link1
	[ "$output" = by-link ]
	run "$BATS_TEST_TMPDIR/hull-oci" --version
	[[ "$output" == *"spec: 1.3.0"* ]]
}

# --- the specification, member by member

@test "process: user, groups, umask, working directory, limits, no_new_privs" {
	run_bundle s1 "$(sh_args 'id; umask; pwd; ulimit -n; grep NoNewPrivs /proc/self/status') |
		.process.user = {uid: 1000, gid: 1000, umask: 63, additionalGids: [2000, 3000]} | .process.cwd = \"/tmp\" |
		.process.rlimits = [{type: \"RLIMIT_NOFILE\", soft: 77, hard: 88}]"
	[[ "$output" == *"uid=1000(user) gid=1000(user) groups=1000(user),2000(extra),3000"* ]] ||
		[[ "$output" == *"uid=1000(user) gid=1000(user) groups=2000(extra),3000"* ]]
	[[ "$output" == *0077* && "$output" == */tmp* && "$output" == *77* && "$output" == *$'NoNewPrivs:\t1'* ]]
}

@test "namespaces: each new one differs from the host's, each shared one is the host's" {
	run_bundle ns1 "$(sh_args 'for n in pid net mnt ipc uts cgroup time; do readlink /proc/self/ns/$n; done') |
		.linux.namespaces = [\"pid\", \"network\", \"mount\", \"ipc\", \"uts\", \"cgroup\", \"time\" | {type: .}] |
		.linux.timeOffsets = {boottime: {secs: 86400, nanosecs: 0}}"
	[ "$status" -eq 0 ]
	for n in pid net mnt ipc uts cgroup time; do
		[[ "$output" != *"$(readlink /proc/self/ns/$n)"* ]] || { echo "shared: $n"; return 1; }
	done
	run_bundle ns2 "$(sh_args 'for n in net ipc uts; do readlink /proc/self/ns/$n; done') | del(.hostname) |
		.linux.namespaces = [\"pid\", \"mount\" | {type: .}]"
	for n in net ipc uts; do
		[[ "$output" == *"$(readlink /proc/self/ns/$n)"* ]] || { echo "not shared: $n"; return 1; }
	done
}

@test "namespaces: a time namespace has its offset" {
	host=$(cut -d. -f1 /proc/uptime)
	run_bundle tm "$(sh_args 'cut -d. -f1 /proc/uptime') | .linux.namespaces += [{type: \"time\"}] |
		.linux.timeOffsets = {boottime: {secs: 86400}, monotonic: {secs: 86400}}"
	[ "$status" -eq 0 ]
	[ "$output" -ge $((host + 86400)) ]
	[ "$output" -le $((host + 86410)) ]
}

@test "namespaces: one given by path is joined" {
	start_bundle a "$(sh_args 'sleep 1000')"
	pid=$(oci state a | jq .pid)
	run_bundle b "$(sh_args 'readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; ps') |
		.linux.namespaces |= map(if .type == \"network\" then .path = \"/proc/$pid/ns/net\"
		elif .type == \"ipc\" then .path = \"/proc/$pid/ns/ipc\" elif .type == \"pid\" then .path = \"/proc/$pid/ns/pid\" else . end)"
	[ "$status" -eq 0 ]
	[[ "$output" == *"$(readlink "/proc/$pid/ns/net")"* && "$output" == *"$(readlink "/proc/$pid/ns/ipc")"* ]]
	[[ "$output" == *"sleep 1000"* ]]
}

@test "user namespace: ids are mapped, and files made inside belong to the mapped ids" {
	mkdir -p "$HULL_TMP/vol" "$HULL_TMP/rootfs/vol"
	chmod 777 "$HULL_TMP" "$HULL_TMP/vol"
	run_bundle us "$(sh_args 'id -u; cat /proc/self/uid_map; touch /vol/f') | .linux.namespaces += [{type: \"user\"}] |
		.linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] |
		.linux.gidMappings = [{containerID: 0, hostID: 100000, size: 65536}] |
		.mounts += [{destination: \"/vol\", source: \"$HULL_TMP/vol\", type: \"bind\", options: [\"bind\"]}]"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(stat -c %u:%g "$HULL_TMP/vol/f")" = 100000:100000 ]
}

@test "mounts: options hold, also the recursive ones and id maps" {
	mkdir -p "$BATS_TEST_TMPDIR/v"
	touch "$BATS_TEST_TMPDIR/v/y"
	run_bundle m1 "$(sh_args 'mount | grep " /m"; touch /mro/x; stat -c "owner %u" /mid/y') |
		.mounts += [
		{destination: \"/mtmp\", type: \"tmpfs\", source: \"tmpfs\", options: [\"nosuid\", \"noexec\", \"nodev\", \"size=1m\", \"mode=700\"]},
		{destination: \"/mro\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/v\", options: [\"rbind\", \"rro\"]},
		{destination: \"/mid\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/v\", options: [\"bind\", \"idmap\"],
		uidMappings: [{containerID: 0, hostID: 5000, size: 1}], gidMappings: [{containerID: 0, hostID: 5000, size: 1}]}]"
	echo "$output"
	[[ "$output" == *"/mtmp type tmpfs (rw,nosuid,nodev,noexec"*"size=1024k"* ]]
	[[ "$output" == *"/mro: Read-only file system"* || "$output" == *"/mro/x: Read-only file system"* ]]
	[[ "$output" == *"owner 5000"* ]]
}

@test "mounts: tmpcopyup starts with what was there" {
	mkdir -p "$HULL_TMP/rootfs/copied"
	echo inside >"$HULL_TMP/rootfs/copied/file"
	run_bundle m2 "$(sh_args 'cat /copied/file; echo new >/copied/file; cat /copied/file') |
		.mounts += [{destination: \"/copied\", type: \"tmpfs\", source: \"tmpfs\", options: [\"tmpcopyup\"]}]"
	[ "$output" = $'inside\nnew' ]
	[ "$(cat "$HULL_TMP/rootfs/copied/file")" = inside ]
}

@test "masked and read-only paths" {
	run_bundle k1 "$(sh_args 'cat /proc/keys | wc -c; ls /sys/firmware | wc -l; echo 1 >/proc/sys/kernel/panic')"
	[[ "$output" == 0*0*"Read-only file system"* ]]
}

@test "hostname, domainname, sysctl, personality, oomScoreAdj" {
	run_bundle h1 "$(sh_args 'hostname; cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_default_ttl /proc/self/oom_score_adj
		cat /proc/self/personality') |
		.hostname = \"myhost\" | .domainname = \"mydomain\" | .linux.sysctl = {\"net.ipv4.ip_default_ttl\": \"33\"} |
		.process.oomScoreAdj = 500 | .linux.personality = {domain: \"LINUX32\"}"
	[ "$output" = $'myhost\nmydomain\n33\n500\n00000008' ]
}

@test "a sysctl of the whole host is refused by name" {
	run_bundle y1 '.linux.sysctl = {"kernel.panic": "1"}'
	[ "$status" -ne 0 ]
	[[ "$output" == *linux.sysctl*kernel.panic* ]]
}

@test "scheduler, I/O priority and memory policy reach the process" {
	run_bundle q1 "$(sh_args 'awk "{print \$19, \$41}" /proc/self/stat; grep -c prefer /proc/self/numa_maps') |
		.process.scheduler = {policy: \"SCHED_BATCH\", nice: 5} |
		.process.ioPriority = {class: \"IOPRIO_CLASS_IDLE\", priority: 0} |
		.linux.memoryPolicy = {mode: \"MPOL_PREFERRED\", nodes: \"0\"}"
	[ "$status" -eq 0 ]
	[ "$(head -1 <<<"$output")" = "5 3" ]
	[ "$(tail -1 <<<"$output")" -gt 0 ]
}

@test "hooks run at their points with the state on standard input" {
	hook() { echo "{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"jq -r --arg k $1 '\$k + \\\" \\\" + .status' >>$BATS_TEST_TMPDIR/log\"], env: [\"PATH=/usr/bin:/bin\"]}"; }
	run_bundle hk "$(sh_args true) | .hooks = {prestart: [$(hook prestart)], createRuntime: [$(hook createRuntime)],
		poststart: [$(hook poststart)], poststop: [$(hook poststop)]}"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(cat "$BATS_TEST_TMPDIR/log")" = $'prestart creating\ncreateRuntime creating\npoststart running\npoststop stopped' ]
}

@test "a hook that fails stops creation, and one that hangs is killed at its timeout" {
	run_bundle hf '.hooks = {createRuntime: [{path: "/bin/false"}]}'
	[ "$status" -ne 0 ]
	[[ "$output" == *"hooks.createRuntime[0] '/bin/false': exit code 1"* ]]
	start=$SECONDS
	run_bundle ht '.hooks = {prestart: [{path: "/bin/sleep", args: ["sleep", "60"], timeout: 1}]}'
	[[ "$output" == *"hooks.prestart[0]"*"killed"* ]]
	[ $((SECONDS - start)) -lt 20 ]
	[ -z "$(oci list -q)" ]
}

@test "seccomp: errno, conditions on arguments, several architectures" {
	run_bundle sc "$(sh_args 'mkdir /tmp/d; chmod 755 /tmp && echo allowed; chmod 0 /tmp') |
		.root.readonly = false | .linux.seccomp = {defaultAction: \"SCMP_ACT_ALLOW\",
		architectures: [\"SCMP_ARCH_X86_64\", \"SCMP_ARCH_X86\"], syscalls: [
		{names: [\"mkdir\", \"mkdirat\"], action: \"SCMP_ACT_ERRNO\", errnoRet: 28},
		{names: [\"chmod\", \"fchmodat\"], action: \"SCMP_ACT_ERRNO\", args: [{index: 1, value: 0, op: \"SCMP_CMP_EQ\"}]}]}"
	echo "$output"
	[[ "$output" == *"No space left"* ]]
}

@test "devices: one that is listed is there, one that is not is refused by the cgroup" {
	run_bundle dv "$(sh_args 'stat -c %t:%T:%a /dev/mine; mknod /tmp/k b 7 0 && dd if=/tmp/k of=/dev/null count=1') |
		.root.readonly = false | .linux.devices = [{path: \"/dev/mine\", type: \"c\", major: 1, minor: 5, fileMode: 384}] |
		.process.capabilities.bounding += [\"CAP_MKNOD\"] | .process.capabilities.effective += [\"CAP_MKNOD\"] |
		.process.capabilities.permitted += [\"CAP_MKNOD\"]"
	rm -f "$HULL_TMP/rootfs/tmp/k"
	echo "$output"
	[[ "$output" == *1:5:600* ]]
	[[ "$output" == *"not permitted"* ]]
}

@test "network devices are moved in with their address and back name" {
	need ip
	ip netns add hull-e2e-$$ || skip "no network namespaces"
	ip -n hull-e2e-$$ link add he$$ type veth peer name hp$$
	ip -n hull-e2e-$$ addr add 192.0.2.7/24 dev he$$
	make_bundle "$BATS_TEST_TMPDIR/nd" "$(sh_args 'ip addr show inside0') | .linux.netDevices = {\"he$$\": {name: \"inside0\"}}"
	run nsenter --net=/run/netns/hull-e2e-$$ "$HULL" oci --root "$OCI_ROOT" run --bundle "$BATS_TEST_TMPDIR/nd" nd
	ip netns del hull-e2e-$$
	echo "$output"
	[ "$status" -eq 0 ]
	[[ "$output" == *"192.0.2.7/24"* && "$output" == *UP* ]]
}

# --- bad input: one line, what, where, why

@test "bad configurations are refused with the member's path, and nothing is left" {
	while IFS='|' read -r filter want; do
		make_bundle "$BATS_TEST_TMPDIR/bad" "$filter"
		run oci run --bundle "$BATS_TEST_TMPDIR/bad" bad
		echo "$filter -> $output"
		[ "$status" -ne 0 ]
		[[ "$output" == *"$want"* ]]
		[ "${#lines[@]}" -eq 1 ]
	done <<-'EOF'
	.process.user.uid = "zero"|process.user.uid
	.process.args = []|process.args
	.process.cwd = "tmp"|process.cwd
	.mounts[0].destination = 7|mounts[0].destination
	.ociVersion = "9.9.9"|ociVersion
	.linux.namespaces += [{"type": "nonsense"}]|linux.namespaces
	.process.rlimits = [{"type": "RLIMIT_NOPE", "soft": 1, "hard": 1}]|process.rlimits[0].type
	.linux.seccomp = {"defaultAction": "SCMP_ACT_NOPE"}|linux.seccomp.defaultAction
	.hooks = {"prestart": [{"path": "relative"}]}|hooks.prestart[0].path
	.root.path = "/nonexistent"|root.path
	EOF
	[ -z "$(oci list -q)" ]
}

@test "a truncated config.json names line and column" {
	make_bundle "$BATS_TEST_TMPDIR/tr"
	head -c 100 "$BATS_TEST_TMPDIR/tr/config.json" >"$BATS_TEST_TMPDIR/tr/x" && mv "$BATS_TEST_TMPDIR/tr/x" "$BATS_TEST_TMPDIR/tr/config.json"
	run oci run --bundle "$BATS_TEST_TMPDIR/tr" tr
	[ "$status" -ne 0 ]
	[[ "$output" == *line*column* ]]
}

@test "features is valid JSON and names what the parser takes" {
	oci features | jq -e '.ociVersionMax == "1.3.0" and (.linux.namespaces | index("time")) and (.hooks | length == 6)'
}
