#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# hull build: what a person who types it meets. What an image holds is looked at by the RUN of another build.

load common

setup_file() {
	need_root
	need busybox
	setup_hull
	make_rootfs "$HULL_TMP/ctx-base/root"
	printf 'FROM scratch\nCOPY root /\nENV PATH=/bin\n' >"$HULL_TMP/ctx-base/Dockerfile"
	"$HULL" build -q -t base "$HULL_TMP/ctx-base"
}
teardown_file() { teardown_hull; }

# no_cgroups: none that is younger than the test
no_cgroups() {
	[ -z "$(find /sys/fs/cgroup -path '*/hull-build/*' -type d -newer "$CTX/.born" 2>/dev/null)" ]
}

setup() {
	CTX=$BATS_TEST_TMPDIR/ctx
	mkdir "$CTX"
	touch "$CTX/.born"
}

teardown() {
	# no step leaves a container, a cgroup or a temporary
	no_cgroups
	[ -z "$(ls -A "$HULL_ROOT/tmp")" ]
}

# dockerfile [OPTION...]: build $CTX
dockerfile() { run timeout 60 "$HULL" build --progress plain "$@" "$CTX"; }

# build TEXT [OPTION...]: the Dockerfile's text, then options
build() {
	printf '%s\n' "$1" >"$CTX/Dockerfile"
	shift
	dockerfile "$@"
}

@test "progress tells steps, what was cached, and how long each took" {
	echo hi >"$CTX/f"
	build $'FROM base\nCOPY f /f\nRUN echo "said $(cat /f)"' -t progress
	[ "$status" -eq 0 ]
	[[ "$output" == *$'#2 [2/3] COPY f /f\n#2 DONE '*s* ]]
	[[ "$output" =~ '#3 '[0-9.]+' said hi' ]]
	build $'FROM base\nCOPY f /f\nRUN echo "said $(cat /f)"'
	[[ "$output" == *$'#2 CACHED\n'* && "$output" == *$'#3 CACHED\n'* ]]
	[[ "$output" != *"said hi"* ]]
	build $'FROM base\nCOPY f /f\nRUN echo "said $(cat /f)"' --no-cache
	[[ "$output" != *CACHED* && "$output" == *"said hi"* ]]
}

@test "a failing RUN shows its output, then one line with file, line and exit code" {
	build $'FROM base\n\nRUN echo before; exit 2'
	[ "$status" -eq 1 ]
	[[ "$output" == *" before"* ]]
	[ "${lines[-1]}" = "hull: Dockerfile:3: RUN echo before; exit 2: exit code 2" ]
	run "$HULL" build -q "$CTX"
	[ "${lines[0]}" = before ]
}

@test "a command that is not there is one line" {
	build $'FROM base\nRUN ["/no/such", "x"]'
	[ "$status" -eq 1 ]
	[[ "${lines[-1]}" == 'hull: Dockerfile:2: RUN ["/no/such", "x"]: '*"/no/such"* ]]
}

@test "an unknown instruction is told with line, column and what was meant" {
	build $'FROM base\nCOPPY a b'
	[ "$status" -eq 1 ]
	[ "$output" = "hull: Dockerfile:2:1: unknown instruction 'COPPY' (did you mean COPY?)" ]
}

@test "RUN sees environment, arguments, user, directory and shell of its step" {
	build $'FROM base
ENV a=1 b="two words"
ARG v=default
ARG unset
WORKDIR /work/dir
RUN test "$a-$b-$v-${unset-none}" = "1-two words-given-none" && test "$(pwd)" = /work/dir
USER user
RUN test "$(id -u):$(id -g)" = 1000:1000 && id | grep -q extra && test "$HOME" = /home/user
USER 7:8
RUN ["/bin/sh", "-c", "test $(id -u):$(id -g) = 7:8"]
USER root
SHELL ["/bin/busybox", "sh", "-ec"]
RUN false; true || exit 9' --build-arg v=given
	[ "$status" -eq 1 ]
	[[ "${lines[-1]}" == *"Dockerfile:13: "*"exit code 1" ]]
}

@test "RUN takes here-documents, as commands and as scripts" {
	cat >"$CTX/Dockerfile" <<'END'
FROM base
RUN <<EOF
echo one >/out
echo two >>/out
EOF
RUN <<'PY'
#!/bin/busybox sh
echo "three $0" >>/out
PY
RUN cat >>/out <<EOF
four
EOF
RUN test "$(cat /out | tr "\n" " ")" = "one two three /dev/pipes/PY four "
END
	dockerfile
	[ "$status" -eq 0 ]
}

@test "RUN has no network of its own unless it is asked for" {
	build $'FROM base\nRUN test "$(ls /sys/class/net)" = lo
RUN --network=host test "$(ls /sys/class/net | wc -l)" -ge 1'
	[ "$status" -eq 0 ]
}

@test "mount points of RUN do not stay in the image" {
	cp "$(command -v busybox)" "$CTX/busybox"
	build $'FROM scratch\nCOPY busybox /busybox\nRUN ["/busybox", "mkdir", "/made"]
RUN --network=host ["/busybox", "true"]' -t bare
	[ "$status" -eq 0 ]
	build $'FROM base\nCOPY --from=bare / /bare\nRUN test "$(ls /bare | tr "\\n" " ")" = "busybox made "'
	[ "$status" -eq 0 ]
}

@test "what RUN deletes is gone, and its layer hides it" {
	cat >"$CTX/Dockerfile" <<'END'
FROM base
RUN echo a >/etc/a && mkdir /d && echo b >/d/b
RUN rm /etc/a && rm -r /d && mkdir /d
RUN test ! -e /etc/a && test -z "$(ls /d)"
END
	dockerfile
	[ "$status" -eq 0 ]
}

@test "stages: by name, by number, from an image; unused ones do not run" {
	cat >"$CTX/Dockerfile" <<'END'
FROM base AS one
RUN echo 1 >/1
FROM base AS broken
RUN exit 3
FROM base
COPY --from=one /1 /one
COPY --from=0 /1 /zero
COPY --from=base /etc/passwd /p
RUN test "$(cat /one)$(cat /zero)" = 11 && test -s /p
END
	dockerfile
	[ "$status" -eq 0 ]
	[[ "$output" == *"[one 2/2] RUN echo 1 >/1"* && "$output" != *broken* ]]
	dockerfile --target broken
	[ "$status" -eq 1 ]
	[[ "${lines[-1]}" == *"RUN exit 3: exit code 3" ]]
}

@test "the Dockerfile comes from standard input, the id goes to a file" {
	run timeout 60 "$HULL" build -q --iidfile "$CTX/id" -t stdin - <<<$'FROM base\nRUN true'
	[ "$status" -eq 0 ]
	[ "$output" = "$(cat "$CTX/id")" ]
	[[ "$output" =~ ^sha256:[0-9a-f]{64}$ ]]
	touch "$CTX/f"
	run timeout 60 "$HULL" build -q -f - "$CTX" <<<$'FROM base\nCOPY f /'
	[ "$status" -eq 0 ]
	run timeout 60 "$HULL" build -q - <<<$'FROM base\nCOPY f /'
	[ "$status" -eq 1 ]
	[ "$output" = "hull: Dockerfile:2: COPY: 'f': there is no build context" ]
}

@test "several tags and labels" {
	build 'FROM base' -t many:1 -t many:2 --label a=b
	[ "$status" -eq 0 ]
	run "$HULL" inspect --format '{{index .Config.Labels "a"}} {{len .RepoTags}}' many:2
	[ "$output" = "b 2" ]
}

@test "an argument no ARG takes is told" {
	build 'FROM base' --build-arg nobody=1
	[ "$status" -eq 0 ]
	[[ "$output" == *"--build-arg nobody: no ARG takes it"* ]]
}

@test "RUN cannot write to hull itself" {
	before=$(sha256sum <"$HULL")
	build $'FROM base\nRUN echo x >/proc/1/exe || echo refused'
	[ "$status" -eq 0 ]
	[[ "$output" == *refused* ]]
	build $'FROM base\nRUN ["/proc/self/exe", "--version"]'
	[ "$(sha256sum <"$HULL")" = "$before" ]
}

@test "a killed build takes its step with it" {
	printf 'FROM base\nRUN echo started; sleep 4711\n' >"$CTX/Dockerfile"
	"$HULL" build --progress plain "$CTX" >"$BATS_TEST_TMPDIR/out" 2>&1 &
	pid=$!
	wait_for grep -q ' started' "$BATS_TEST_TMPDIR/out"
	kill -9 $pid
	wait $pid || true
	gone() { [ -z "$(pgrep -f '^sleep 4711$')" ] && no_cgroups; }
	wait_for gone
	"$HULL" build -q "$HULL_TMP/ctx-base"	# removes the step's directory
}
