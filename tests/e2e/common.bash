# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Shared by the end-to-end tests: where hull is, a private root for it, root file systems and bundles of busybox.
# Everything lives in $BATS_FILE_TMPDIR; teardown_hull removes it and fails when hull left anything behind.

HULL=${HULL_BIN:-$BATS_TEST_DIRNAME/../../build/hull}
HULL=$(realpath "$HULL")

need_root() { [ "$(id -u)" = 0 ] || skip "not root"; }
need() { command -v "$1" >/dev/null || skip "$1 is not installed"; }

# setup_hull: in setup_file; roots of our own, short enough for sockets
setup_hull() {
	HULL_TMP=$(mktemp -d /tmp/hull-e2e.XXXXXX)
	export HULL_TMP HULL_ROOT=$HULL_TMP/root HULL_RUN_ROOT=$HULL_TMP/run OCI_ROOT=$HULL_TMP/oci
}

# teardown_hull: in teardown_file; nothing may be left of what the tests made
teardown_hull() {
	local left bad=0 id
	for id in $("$HULL" ps -aq 2>/dev/null); do "$HULL" rm -f "$id" >/dev/null 2>&1; done
	for id in $(oci list -q 2>/dev/null); do oci delete -f "$id" >/dev/null 2>&1; done
	left=$(grep -F "$HULL_TMP" /proc/self/mountinfo || true)
	[ -z "$left" ] || { echo "# mounts left: $left" >&3; bad=1; }
	rm -rf --one-file-system "$HULL_TMP" || bad=1
	return $bad
}

oci() { "$HULL" oci --root "$OCI_ROOT" "$@"; }

# make_rootfs DIR: a small root file system of the distribution's static busybox
make_rootfs() {
	local applet
	mkdir -p "$1"/{bin,etc,proc,sys,dev,tmp,root}
	cp "$(command -v busybox)" "$1/bin/busybox"
	for applet in sh true false cat ls id env echo sleep ps mount grep stat hostname kill head tail wc dd tr touch mkdir \
		rm ln readlink dmesg date nproc test cut sort seq df chmod chown umount nc ip awk sed sync yes stty tty pwd \
		mknod printf usleep; do
		ln -sf busybox "$1/bin/$applet"
	done
	echo 'root:x:0:0:root:/root:/bin/sh
user:x:1000:1000:user:/home/user:/bin/sh' >"$1/etc/passwd"
	echo 'root:x:0:
user:x:1000:
extra:x:2000:user' >"$1/etc/group"
}

# make_image NAME [IMPORT OPTIONS]: an image of that root file system
make_image() {
	local name=$1
	shift
	[ -d "$HULL_TMP/rootfs" ] || make_rootfs "$HULL_TMP/rootfs"
	tar -C "$HULL_TMP/rootfs" -c . | "$HULL" import -c 'CMD ["sh"]' "$@" - "$name"
}

# make_bundle DIR [JQ-FILTER]: config.json of `hull oci spec` changed by the filter; rootfs shared by all bundles of a file
make_bundle() {
	local filter=${2:-.}
	[ -d "$HULL_TMP/rootfs" ] || make_rootfs "$HULL_TMP/rootfs"
	mkdir -p "$1"
	rm -f "$1/config.json"
	oci spec --bundle "$1"
	jq --arg rootfs "$HULL_TMP/rootfs" ".root.path = \$rootfs | .process.terminal = false | $filter" \
		"$1/config.json" >"$1/config.json.new"
	mv "$1/config.json.new" "$1/config.json"
}

# sh_args SCRIPT: a jq filter that makes the process run the script
sh_args() { printf '.process.args = ["/bin/sh", "-c", %s]' "$(jq -Rs . <<<"$1")"; }

# run_bundle ID JQ-FILTER: make a bundle and run it in the foreground
run_bundle() {
	make_bundle "$BATS_TEST_TMPDIR/$1" "$2"
	run oci run --bundle "$BATS_TEST_TMPDIR/$1" "$1"
}

# start_bundle ID JQ-FILTER: the same in the background
start_bundle() {
	make_bundle "$BATS_TEST_TMPDIR/$1" "$2"
	oci run --detach --bundle "$BATS_TEST_TMPDIR/$1" "$1" </dev/null >"$BATS_TEST_TMPDIR/$1.out" 2>&1
}

# wait_for COMMAND...: until it succeeds, 10 seconds at most
wait_for() {
	for _ in $(seq 200); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.05
	done
	return 1
}
