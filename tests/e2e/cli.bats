# SPDX-License-Identifier: Apache-2.0
# The command line itself: help, errors and their exit status, formats, completions, man pages. What runs is in other files.
bats_require_minimum_version 1.5.0
load common

setup_file() {
	setup_hull
	make_image busybox:1 -c 'LABEL kind=test' >/dev/null
	"$HULL" tag busybox:1 other/name:2
}

teardown_file() { teardown_hull; }

# commands: the names `hull --help` has in its first column, some of two words
commands() { "$HULL" --help | awk '/^[A-Z].*:$/ { on = !/Global/ } on && /^  [a-z]/ { name = substr($0, 3, 18); sub(/ +$/, "", name); print name }'; }

@test "help lists every command of the issue" {
	local c
	commands >"$BATS_TEST_TMPDIR/commands"
	for c in build images rmi tag history inspect save load import export run create start stop kill restart rm ps exec attach \
		logs wait top stats pause unpause update rename cp diff commit port events info version "system df" "system prune"; do
		grep -qx "$c" "$BATS_TEST_TMPDIR/commands" || { echo "not listed: $c"; return 1; }
	done
}

@test "every command has help, on standard output, with status 0" {
	local c
	while read -r c; do
		# shellcheck disable=SC2086  # two words name some
		run --separate-stderr "$HULL" $c --help
		[ "$status" = 0 ] && [ -z "$stderr" ] && [[ $output == "Usage:  hull $c"* ]] || { echo "$c: $status $output $stderr"; return 1; }
	done < <(commands)
}

@test "every command refuses an unknown flag by name, in one line" {
	local c
	while read -r c; do
		# shellcheck disable=SC2086
		run "$HULL" $c --no-such-flag
		[ "$status" -gt 0 ] && [ "${#lines[@]}" = 1 ] && [[ $output == "hull: unknown flag: --no-such-flag, see 'hull $c --help'" ]] ||
			{ echo "$c: $status $output"; return 1; }
	done < <(commands)
}

@test "an unknown command gets a suggestion" {
	run "$HULL" imagse
	[ "$status" = 1 ]
	[[ $output == *"did you mean 'images'?"* ]]
	run "$HULL" xyzzy
	[ "$status" = 1 ]
	[[ $output != *"did you mean"* ]]
	run "$HULL" system nothing
	[ "$status" = 1 ]
	[[ $output == *"df"*"prune"* ]]
}

@test "too few and too many operands are counted" {
	run "$HULL" tag one
	[ "$status" = 1 ]
	[ "$output" = "hull: 'tag' needs exactly 2 arguments, got 1, see 'hull tag --help'" ]
	run "$HULL" info one
	[ "$status" = 1 ]
	[[ $output == "hull: 'info' takes no arguments"* ]]
}

@test "run says 125 for mistakes of the command line, and why" {
	local args
	for args in "--memory 5x" "--cpus lots" "--restart maybe" "--network bridge" "--publish 80:80" "--pull always" "--ulimit nofile" \
		"--health-interval 5" "--mount type=nothing,dst=/x" "--volume a:b:c:d" "--device /etc/passwd" "--sysctl kernel.panic=1" \
		"--cap-add NO_SUCH" "--security-opt nothing=1" "--log-driver syslog" "--isolation none" "--stop-signal NOPE"; do
		# shellcheck disable=SC2086
		run "$HULL" run --rm $args busybox:1 true
		[ "$status" = 125 ] && [ "${#lines[@]}" = 1 ] && [[ $output == "hull: "* ]] || { echo "$args: $status $output"; return 1; }
	done
	[ -z "$("$HULL" ps -aq)" ]
}

@test "an image that is not there gets a hint, and 125" {
	run "$HULL" run --rm nosuch:image true
	[ "$status" = 125 ]
	[[ $output == *"no such image: 'nosuch:image'"*"hull load"* ]]
	run "$HULL" create nosuch:image
	[ "$status" = 1 ]
}

@test "containers that are not there are named" {
	local c
	for c in stop start kill restart rm logs top inspect diff pause unpause attach wait port export; do
		run "$HULL" "$c" nosuch </dev/null
		[ "$status" -gt 0 ] && [[ $output == *"no such container"*"nosuch"* ]] || { echo "$c: $status $output"; return 1; }
	done
	run "$HULL" rm -f nosuch
	[ "$status" = 0 ]
}

@test "images: columns, json, templates, quiet, filters" {
	run "$HULL" images
	[ "$status" = 0 ]
	[[ ${lines[0]} =~ ^REPOSITORY\ +TAG\ +IMAGE\ ID\ +CREATED\ +SIZE$ ]]
	[ "${#lines[@]}" = 3 ]
	run "$HULL" images --format json
	echo "${lines[0]}" | jq -e '.Repository and .ID and .Size and (has("Label") | not)'
	run "$HULL" images --filter reference=busybox --format '{{.Repository}}:{{.Tag}}'
	[ "$output" = busybox:1 ]
	run "$HULL" images --format 'table {{.Tag}}\t{{.Repository}}'
	[[ ${lines[0]} =~ ^TAG\ +REPOSITORY$ ]]
	[ "$("$HULL" images -q | sort -u | wc -l)" = 1 ]
	[ -z "$("$HULL" images -q --filter dangling=true)" ]
	[ "$("$HULL" images -q --filter label=kind=test | wc -l)" = 2 ]
	run "$HULL" images --filter nothing=1
	[ "$status" = 1 ]
	run "$HULL" images --format '{{.ID'
	[ "$status" = 1 ]
	[ "${#lines[@]}" = 1 ]
}

@test "aliases of image and container do the same" {
	[ "$("$HULL" image ls)" = "$("$HULL" images)" ]
	[ "$("$HULL" image list -q)" = "$("$HULL" images -q)" ]
	[ "$("$HULL" container ls -a)" = "$("$HULL" ps -a)" ]
	[ "$("$HULL" image inspect busybox:1)" = "$("$HULL" inspect --type image busybox:1)" ]
}

@test "inspect prints an array, or what the template asks for" {
	"$HULL" inspect busybox:1 | jq -e 'length == 1 and .[0].Os == "linux" and .[0].RootFS.Layers[0][:7] == "sha256:"'
	[ "$("$HULL" inspect -f '{{json .Config.Cmd}}' busybox:1)" = '["sh"]' ]
	[ "$("$HULL" inspect -f '{{index .Config.Labels "kind"}}' busybox:1)" = test ]
	run --separate-stderr "$HULL" inspect busybox:1 nosuch
	[ "$status" = 1 ]
	echo "$output" | jq -e 'length == 1'
	[[ $stderr == *nosuch* ]]
}

@test "version and info answer templates" {
	[[ $("$HULL" version -f '{{.Server.Version}}') =~ ^[0-9]+\. ]]
	"$HULL" info --format json | jq -e '.Images == 1 and .NCPU > 0'
	[[ $("$HULL" -v) == "hull version "* ]]
}

@test "errors are JSON when asked for" {
	run "$HULL" --log-format json rmi nosuch
	[ "$status" = 1 ]
	echo "$output" | jq -e .
	run "$HULL" --log-format yaml images
	[ "$status" = 1 ]
}

@test "prune without an answer does nothing and says what would" {
	run "$HULL" system prune </dev/null
	[ "$status" = 1 ]
	[[ $output == *--force* ]]
	run "$HULL" image prune --all <<<n
	[ "$status" = 0 ]
	[ "$("$HULL" images -q | wc -l)" = 2 ]
}

@test "a full standard output is an error" {
	[ -e /dev/full ] || skip "no /dev/full"
	run bash -c '"$1" images >/dev/full' - "$HULL"
	[ "$status" = 1 ]
	[[ $output == *"No space left"* ]]
}

@test "volumes are made, listed, inspected and removed" {
	[ "$("$HULL" volume create data)" = data ]
	[ "$("$HULL" volume ls -q)" = data ]
	[ -d "$("$HULL" volume inspect -f '{{.Mountpoint}}' data)" ]
	"$HULL" volume rm data
	run "$HULL" volume rm data
	[ "$status" = 1 ]
	[ -z "$("$HULL" volume ls -q)" ]
}

@test "man pages exist for every command and render without a warning" {
	need man
	local c page
	"$HULL" docs man "$BATS_TEST_TMPDIR/man"
	while read -r c; do
		[ -e "$BATS_TEST_TMPDIR/man/hull-${c/ /-}.1" ] || { echo "no page for $c"; return 1; }
	done < <(commands)
	for page in "$BATS_TEST_TMPDIR"/man/*.1 "$BATS_TEST_DIRNAME"/../../man/*.7; do
		run man -l --warnings -E UTF-8 -Tutf8 "$page"
		[ "$status" = 0 ]
		run bash -c 'man -l --warnings -E UTF-8 -Tutf8 "$1" 2>&1 >/dev/null' - "$page"
		[ -z "$output" ] || { echo "$page: $output"; return 1; }
	done
}

# complete_words WORD...: what bash would offer for the last word
complete_words() {
	bash -c 'set -u; source "$1"; shift; PATH=$(dirname "$HULL"):$PATH; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hull
		printf "%s\n" "${COMPREPLY[@]:-}"' - "$BATS_TEST_TMPDIR/bash/hull" "$@"
}

@test "bash completion loads and completes commands, flags, values and names" {
	export HULL
	"$HULL" docs bash "$BATS_TEST_TMPDIR/bash"
	run bash -c 'source "$1"; complete -p hull' - "$BATS_TEST_TMPDIR/bash/hull"
	[ "$output" = "complete -F _hull hull" ]
	[ "$(complete_words hull imag | sort | tr '\n' ' ')" = "image images " ]
	[ "$(complete_words hull --root /x system d)" = df ]
	[ "$(complete_words hull dis)" = disk ]
	[ "$(complete_words hull vm ru)" = run ]
	[ "$(complete_words hull disk create --for)" = --format ]
	[ "$(complete_words hull run --netw)" = --network ]
	[ "$(complete_words hull run --restart on)" = on-failure ]
	complete_words hull container ls --filt | grep -qx -- --filter
	complete_words hull rmi "" | grep -qx 'busybox:1'
}

@test "zsh completion loads" {
	"$HULL" docs zsh "$BATS_TEST_TMPDIR/zsh"
	head -1 "$BATS_TEST_TMPDIR/zsh/_hull" | grep -qx '#compdef hull'
	need zsh
	zsh -n "$BATS_TEST_TMPDIR/zsh/_hull"
}

@test "make install puts everything in its place" {
	local top=$BATS_TEST_DIRNAME/../.. to=$BATS_TEST_TMPDIR/to
	(cd "$top" && tools/install "$(dirname "$HULL")" "$to" /usr)
	[ -x "$to/usr/bin/hull" ]
	[ "$(readlink "$to/usr/bin/hull-oci")" = hull ]
	[ -e "$to/usr/share/man/man1/hull-run.1" ]
	[ -e "$to/usr/share/man/man7/hull.7" ]
	[ -e "$to/usr/share/bash-completion/completions/hull" ]
	[ -e "$to/usr/share/zsh/site-functions/_hull" ]
}
