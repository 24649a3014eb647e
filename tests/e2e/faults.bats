#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2086,SC2154  # what the container expands; a test is a subshell; verbs with options
# Faults: killed commands, a full disk, files that are gone or damaged, many commands at once
bats_require_minimum_version 1.5.0
load common

setup_file() {
	need_root
	setup_hull
	make_image busybox:1 >/dev/null
}

teardown_file() { teardown_hull; }

teardown() {
	local id
	for id in $("$HULL" ps -aq); do "$HULL" rm -f "$id" >/dev/null; done
}

# sleeper NAME [OPTIONS]: a container that runs until it is killed
sleeper() {
	local name=$1
	shift
	"$HULL" run -d --name "$name" "$@" busybox:1 sh -c ": $HULL_TMP; while :; do sleep 0.1; done"
}

dir_of() { echo "$HULL_ROOT/instances/$("$HULL" inspect -f '{{.Id}}' "$1")"; }

# fails STATUS WORDS COMMAND...: hull refuses with one line that has these words
fails() {
	local want=$1 words=$2
	shift 2
	run timeout 20 "$HULL" "$@"
	[ "$status" = "$want" ] || { echo "status $status, want $want: $output"; return 1; }
	[ "${#lines[@]}" = 1 ] || { echo "not one line: $output"; return 1; }
	[[ "$output" == *$words* ]] || { echo "no '$words' in: $output"; return 1; }
}

# works: what is there can be told, images run
works() {
	"$HULL" ps -a >/dev/null
	"$HULL" images >/dev/null
	[ "$("$HULL" run --rm busybox:1 echo works)" = works ]
}

@test "commands, shims and containers killed at random instants lose nothing and leave nothing" {
	need python3
	local dir=$HULL_TMP/kill
	mkdir -p "$dir/ctx"
	export HULL_ROOT=$dir/root HULL_RUN_ROOT=$dir/run OCI_ROOT=$dir/oci
	make_image busybox:1
	printf 'FROM busybox:1\nARG N\nRUN echo $N >/n; usleep 5000\nCOPY f /f\nRUN true\n' >"$dir/ctx/Dockerfile"
	echo f >"$dir/ctx/f"
	"$HULL" save -o "$dir/saved.tar" busybox:1
	tar -C "$HULL_TMP/rootfs" -cf "$dir/rootfs.tar" .
	make_bundle "$BATS_TEST_TMPDIR/b" "$(sh_args 'exec sleep 1000')"
	cp "$BATS_TEST_TMPDIR/b/config.json" "$dir/config.json"
	run python3 "$BATS_TEST_DIRNAME/faults_kill.py" "$HULL" "$dir/ctx" "$dir/rootfs.tar" "$dir/saved.tar"
	echo "$output"
	[ "$status" = 0 ]
}

# on_small_disk SCRIPT: run it with HULL_ROOT on 12 MB of its own, in a mount namespace of its own
on_small_disk() {
	local dir=$HULL_TMP/small
	mkdir -p "$dir/root"
	run env HULL_ROOT="$dir/root" HULL_RUN_ROOT="$dir/run" HULL="$HULL" DIR="$dir" ROOTFS="$HULL_TMP/rootfs" \
		unshare -m --propagation private bash -euc '
		mount -t tmpfs -o size=12m small "$HULL_ROOT"
		trap "for id in \$(\"\$HULL\" ps -aq); do \"\$HULL\" rm -f \$id >/dev/null; done" EXIT
		[ -e "$DIR/rootfs.tar" ] || tar -C "$ROOTFS" -cf "$DIR/rootfs.tar" .
		"$HULL" import -c "CMD [\"sh\"]" "$DIR/rootfs.tar" busybox:1 >/dev/null
		full() { # full STATUS COMMAND...: one line that says which disk is full
			local want=$1 text status=0
			shift
			text=$(timeout 20 "$HULL" "$@" 2>&1 >/dev/null) || status=$?
			[ "$status" = "$want" ] && [ "$(wc -l <<<"$text")" = 1 ] && [[ $text == *"$HULL_ROOT"* ]] &&
				[[ $text == *[Nn]"o space left"* || $text == *"is full"* ]] ||
				{ echo "hull $*: status $status, want $want: $text"; exit 1; }
		}
		fill() { head -c 20000000 /dev/zero >"$HULL_ROOT/filler" 2>/dev/null || true; }
		'"$1"
	echo "$output"
	[ "$status" = 0 ]
}

@test "full disk: what does not fit is refused in one line and leaves nothing; what was there works" {
	on_small_disk '
		mkdir "$DIR/big"
		head -c 20000000 /dev/urandom >"$DIR/big/blob"
		printf "FROM busybox:1\nCOPY blob /\n" >"$DIR/big/Dockerfile"
		tar -C "$DIR/big" -cf "$DIR/big.tar" .
		before=$(du -s "$HULL_ROOT"/{layers,blobs,tmp} | cut -f1)
		full 1 import "$DIR/big.tar" big:1
		full 1 build -q -t big:1 "$DIR/big"
		[ "$before" = "$(du -s "$HULL_ROOT"/{layers,blobs,tmp} | cut -f1)" ]
		[ "$("$HULL" images --format "{{.Repository}}")" = busybox ]
		[ "$("$HULL" run --rm busybox:1 echo works)" = works ]'
}

@test "full disk: a workload that fills it ends as it would anywhere, and its end is known" {
	on_small_disk '
		! "$HULL" run --rm busybox:1 sh -c "yes >/x" 2>/dev/null
		[ -z "$("$HULL" ps -aq)" ]
		! "$HULL" run --name filler busybox:1 sh -c "yes >/x; exit 7" 2>/dev/null
		[ "$("$HULL" inspect -f "{{.State.Status}} {{.State.ExitCode}}" filler)" = "exited 7" ]
		"$HULL" rm filler
		"$HULL" run --name logger busybox:1 sh -c "yes | head -c 20000000; exit 8" >/dev/null || [ $? = 8 ]
		[ "$("$HULL" inspect -f "{{.State.ExitCode}}" logger)" = 8 ]
		[ "$("$HULL" logs -n 1 logger)" = y ]'
}

@test "full disk: what runs goes on, nothing new begins, and rm makes room" {
	on_small_disk '
		"$HULL" create --name kept busybox:1 echo kept >/dev/null
		"$HULL" run -d --name live busybox:1 sh -c "while :; do sleep 0.1; done" >/dev/null
		"$HULL" run --name fat busybox:1 dd if=/dev/zero of=/fat bs=1k count=3000 2>/dev/null
		fill
		full 125 run --rm busybox:1 true
		full 1 create busybox:1 true
		full 1 import "$DIR/rootfs.tar" again:1
		full 1 commit fat again:1
		full 1 tag busybox:1 again:1
		full 1 start kept
		[ "$("$HULL" exec live echo in)" = in ]
		! timeout 20 "$HULL" cp "$DIR/rootfs.tar" live:/
		[ "$("$HULL" ps -a --format "{{.Names}}" | wc -l)" = 3 ]
		"$HULL" stop -t 0 live
		[ "$("$HULL" inspect -f "{{.State.Status}} {{.State.ExitCode}}" live)" = "exited 137" ]
		"$HULL" rm fat
		[ "$("$HULL" run --rm busybox:1 echo works)" = works ]
		rm "$HULL_ROOT/filler"
		[ "$("$HULL" start -a kept)" = kept ]
		[ "$("$HULL" run --rm busybox:1 echo works)" = works ]
		fill
		"$HULL" rm live kept
		"$HULL" rmi busybox:1
		[ -z "$(ls "$HULL_ROOT/layers")" ]
		rm "$HULL_ROOT/filler"
		"$HULL" import "$DIR/rootfs.tar" again:1
		[ "$("$HULL" run --rm again:1 /bin/echo works)" = works ]'
}

@test "a layer that is missing or cut short is named; another import heals it" {
	local layer
	layer=$(echo "$HULL_ROOT"/layers/*.erofs)
	[ -f "$layer" ]
	"$HULL" create --name idle busybox:1 true
	sleeper live
	mv "$layer" "$BATS_TEST_TMPDIR/layer"
	fails 125 'missing from the store' run --rm busybox:1 true
	fails 1 'missing from the store' save -o "$BATS_TEST_TMPDIR/o.tar" busybox:1
	fails 1 'load or build its image again' start idle
	[ "$("$HULL" exec live echo in)" = in ]
	"$HULL" ps -a
	"$HULL" images
	head -c 10000 "$BATS_TEST_TMPDIR/layer" >"$layer"
	fails 125 'damaged' run --rm busybox:1 true
	fails 1 'damaged' save -o "$BATS_TEST_TMPDIR/o.tar" busybox:1
	"$HULL" rm -f idle live
	"$HULL" system prune -f
	make_image busybox:1
	works
}

@test "a damaged image is named, listed and can be removed; the others work" {
	local blob
	make_image bad:1 -c 'LABEL bad=1'
	blob=$HULL_ROOT/blobs/sha256/$("$HULL" images --no-trunc -q bad:1 | cut -d: -f2)
	truncate -s 20 "$blob"
	fails 125 'damaged, its contents have another digest' run --rm bad:1 true
	[ "$("$HULL" images --format '{{.Repository}}' | grep -c bad)" = 1 ]
	works
	rm "$blob"
	fails 125 'missing from the store' run --rm bad:1 true
	works
	"$HULL" rmi bad:1
	[ "$("$HULL" images --format '{{.Repository}}' | grep -c bad)" = 0 ]
	make_image bad:1 -c 'LABEL bad=1'
	"$HULL" run --rm bad:1 true
	"$HULL" rmi bad:1
}

@test "a database that is damaged, cut short or emptied is said so, and never begun anew over what is there" {
	local how
	"$HULL" create --name kept busybox:1 echo kept
	mkdir "$BATS_TEST_TMPDIR/db"
	cp "$HULL_ROOT"/hull.db* "$BATS_TEST_TMPDIR/db"
	for how in random header short empty directory; do
		rm -rf "$HULL_ROOT"/hull.db*
		case $how in
		random) head -c 40960 /dev/urandom >"$HULL_ROOT/hull.db" ;;
		header) { printf 'SQLite format 3\0'; head -c 40960 /dev/urandom; } >"$HULL_ROOT/hull.db" ;;
		short) head -c 1000 "$BATS_TEST_TMPDIR/db/hull.db" >"$HULL_ROOT/hull.db" ;;
		empty) : >"$HULL_ROOT/hull.db" ;;
		directory) mkdir "$HULL_ROOT/hull.db" ;;
		esac
		echo "$how"
		fails 1 "$HULL_ROOT/hull.db" ps -a
		fails 125 "$HULL_ROOT/hull.db" run --rm busybox:1 true
		fails 1 "$HULL_ROOT/hull.db" system prune -f
		fails 1 "$HULL_ROOT/hull.db" rm -f kept
	done
	rm -rf "$HULL_ROOT"/hull.db*
	cp "$BATS_TEST_TMPDIR/db"/* "$HULL_ROOT"
	[ "$("$HULL" start -a kept)" = kept ]
	works
}

@test "a state nobody can read hides no container: it starts again, or goes" {
	local what file
	"$HULL" run --name odd busybox:1 true
	"$HULL" create --name other busybox:1 true
	file=$(dir_of odd)/state.json
	for what in '' '{' '[]' 'x' '{"Status":5}' '{"Status":"flying"}'; do
		printf '%s' "$what" >"$file"
		[ "$("$HULL" ps -a --format '{{.Names}} {{.State}}' --filter name=odd)" = "odd dead" ]
		[[ $("$HULL" inspect -f '{{.State.Error}}' odd) == *"state.json is damaged"* ]]
		"$HULL" start -a odd
	done
	rm "$file"
	mkdir "$file"
	[ "$("$HULL" ps -aq | wc -l)" = 2 ]
	"$HULL" rm odd
	sleeper live --restart always
	echo x >"$(dir_of live)/state.json"
	fails 1 'still runs' rm live
	fails 1 'still runs' start live
	"$HULL" system prune -f
	[ "$("$HULL" ps -a --format '{{.Names}} {{.State}}')" = "live dead" ]
	"$HULL" rm -f live
	no_sleeper
}

# no_sleeper: none of them is left
no_sleeper() { ! pgrep -af "^sh -c : $HULL_TMP"; }

@test "a shim killed: its container is told as dead, and rm -f, stop and start each put it right" {
	local shim
	for verb in 'rm -f' 'stop -t 0' 'start'; do
		sleeper s1
		shim=$(jq .Shim "$(dir_of s1)/state.json")
		[ "$(tr '\0' ' ' <"/proc/$shim/cmdline" | cut -d' ' -f1,2)" = "hull shim" ]
		kill -9 "$shim"
		wait_for dead s1
		[[ $("$HULL" inspect -f '{{.State.Error}}' s1) == *"shim is gone"* ]]
		fails 1 'still runs' rm s1
		"$HULL" $verb s1
		[ "$verb" != start ] || [ "$("$HULL" exec s1 echo in)" = in ]
		"$HULL" rm -f s1
		no_sleeper
	done
}

dead() { [ "$("$HULL" inspect -f '{{.State.Status}}' "$1")" = dead ]; }

# no_trash: nothing that is yet to be deleted
no_trash() { [ -z "$(entries "$HULL_ROOT/tmp" "$HULL_RUN_ROOT/tmp")" ]; }

# entries DIR...: what is in them
entries() { find "$@" -mindepth 1 -maxdepth 1; }

@test "run --rm: gone when it returns, and the bytes soon after" {
	local i
	for i in $(seq 20); do
		[ "$("$HULL" run --rm --name once busybox:1 sh -c 'mkdir -p /a/b/c; echo x >/a/b/c/d; echo once')" = once ]
		[ -z "$(entries "$HULL_ROOT/instances" "$HULL_RUN_ROOT/shim")" ]
		[ "$(ls "$HULL_RUN_ROOT/level")" = @seccomp ]
	done
	[ -z "$("$HULL" ps -aq)" ]
	wait_for no_trash
	! pgrep -f "^hull shim"
}

# mounts_of NAME: the mount namespaces that its shim holds, and those of its first process
mounts_of() {
	local shim pid
	shim=$(jq .Shim "$(dir_of "$1")/state.json")
	pid=$("$HULL" inspect -f '{{.State.Pid}}' "$1")
	find "/proc/$shim/fd" -lname 'mnt:*' -printf '%l\n'
	readlink "/proc/$pid/ns/mnt"
}

@test "run --rm: the shim takes the mounts apart, but holds none of the user's and no layer" {
	"$HULL" run -d --rm --name bare busybox:1 sleep 1000
	[ "$(mounts_of bare | sort -u | wc -l)" = 1 ]
	[ "$(mounts_of bare | wc -l)" = 2 ]
	"$HULL" run -d --rm --name bound -v "$BATS_TEST_TMPDIR:/x" busybox:1 sleep 1000
	[ "$(mounts_of bound | wc -l)" = 1 ]
	"$HULL" run -d --name kept busybox:1 sleep 1000
	[ "$(mounts_of kept | wc -l)" = 1 ]
	# a lower: its directory as such, or its image's root
	layerless() { [ -z "$(find "/proc/$(jq .Shim "$(dir_of kept)/state.json")/fd" \( -lname "$HULL_ROOT/base" -o -lname / \))" ]; }
	wait_for layerless
	"$HULL" rm -f bare bound kept
}

@test "run --rm: its client killed while it runs, the shim removes it" {
	local client
	"$HULL" run --rm --name left busybox:1 sleep 0.5 &
	client=$!
	wait_for running left
	kill -9 "$client"
	wait_for gone left
	wait_for no_trash
	[ -z "$(entries "$HULL_ROOT/instances" "$HULL_RUN_ROOT/shim")" ]
}

running() { [ "$("$HULL" inspect -f '{{.State.Status}}' "$1")" = running ]; }
gone() { [ -z "$("$HULL" ps -aq --filter "name=$1")" ]; }

@test "what a shim was killed over is deleted by the next command, what a live one deletes is left to it" {
	local id holder
	need flock
	id=$(printf '%064d' 7)
	mkdir -p "$HULL_ROOT/tmp/rm-$id/upper/a" "$HULL_RUN_ROOT/tmp/$id"
	touch "$HULL_ROOT/tmp/rm-$id/upper/a/b" "$HULL_RUN_ROOT/tmp/$id/spec.json"
	(exec 8<"$HULL_ROOT/tmp/rm-$id" 9<"$HULL_RUN_ROOT/tmp/$id" && flock 8 && flock 9 && exec sleep 1000 3>&-) &
	holder=$!
	wait_for not flock -n "$HULL_RUN_ROOT/tmp/$id" true
	"$HULL" system prune -f
	[ -e "$HULL_ROOT/tmp/rm-$id/upper/a/b" ]
	[ -e "$HULL_RUN_ROOT/tmp/$id/spec.json" ]
	kill -9 "$holder"
	wait_for flock -n "$HULL_RUN_ROOT/tmp/$id" flock -n "$HULL_ROOT/tmp/rm-$id" true
	"$HULL" ps
	[ ! -e "$HULL_ROOT/tmp/rm-$id" ]
	"$HULL" system prune -f
	no_trash
}

not() { ! "$@"; }

@test "a root file system removed underneath is named, stopped or running" {
	local part dir
	for part in upper work rootfs.json; do
		"$HULL" create --name gone busybox:1 true
		dir=$(dir_of gone)
		rm -r "${dir:?}/$part"
		fails 1 "$part" start gone
		fails 1 "$part" export gone
		"$HULL" ps -a
		"$HULL" rm gone
	done
	"$HULL" create --name gone busybox:1 true
	rm -r "$(dir_of gone)"
	fails 1 'are gone' start gone
	[ "$("$HULL" ps -a --format '{{.State}}')" = dead ]
	"$HULL" rm gone

	sleeper live
	rm -r "$(dir_of live)"/{upper,work}
	[ "$("$HULL" exec live echo in)" = in ]
	fails 1 'upper' restart -t 0 live
	"$HULL" rm -f live
	sleeper live
	rm -r "$(dir_of live)"
	fails 1 'still runs' rm live
	"$HULL" system prune -f
	"$HULL" rm -f live
	[ -z "$("$HULL" ps -aq)" ]
	no_sleeper
	works
}

@test "twenty at once: one gets the name" {
	local i won=0
	for i in $(seq 20); do
		"$HULL" run -d --name same busybox:1 sleep 1000 >"$BATS_TEST_TMPDIR/out.$i" 2>&1 &
	done
	wait
	for i in $(seq 20); do
		if grep -qE '^[0-9a-f]{64}$' "$BATS_TEST_TMPDIR/out.$i"; then
			won=$((won + 1))
		else
			grep -q "'same' is in use" "$BATS_TEST_TMPDIR/out.$i"
		fi
	done
	[ "$won" = 1 ]
	[ "$("$HULL" ps -aq | wc -l)" = 1 ]
	[ "$("$HULL" ps -q | wc -l)" = 1 ]
	[ "$(find "$HULL_ROOT/instances" -mindepth 1 -maxdepth 1 | wc -l)" = 1 ]
}

@test "ten at once: start, stop, and rm -f of one container" {
	local i verb
	for verb in start 'stop -t 0' 'restart -t 0' 'rm -f'; do
		"$HULL" inspect c1 >/dev/null 2>&1 || "$HULL" create --name c1 busybox:1 sleep 1000
		[ "$verb" = 'rm -f' ] || "$HULL" start c1
		for i in $(seq 10); do
			"$HULL" $verb c1 >"$BATS_TEST_TMPDIR/out.$i" 2>&1 || echo "$verb: status $?" >>"$BATS_TEST_TMPDIR/failed" &
		done
		wait
		cat "$BATS_TEST_TMPDIR"/out.*
	done
	[ ! -e "$BATS_TEST_TMPDIR/failed" ] || { cat "$BATS_TEST_TMPDIR/failed"; return 1; }
	[ -z "$("$HULL" ps -aq)" ]
	[ -z "$(ls "$HULL_ROOT/instances")" ]
	[ -z "$(ls "$HULL_RUN_ROOT/shim")" ]
}

@test "the same image imported many times at once is one" {
	local i
	make_image busybox:1
	for i in $(seq 8); do make_image "par:$i" >"$BATS_TEST_TMPDIR/id.$i" & done
	wait
	for i in $(seq 8); do
		[[ $(cat "$BATS_TEST_TMPDIR/id.$i") == sha256:* ]]
		[ "$("$HULL" run --rm "par:$i" echo works)" = works ]
		"$HULL" rmi "par:$i"
	done
	[ "$(find "$HULL_ROOT/layers" -name '*.erofs' | wc -l)" = 1 ]
	wait_for no_trash
	works
}

@test "prune at the same time takes nothing from run, build and import" {
	local i
	mkdir "$BATS_TEST_TMPDIR/ctx"
	(while [ ! -e "$BATS_TEST_TMPDIR/stop" ]; do
		"$HULL" system prune -f >/dev/null || echo prune >>"$BATS_TEST_TMPDIR/failed"
	done) &
	for i in $(seq 10); do
		[ "$("$HULL" run --rm busybox:1 echo works)" = works ] || echo "run $i" >>"$BATS_TEST_TMPDIR/failed"
		printf 'FROM busybox:1\nRUN echo %s >/x\nRUN cat /x\n' "$i" >"$BATS_TEST_TMPDIR/ctx/Dockerfile"
		"$HULL" build -q -t "built:$i" "$BATS_TEST_TMPDIR/ctx" || echo "build $i" >>"$BATS_TEST_TMPDIR/failed"
		make_image "imported:$i" -c "LABEL n=$i" || echo "import $i" >>"$BATS_TEST_TMPDIR/failed"
		[ "$("$HULL" run --rm "built:$i" cat /x)" = "$i" ] || echo "built $i" >>"$BATS_TEST_TMPDIR/failed"
	done
	touch "$BATS_TEST_TMPDIR/stop"
	wait
	[ ! -e "$BATS_TEST_TMPDIR/failed" ] || { cat "$BATS_TEST_TMPDIR/failed"; return 1; }
	[ "$("$HULL" images --format '{{.Repository}}' | sort | uniq -c | xargs)" = "10 built 1 busybox 10 imported" ]
	for i in $(seq 10); do "$HULL" rmi "built:$i" "imported:$i" >/dev/null; done
}
