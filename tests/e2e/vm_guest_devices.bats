#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Each virtio device, driven by a small guest of ours over every form of ring, behind registers and on PCI.

load common

setup_file() {
	setup_hull
	export GUESTS
	GUESTS=$(dirname "$HULL")/guest
	[ -x "$GUESTS/hello" ] || { echo "no guests: make guests" >&2; return 1; }
}
teardown_file() { teardown_hull; }

setup() { [ -w /dev/kvm ] || skip "no /dev/kvm, and no other engine yet"; }

# A guest ends by itself; this is for one that hangs, and far from what a sanitizer's build on a busy machine takes.
GUEST_MAX_S=120

RINGS=('' noevent packed indirect 'packed indirect' poll
	pci 'pci noevent ports' 'pci packed move' 'pci indirect shared' 'pci packed indirect' 'pci poll')

# transport CMDLINE: the option that goes with the word "pci" in it
transport() { [[ " $1 " != *' pci '* ]] || echo --pci; }

# guest NAME [CMDLINE [OPTIONS]]
guest() {
	local name=$1 line=${2-}
	shift
	[ $# = 0 ] || shift
	# shellcheck disable=SC2046  # no word or one
	run timeout "$GUEST_MAX_S" "$HULL" vm run --kernel "$GUESTS/$name" --cmdline "$line" $(transport "$line") "$@" </dev/null
	[[ $output != *"not there yet"* ]] || skip "$output"
}

# is LINE...: the output is exactly these lines
is() {
	local want
	want=$(printf '%s\n' "$@")
	[ "$output" = "$want" ] || { printf 'want:\n%s\ngot (%s):\n%s\n' "$want" "$status" "$output"; return 1; }
}

# wait_for FILE TEXT: until a background guest has said it
wait_for() {
	local end=$((SECONDS + GUEST_MAX_S))
	while ((SECONDS < end)); do
		! grep -q "$2" "$1" 2>/dev/null || return 0
		sleep 0.05
	done
	cat "$1"
	return 1
}

@test "the virtio console talks both ways, over every form of ring" {
	local line
	for line in "${RINGS[@]}"; do
		guest console "$line" --virtio-console
		is console && [ "$status" = 0 ] || { echo "$line: $status"; return 1; }
	done
	run timeout "$GUEST_MAX_S" "$HULL" vm run --kernel "$GUESTS/console" --cmdline echo --virtio-console \
		< <(printf 'one\ntwo\nquit\n')
	is console one two && [ "$status" = 0 ]
}

@test "random numbers come, over every form of ring" {
	local line
	for line in "${RINGS[@]}"; do
		guest rng "$line" --rng
		is 'rng gives' different '100 more, interrupts came'
	done
}

# make_disk FILE: 2 MiB, each sector begins with its number
make_disk() {
	python3 -c 'import struct, sys
open(sys.argv[1], "wb").write(b"".join(struct.pack("<Q", i) + bytes(504) for i in range(4096)))' "$1"
}

@test "a disk reads, writes, flushes and zeroes, over every form of ring" {
	local line
	make_disk "$HULL_TMP/disk.same"
	for line in "${RINGS[@]}"; do
		cp "$HULL_TMP/disk.same" "$HULL_TMP/disk"
		guest blk "$line" --disk "$HULL_TMP/disk"
		[ "$status" = 0 ] || { echo "$line: $output"; return 1; }
		[ "${lines[0]}" = '4096 sectors' ]
		[ "${lines[1]}" = '320 of 320 reads right' ]
		[ "${lines[2]}" = 'write 0, flush 0' ]
		[ "${lines[3]}" = 'read 0, the same' ]
		[[ "$output" == *'zeroes 0, gone'*'code from the disk: 30 of 30 right'*'beyond the end: status 1'*'unknown request: status 2'*'interrupts came'* ]]
	done
	cp "$HULL_TMP/disk.same" "$HULL_TMP/disk"
	guest blk '' --disk "$HULL_TMP/disk,ro"
	[[ "$output" == *'4096 sectors, read-only'*'320 of 320 reads right'*'read-only disk: status 1'* ]]
	cmp "$HULL_TMP/disk" "$HULL_TMP/disk.same"
}

@test "a guest reaches a socket of the host, and is refused where there is none" {
	local line
	need socat
	socat "UNIX-LISTEN:$HULL_TMP/vs_1000,fork" EXEC:/bin/cat 3>&- &
	SOCAT=$!
	for ((i = 0; i < GUEST_MAX_S * 20; i++)); do [ ! -S "$HULL_TMP/vs_1000" ] || break; sleep 0.05; done
	for line in "${RINGS[@]}"; do
		guest vsock "connect=1000 $line" --vsock "5,uds=$HULL_TMP/vs"
		is 'cid 5' 'answer ping' closed || { kill $SOCAT; return 1; }
	done
	kill $SOCAT
	guest vsock connect=1001 --vsock "5,uds=$HULL_TMP/vs"
	is 'cid 5' refused && [ "$status" = 1 ]
}

@test "the host reaches a port of the guest, and 64 KiB come back as they went" {
	need socat
	"$HULL" vm run --kernel "$GUESTS/vsock" --vsock "5,uds=$HULL_TMP/vs" --cmdline listen=77 </dev/null \
		>"$HULL_TMP/out" 2>&1 3>&- &
	wait_for "$HULL_TMP/out" listening
	head -c 65536 /dev/urandom >"$HULL_TMP/data"
	{
		printf 'CONNECT 77\n'
		cat "$HULL_TMP/data"
		sleep 1
	} | timeout 10 socat -t 5 - "UNIX-CONNECT:$HULL_TMP/vs" >"$HULL_TMP/back"
	wait_for "$HULL_TMP/out" '65536 bytes'
	head -1 "$HULL_TMP/back" | grep -q '^OK '
	tail -n +2 "$HULL_TMP/back" | cmp - "$HULL_TMP/data"
}

@test "two machines on a switch exchange frames" {
	local line
	mkdir -p "$HULL_TMP/sw"
	for line in '' packed 'bytes=1514' pci 'pci packed'; do
		# shellcheck disable=SC2046  # no word or one
		"$HULL" vm run $(transport "$line") --kernel "$GUESTS/net" --net "switch=$HULL_TMP/sw" --cmdline "role=pong $line" </dev/null \
			>"$HULL_TMP/pong" 2>&1 3>&- &
		wait_for "$HULL_TMP/pong" ready
		guest net "role=ping $line" --net "switch=$HULL_TMP/sw"
		is '50 frames, 50 right'
		wait_for "$HULL_TMP/pong" '50 frames, 50 right'
	done
}

@test "a disk and a network card interrupt through a split controller as well" {
	[ "${HULL_ENGINE-}" != bt ] || skip "bt has all of the controller itself"
	local line
	mkdir -p "$HULL_TMP/sw"
	make_disk "$HULL_TMP/disk"
	for line in '' packed pci; do
		guest blk "$line" --disk "$HULL_TMP/disk,ro" --irqchip split
		[[ "$output" == *'320 of 320 reads right'*'interrupts came'* ]] || { echo "$line: $output"; return 1; }
		# shellcheck disable=SC2046  # no word or one
		"$HULL" vm run $(transport "$line") --kernel "$GUESTS/net" --net "switch=$HULL_TMP/sw" --cmdline "role=pong $line" \
			--irqchip split </dev/null >"$HULL_TMP/pong" 2>&1 3>&- &
		wait_for "$HULL_TMP/pong" ready
		guest net "role=ping $line" --net "switch=$HULL_TMP/sw" --irqchip split
		is '50 frames, 50 right'
		wait_for "$HULL_TMP/pong" '50 frames, 50 right'
	done
}

@test "a guest reads and writes a shared directory, and nothing beside it" {
	local line share=$HULL_TMP/share
	mkdir -p "$share"
	echo content >"$share/f"
	echo outside >"$HULL_TMP/up"
	for line in "${RINGS[@]}"; do
		rm -f "$share/made"
		guest fs "file=f $line" --share "$share:the-tag"
		is "tag 'the-tag', init: error 0, version 7" 'f: 8 bytes, error 0: content' 'missing: error -2' \
			'../up: refused' 'create: error 0' 'write: error 0, 8 bytes'
		[ "$(cat "$share/made")" = 'by guest' ]
	done
	rm "$share/made"
	guest fs file=f --share "$share:the-tag:ro"
	[[ "$output" == *'f: 8 bytes, error 0: content'*'create: error -30'* ]]
	[ ! -e "$share/made" ]
}

@test "a balloon takes pages and gives them back" {
	local line
	for line in "${RINGS[@]}"; do
		guest balloon "$line" --balloon 16
		is 'wants 4096 pages' 'gave 4096' 'took back, 0 wrong'
	done
}

@test "persistent memory is the file: what a guest writes and flushes is in it, and a read-only one stays as it is" {
	local line
	for line in "${RINGS[@]}"; do
		printf 'from the host' >"$HULL_TMP/pmem"
		truncate -s 3M "$HULL_TMP/pmem"
		guest pmem "$line" --pmem "$HULL_TMP/pmem"
		is "4 MiB, 'from the host'" 'flush 0' 'unknown request 1' 'past the end of the file: 0' && [ "$status" = 0 ]
		[ "$(head -c 14 "$HULL_TMP/pmem" | tr -d '\0')" = 'from the guest' ]
		[ "$(stat -c %s "$HULL_TMP/pmem")" = 3145728 ]
	done
	printf 'from the host' >"$HULL_TMP/pmem"
	truncate -s 2M "$HULL_TMP/pmem"
	guest pmem 'pci ro' --pmem "$HULL_TMP/pmem,ro"
	is "2 MiB, 'from the host'" 'flush 0' 'unknown request 1'
	[ "$(head -c 13 "$HULL_TMP/pmem")" = 'from the host' ]
}

@test "the last of many disks on the PCI bus works" {
	local i disks=()
	make_disk "$HULL_TMP/disk"
	for ((i = 0; i < 15; i++)); do disks+=(--disk "$HULL_TMP/disk,ro"); done
	guest blk 'pci nth=14' "${disks[@]}" --rng --virtio-console
	[[ "$output" == *'320 of 320 reads right'* ]]
}
