# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2154  # what the container expands; bats sets stderr
# Commands on containers: what a user of docker does all day
bats_require_minimum_version 1.5.0
load common

setup_file() {
	need_root
	setup_hull
	make_image busybox:1 -c 'LABEL kind=base' >/dev/null
}

teardown_file() { teardown_hull; }

teardown() {
	local id
	for id in $("$HULL" ps -aq); do "$HULL" rm -f "$id" >/dev/null; done
}

# sleeper NAME [OPTIONS]: a container that runs until it is asked to end
sleeper() {
	local name=$1
	shift
	"$HULL" run -d --name "$name" "$@" busybox:1 sh -c 'trap "exit 7" TERM; echo up; echo err >&2; while :; do sleep 0.1; done'
	wait_for logged "$name" up
}

logged() { "$HULL" logs "$1" 2>&1 | grep -q "$2"; }
state_is() { [ "$("$HULL" inspect -f '{{.State.Status}}' "$1")" = "$2" ]; }

@test "run prints the output and ends with the command's status" {
	run "$HULL" run --rm busybox:1 sh -c 'echo out; exit 3'
	[ "$status" = 3 ]
	[ "$output" = out ]
	run -143 "$HULL" run --rm --init busybox:1 sh -c 'kill -TERM $$; sleep 5'
	run -127 "$HULL" run --rm busybox:1 /no/such/command
	run -126 "$HULL" run --rm busybox:1 /etc/passwd
	[ -z "$("$HULL" ps -aq)" ]
}

@test "run passes standard input, keeps the streams apart and takes the environment" {
	[ "$(echo hello | "$HULL" run --rm -i busybox:1 cat)" = hello ]
	run --separate-stderr "$HULL" run --rm busybox:1 sh -c 'echo out; echo err >&2'
	[ "$output" = out ]
	[ "$stderr" = err ]
	export HULL_E2E=here
	printf 'FROM_FILE=1\n# no\n' >"$BATS_TEST_TMPDIR/env"
	run "$HULL" run --rm -e HULL_E2E -e B=2 --env-file "$BATS_TEST_TMPDIR/env" -w /tmp -u 1000:2000 -h box busybox:1 \
		sh -c 'echo $HULL_E2E $B $FROM_FILE $PWD $(id -u):$(id -g) $(hostname)'
	[ "$output" = "here 2 1 /tmp 1000:2000 box" ]
}

@test "run -d prints an id, ps shows the container, stop ends it by its own handler" {
	local id
	id=$(sleeper one)
	[[ $id =~ ^[0-9a-f]{64}$ ]]
	run "$HULL" ps
	[[ ${lines[0]} =~ ^CONTAINER\ ID\ +IMAGE\ +COMMAND\ +CREATED\ +STATUS\ +PORTS\ +NAMES$ ]]
	[[ ${lines[1]} == "${id:0:12}"*busybox:1*"Up "*one ]]
	[ "$("$HULL" stop one)" = one ]
	[ -z "$("$HULL" ps -q)" ]
	[[ $("$HULL" ps -a --format '{{.Status}}') == "Exited (7) "* ]]
	[ "$("$HULL" wait one)" = 7 ]
	"$HULL" start one
	wait_for state_is one running
	"$HULL" kill -s KILL one
	wait_for state_is one exited
	[ "$("$HULL" inspect -f '{{.State.ExitCode}}' one)" = 137 ]
}

@test "ps filters and formats" {
	sleeper a1 --label tier=web
	"$HULL" create --name b1 --label tier=db busybox:1 true
	[ "$("$HULL" ps --format '{{.Names}}')" = a1 ]
	[ "$("$HULL" ps -a --format '{{.Names}}')" = $'b1\na1' ]
	[ "$("$HULL" ps -a --filter label=tier=db --format '{{.Names}}')" = b1 ]
	[ "$("$HULL" ps -a --filter name=^a1$ --format '{{.Label "tier"}}')" = web ]
	[ "$("$HULL" ps --filter status=created --format '{{.Names}} {{.State}}')" = "b1 created" ]
	[ "$("$HULL" ps -l --format '{{.Names}}')" = b1 ]
	[ "$("$HULL" ps -a --filter ancestor=busybox:1 -q | wc -l)" = 2 ]
	[ "$("$HULL" ps -a --filter since=a1 --format '{{.Names}}')" = b1 ]
	[[ $("$HULL" ps -as --format '{{.Size}}' --filter name=a1) == *"(virtual "* ]]
	"$HULL" ps -a --format json | jq -es 'length == 2'
	run "$HULL" ps --filter colour=red
	[ "$status" = 1 ]
}

@test "logs: streams, tail, timestamps, since, follow" {
	"$HULL" run --name l1 busybox:1 sh -c 'for i in 1 2 3 4; do echo line $i; done; echo bad >&2' >/dev/null 2>&1
	run --separate-stderr "$HULL" logs l1
	[ "${#lines[@]}" = 4 ]
	[ "$stderr" = bad ]
	[ "$("$HULL" logs -n 2 l1 2>&1)" = $'line 4\nbad' ]
	[[ $("$HULL" logs -t -n 1 l1 2>&1) =~ ^20[0-9-]+T[0-9:.]+Z\ bad$ ]]
	[ -z "$("$HULL" logs --until 1h l1 2>&1)" ]
	[ "$("$HULL" logs --since 1h l1 2>&1 | wc -l)" = 5 ]
	run "$HULL" logs --since yesterday l1
	[ "$status" = 1 ]
	"$HULL" run -d --name f1 busybox:1 sh -c 'sleep 0.3; echo late' >/dev/null
	[ "$(timeout 10 "$HULL" logs -f f1)" = late ]
}

@test "exec: output, status, environment, user, what is not there" {
	sleeper x1
	[ "$("$HULL" exec -e A=5 -w /etc -u 1000 x1 sh -c 'echo $A $PWD $(id -u)')" = "5 /etc 1000" ]
	[ "$(echo in | "$HULL" exec -i x1 cat)" = in ]
	run "$HULL" exec x1 sh -c 'exit 4'
	[ "$status" = 4 ]
	run -127 "$HULL" exec x1 /no/such
	run -126 "$HULL" exec x1 /etc/passwd
	run "$HULL" exec nosuch true
	[ "$status" = 1 ]
	"$HULL" exec -d x1 touch /tmp/detached
	wait_for "$HULL" exec x1 test -e /tmp/detached
}

@test "top lists the processes with their host ids" {
	sleeper t1
	run "$HULL" top t1
	[ "$status" = 0 ]
	[[ ${lines[0]} =~ ^UID\ +PID\ +PPID\ +C\ +STIME\ +TTY\ +TIME\ +CMD$ ]]
	[[ ${lines[1]} == root*"$("$HULL" inspect -f '{{.State.Pid}}' t1)"*"sh -c trap"* ]]
	run "$HULL" top t1 -o pid
	[ "$status" = 1 ]
}

@test "stats prints a line for each" {
	sleeper s1
	run "$HULL" stats --no-stream
	[[ ${lines[0]} =~ ^CONTAINER\ ID\ +NAME\ +CPU\ %\ +MEM\ USAGE ]]
	[[ ${lines[1]} =~ \ s1\ +[0-9.]+%\ +[0-9.]+[KM]?i?B\ /\ [0-9.]+ ]]
	[[ $("$HULL" stats --no-stream --format '{{.Name}} {{.PIDs}}' s1) =~ ^s1\ [1-9] ]]
}

@test "pause halts, unpause goes on" {
	sleeper p1
	"$HULL" pause p1
	[[ $("$HULL" ps --format '{{.Status}}') == *"(Paused)" ]]
	run "$HULL" attach p1
	[ "$status" -gt 0 ]
	"$HULL" unpause p1
	state_is p1 running
	run "$HULL" unpause p1
	[ "$status" = 1 ]
}

@test "update changes the limits of a running container" {
	sleeper u1 -m 64m
	"$HULL" update --memory 128m --memory-swap 256m --pids-limit 50 u1
	[ "$("$HULL" inspect -f '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}' u1)" = "134217728 50" ]
	run "$HULL" update --memory 1m u1
	[ "$status" = 1 ]
}

@test "rename takes a free name only" {
	"$HULL" create --name old busybox:1 >/dev/null
	"$HULL" create --name taken busybox:1 >/dev/null
	"$HULL" rename old new
	[ "$("$HULL" ps -a --filter name=^new$ --format '{{.Names}}')" = new ]
	run "$HULL" rename new taken
	[ "$status" = 1 ]
	run "$HULL" create --name new busybox:1
	[ "$status" = 1 ]
}

@test "restart runs it anew" {
	sleeper r1
	local before
	before=$("$HULL" inspect -f '{{.State.Pid}}' r1)
	"$HULL" restart r1
	wait_for state_is r1 running
	[ "$("$HULL" inspect -f '{{.State.Pid}}' r1)" != "$before" ]
}

@test "rm refuses a running container, rm -f does not" {
	sleeper m1
	run "$HULL" rm m1
	[ "$status" = 1 ]
	[ "${#lines[@]}" = 1 ]
	[ "$("$HULL" rm -f m1)" = m1 ]
	[ -z "$("$HULL" ps -aq)" ]
}

@test "inspect has the members that scripts look for" {
	sleeper i1 --label x=y -v "$BATS_TEST_TMPDIR:/mnt:ro"
	"$HULL" inspect i1 | jq -e '.[0] | .Name == "/i1" and .State.Running and .State.Pid > 0 and .Config.Labels.x == "y" and
		.HostConfig.NetworkMode == "none" and .Mounts[0].Destination == "/mnt" and (.Mounts[0].RW | not)'
	"$HULL" inspect -s i1 | jq -e '.[0].SizeRootFs > 0'
	run "$HULL" inspect --type image i1
	[ "$status" = 1 ]
}

@test "cidfile holds the id and is not overwritten" {
	local id
	id=$("$HULL" create --cidfile "$BATS_TEST_TMPDIR/cid" busybox:1)
	[ "$(cat "$BATS_TEST_TMPDIR/cid")" = "$id" ]
	run "$HULL" create --cidfile "$BATS_TEST_TMPDIR/cid" busybox:1
	[ "$status" = 1 ]
	[ "$("$HULL" ps -aq | wc -l)" = 1 ]
}

@test "cp: files and directories, both ways, as docker places them" {
	local d=$BATS_TEST_TMPDIR
	sleeper c1
	mkdir -p "$d/dir/sub"
	echo one >"$d/file"
	echo two >"$d/dir/sub/two"
	"$HULL" cp "$d/file" c1:/tmp			# into a directory that is there
	"$HULL" cp "$d/file" c1:/tmp/named		# under a name that is not
	"$HULL" cp "$d/dir" c1:/tmp			# a directory into one that is there
	"$HULL" cp "$d/dir" c1:/tmp/fresh		# becomes one that is not
	"$HULL" cp "$d/dir/." c1:/root			# only what is in it
	run "$HULL" exec c1 cat /tmp/file /tmp/named /tmp/dir/sub/two /tmp/fresh/sub/two /root/sub/two
	[ "$output" = $'one\none\ntwo\ntwo\ntwo' ]
	"$HULL" cp c1:/tmp/dir "$d/back"
	[ "$(cat "$d/back/sub/two")" = two ]
	"$HULL" cp c1:/tmp/named "$d/back"
	[ "$(cat "$d/back/named")" = one ]
	(cd "$d" && "$HULL" cp c1:/tmp/named ./relative && [ "$(cat relative)" = one ])
	"$HULL" cp c1:/tmp/named - | tar -xO named | grep -qx one
	tar -C "$d" -c file | "$HULL" cp - c1:/root
	[ "$("$HULL" exec c1 cat /root/file)" = one ]
	"$HULL" stop c1
	"$HULL" cp "$d/file" c1:/tmp/stopped
	"$HULL" cp c1:/tmp/stopped "$d/stopped"
	[ "$(cat "$d/stopped")" = one ]
}

@test "cp refuses what cannot be, in one line" {
	local args d=$BATS_TEST_TMPDIR
	sleeper c1
	mkdir "$d/dir"
	echo x >"$d/file"
	for args in "$d/file $d/other" "c1:/nosuch $d/x" "$d/nosuch c1:/tmp" "$d/file c1:/no/such/dir" "$d/file c1:/tmp/none/" \
		"$d/dir c1:/etc/passwd" "nosuch:/x $d/x" "$d/file/ c1:/tmp" "c1: $d/x"; do
		# shellcheck disable=SC2086
		run "$HULL" cp $args
		[ "$status" = 1 ] && [ "${#lines[@]}" = 1 ] || { echo "$args: $status $output"; return 1; }
	done
	run "$HULL" cp - c1:/etc/passwd </dev/null
	[ "$status" = 1 ]
}

@test "cp: symlinks stay inside of the container" {
	local d=$BATS_TEST_TMPDIR
	mkdir -p "$d/outside"
	echo secret >"$d/outside/secret"
	sleeper c1
	"$HULL" exec c1 ln -s "$d/outside" /tmp/out
	"$HULL" exec c1 ln -s "$d/outside/secret" /tmp/leak
	"$HULL" exec c1 ln -s ../../../../../../../../etc/hostname /tmp/up
	"$HULL" exec c1 ln -s /etc/passwd /tmp/passwd
	echo evil >"$d/evil"
	run "$HULL" cp "$d/evil" c1:/tmp/out/secret
	[ "$(cat "$d/outside/secret")" = secret ]
	run "$HULL" cp -L c1:/tmp/leak "$d/leaked"
	[ ! -e "$d/leaked" ] || ! grep -q secret "$d/leaked"
	"$HULL" cp c1:/tmp/passwd "$d/link"
	[ -L "$d/link" ]
	"$HULL" cp -L c1:/tmp/passwd "$d/copy"
	grep -q '^user:x:1000' "$d/copy"
	[ ! -L "$d/copy" ]
}

@test "cp -a keeps owners, plain cp does not" {
	local d=$BATS_TEST_TMPDIR
	echo x >"$d/owned"
	chown 1234:2345 "$d/owned"
	sleeper c1
	"$HULL" cp -a "$d/owned" c1:/tmp/kept
	"$HULL" cp "$d/owned" c1:/tmp/plain
	[ "$("$HULL" exec c1 stat -c %u:%g /tmp/kept)" = 1234:2345 ]
	[ "$("$HULL" exec c1 stat -c %u:%g /tmp/plain)" = 0:0 ]
}

@test "diff, commit and export show what was changed" {
	"$HULL" run --name d1 busybox:1 sh -c 'echo new >/root/new; rm /etc/group; chmod 700 /tmp'
	run "$HULL" diff d1
	[[ $output == *"A /root/new"* ]]
	[[ $output == *"D /etc/group"* ]]
	[[ $output == *"C /tmp"* ]]
	"$HULL" commit -m 'a change' -c 'CMD ["cat", "/root/new"]' d1 changed:1 | grep -q '^sha256:'
	[ "$("$HULL" run --rm changed:1)" = new ]
	run "$HULL" run --rm changed:1 test -e /etc/group
	[ "$status" = 1 ]
	[ "$("$HULL" history --format '{{.Comment}}' changed:1 | head -1)" = "a change" ]
	"$HULL" export d1 | tar -xO ./root/new root/new 2>/dev/null | grep -qx new
	"$HULL" rm d1
	"$HULL" rmi changed:1
}

@test "an image in use is not removed" {
	"$HULL" tag busybox:1 used:1
	"$HULL" create --name k1 busybox:1
	run "$HULL" rmi "$("$HULL" images -q used:1)"
	[ "$status" = 1 ]
	"$HULL" rmi used:1
}

@test "events tell the life of a container" {
	local since
	since=$(date +%s)
	"$HULL" run --rm --name ev busybox:1 true
	run "$HULL" events --since "$since" --until 0s --filter container=ev --format '{{.Action}}'
	[ "$status" = 0 ]
	[[ $(tr '\n' ' ' <<<"$output") == *create*start*die*destroy* ]]
	"$HULL" events --since "$since" --until 0s --format json | jq -es 'length > 0'
}

@test "start -a attaches and ends with the status; attach joins" {
	"$HULL" create --name sa busybox:1 sh -c 'echo again; exit 9' >/dev/null
	run "$HULL" start -a sa
	[ "$status" = 9 ]
	[ "$output" = again ]
	run "$HULL" attach sa
	[ "$status" -gt 0 ]
	[[ $output == *"not running"* ]]
}

@test "create, then start and wait; --rm removes a detached one" {
	"$HULL" create --name cw busybox:1 sh -c 'exit 5' >/dev/null
	[ "$("$HULL" start cw)" = cw ]
	[ "$("$HULL" wait cw)" = 5 ]
	"$HULL" run -d --rm --name gone busybox:1 sleep 0.1 >/dev/null
	removed() { ! "$HULL" inspect gone >/dev/null 2>&1; }
	wait_for removed
}

@test "system df counts, system prune removes what does not run" {
	sleeper alive
	"$HULL" run --name dead busybox:1 sh -c 'head -c 1000000 /dev/zero >/root/big'
	"$HULL" system df --format '{{.Type}} {{.TotalCount}} {{.Active}}' | grep -qx 'Containers 2 1'
	"$HULL" system df -v | grep -q dead
	"$HULL" system prune -f | grep -q 'Total reclaimed space'
	[ "$("$HULL" ps -a --format '{{.Names}}')" = alive ]
	[ "$("$HULL" images -q busybox:1 | wc -l)" = 1 ]
	"$HULL" run -d --name dead2 busybox:1 true >/dev/null
	"$HULL" wait dead2 >/dev/null
	"$HULL" container prune -f
	[ "$("$HULL" ps -a --format '{{.Names}}')" = alive ]
}

@test "named volumes last, anonymous ones go with rm -v" {
	"$HULL" run --rm -v keep:/data busybox:1 sh -c 'echo kept >/data/f'
	[ "$("$HULL" run --rm -v keep:/data busybox:1 cat /data/f)" = kept ]
	"$HULL" create --name v1 -v keep:/data -v /anon busybox:1
	run "$HULL" volume rm keep
	[ "$status" = 1 ]
	[[ $output == *"in use"* ]]
	[ "$("$HULL" volume ls -q | wc -l)" = 2 ]
	"$HULL" rm -v v1
	[ "$("$HULL" volume ls -q)" = keep ]
	"$HULL" volume rm keep
}
