#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# hull disk beside qemu-img and qemu-io: the same bytes, and nothing for qemu-img check to find

load common

setup_file() { setup_hull; }
teardown_file() { teardown_hull; }
setup() {
	need qemu-img
	need qemu-io
	need python3
	cd "$BATS_TEST_TMPDIR" || return 1
	RANDOM_OPS=$BATS_TEST_DIRNAME/disk_random.py
}

# content FILE MiB: bytes that do not repeat, with holes
content() {
	dd if=/dev/urandom of="$1" bs=1M count="$2" status=none
	dd if=/dev/zero of="$1" bs=64k seek=5 count=7 conv=notrunc status=none
}

# same_disk A FORMAT-A B FORMAT-B: qemu-img and hull both say so
same_disk() {
	qemu-img compare -f "$2" -F "$4" "$1" "$3" >/dev/null && "$HULL" disk compare -q -f "$2" -F "$4" "$1" "$3"
}

random_both() {
	local folder=$BATS_TEST_TMPDIR/r$1$2${4-}
	mkdir "$folder"
	python3 "$RANDOM_OPS" both "$HULL" "$folder" "$@"
	rm -rf "$folder"
}

@test "hull and qemu-io take turns on one image: every cluster size, versions 2 and 3" {
	for cluster in 512 2048 65536 2097152; do
		random_both "$cluster" 1.1 2
		random_both "$cluster" 0.10 1
	done
}

@test "hull and qemu-io take turns on an image with a backing file" {
	random_both 4096 1.1 1 raw
	random_both 65536 1.1 2 qcow2
	random_both 65536 0.10 1 qcow2
}

@test "kill -9 at any moment leaves an image that qemu-img check finds nothing in, and what was flushed" {
	mkdir k3 k2
	python3 "$RANDOM_OPS" kill "$HULL" k3 65536 1.1 60
	python3 "$RANDOM_OPS" kill "$HULL" k2 4096 0.10 40
}

@test "create makes what qemu-img info describes alike" {
	for o in cluster_size=512 cluster_size=2M compat=0.10 refcount_bits=1 refcount_bits=64,cluster_size=4k lazy_refcounts=on compression_type=zstd; do
		"$HULL" disk create -q -f qcow2 -o "$o" a.qcow2 100M
		qemu-img create -q -f qcow2 -o "$o" b.qcow2 100M
		qemu-img check -q a.qcow2
		for f in a b; do qemu-img info --output=json $f.qcow2 | jq 'del(.filename, ."actual-size")' >$f.json; done
		diff a.json b.json
		"$HULL" disk info --json a.qcow2 | jq -S 'del(.filename, ."actual-size")' >c.json
		jq -S . a.json | diff - c.json
	done
}

@test "convert reads what qemu-img compressed, and writes what qemu-img reads" {
	content src.raw 8
	qemu-img convert -c -O qcow2 src.raw zlib.qcow2
	qemu-img convert -c -O qcow2 -o compression_type=zstd,cluster_size=2M src.raw zstd.qcow2
	qemu-img convert -c -O qcow2 -o cluster_size=512 src.raw small.qcow2
	for f in zlib zstd small; do
		same_disk src.raw raw $f.qcow2 qcow2
		"$HULL" disk convert -O raw $f.qcow2 out.raw
		cmp src.raw out.raw
		"$HULL" disk convert $f.qcow2 out.qcow2
		qemu-img check -q out.qcow2
		same_disk src.raw raw out.qcow2 qcow2
		"$HULL" disk io $f.qcow2 'write 100000 5000 7' 'discard 0 2M' # over compressed clusters
		qemu-img check -q $f.qcow2
	done
	[ "$(du -k out.qcow2 | cut -f1)" -lt 8192 ] # the zeroes are not in it
}

@test "commit, rebase and a chain of backing files agree with qemu-img" {
	content base.raw 4
	"$HULL" disk create -q -b base.raw -F raw mid.qcow2
	"$HULL" disk io mid.qcow2 'write 1M 100k 1' 'zero 2M 64k'
	qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2 6M
	qemu-io -c 'write -P 2 3M 10k' -c 'write -P 3 5M 4k' top.qcow2 >/dev/null
	cp top.qcow2 top2.qcow2
	"$HULL" disk convert -O raw top.qcow2 want.raw
	qemu-img compare want.raw top.qcow2
	"$HULL" disk rebase -b base.raw -F raw top.qcow2
	qemu-img check -q top.qcow2
	same_disk want.raw raw top.qcow2 qcow2
	"$HULL" disk rebase -b '' top.qcow2
	run qemu-img info top.qcow2
	[[ "$output" != *backing* ]]
	same_disk want.raw raw top.qcow2 qcow2
	"$HULL" disk commit top2.qcow2
	qemu-img check -q mid.qcow2
	same_disk want.raw raw mid.qcow2 qcow2
	same_disk want.raw raw top2.qcow2 qcow2
	[ "$("$HULL" disk info --json mid.qcow2 | jq '."virtual-size"')" = $((6 << 20)) ]
	"$HULL" disk commit mid.qcow2
	same_disk want.raw raw base.raw raw
	"$HULL" disk rebase -u -b other.raw -F raw top2.qcow2
	[ "$(qemu-img info --output=json top2.qcow2 | jq -r '."backing-filename"')" = other.raw ]
}

@test "snapshots of hull and of qemu-img are each other's" {
	"$HULL" disk create -q a.qcow2 8M
	"$HULL" disk io a.qcow2 'write 0 1M 1'
	"$HULL" disk snapshot -c one a.qcow2
	"$HULL" disk io a.qcow2 'write 512k 1M 2'
	qemu-img snapshot -c two a.qcow2
	"$HULL" disk io a.qcow2 'write 0 8M 3'
	[ "$("$HULL" disk snapshot a.qcow2 | awk 'NR > 1 { print $2 }' | paste -sd,)" = one,two ]
	[ "$(qemu-img snapshot -l a.qcow2 | awk 'NR > 2 { print $2 }' | paste -sd,)" = one,two ]
	qemu-img snapshot -a one a.qcow2
	"$HULL" disk io a.qcow2 'read 0 1M 1' 'read 1M 7M 0'
	"$HULL" disk snapshot -a two a.qcow2
	qemu-img check -q a.qcow2
	qemu-io -c 'read -P 1 0 512k' -c 'read -P 2 512k 1M' a.qcow2 >/dev/null
	"$HULL" disk snapshot -d one a.qcow2
	qemu-img check -q a.qcow2
	qemu-img snapshot -d two a.qcow2
	"$HULL" disk check a.qcow2
	run "$HULL" disk snapshot -a none a.qcow2
	[ "$status" -eq 1 ]
	[ "$output" = "hull: no snapshot 'none'" ]
}

@test "resize grows with zeroes and shrinks only when told" {
	"$HULL" disk create -q a.qcow2 1M
	"$HULL" disk io a.qcow2 'write 0 1M 9'
	"$HULL" disk resize a.qcow2 +3M
	qemu-io -c 'read -P 9 0 1M' -c 'read -P 0 1M 3M' a.qcow2 >/dev/null
	run "$HULL" disk resize a.qcow2 512k
	[ "$status" -eq 1 ]
	[[ "$output" == *"say --shrink"* ]]
	"$HULL" disk resize --shrink a.qcow2 520k
	"$HULL" disk resize a.qcow2 50G
	qemu-img check -q a.qcow2
	"$HULL" disk io a.qcow2 'read 0 520k 9' 'read 520k 1M 0'
}

@test "check finds and repairs what qemu-img check finds" {
	"$HULL" disk create -q a.qcow2 8M
	"$HULL" disk io a.qcow2 'write 0 1M 1'
	printf '\0\3' | dd of=a.qcow2 bs=1 seek=$((131072 + 12)) conv=notrunc status=none # cluster 6: refcount 3
	printf '\0\0' | dd of=a.qcow2 bs=1 seek=$((131072 + 14)) conv=notrunc status=none # cluster 7: 0
	printf '\0\1' | dd of=a.qcow2 bs=1 seek=$((131072 + 100)) conv=notrunc status=none # cluster 50: leaked
	run "$HULL" disk check a.qcow2
	[ "$status" -eq 2 ]
	[[ "$output" == *"ERROR cluster 7 refcount=0 reference=1"* ]]
	[[ "$output" == *"ERROR OFLAG_COPIED"* ]]
	"$HULL" disk check -r all a.qcow2
	qemu-img check -q a.qcow2
	"$HULL" disk check a.qcow2
	"$HULL" disk io a.qcow2 'read 0 1M 1'
}

@test "what qemu left dirty is counted anew when it is opened for writing" {
	"$HULL" disk create -q -o lazy_refcounts=on a.qcow2 8M
	qemu-io -c 'write -P 5 0 1M' -c 'flush' -c 'sigraise 9' a.qcow2 >/dev/null 2>&1 || true
	qemu-img info a.qcow2 | grep -q 'cleanly shut down: no'
	"$HULL" disk io a.qcow2 'write 4M 64k 6' 'read 0 1M 5'
	qemu-img check -q a.qcow2
	qemu-io -c 'read -P 5 0 1M' -c 'read -P 6 4M 64k' a.qcow2 >/dev/null
}

@test "what hull does not do is refused by name, with one line" {
	qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=128k x.qcow2 1M
	for _ in 1 2 3 4 5; do # it times itself, and gives up where the machine is too busy
		qemu-img create -q -f qcow2 --object secret,id=s,data=x \
			-o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 y.qcow2 1M && break
	done
	qemu-img create -q -f qcow2 -o data_file=z.data z.qcow2 1M
	"$HULL" disk create -q u.qcow2 1M
	printf '\x20' | dd of=u.qcow2 bs=1 seek=79 conv=notrunc status=none
	for f in "x:extended L2" "y:encryption" "z:another file" "u:incompatible feature 5"; do
		run "$HULL" disk info "${f%%:*}.qcow2"
		[ "$status" -eq 1 ]
		[ "${#lines[@]}" -eq 1 ]
		[[ "$output" == *"${f#*:}"* ]]
	done
}

@test "a format is not guessed from what a guest may have written" {
	"$HULL" disk create -q -f qcow2 disk.img 1M
	run "$HULL" disk info disk.img
	[ "$status" -eq 1 ]
	[[ "$output" == *"say -f qcow2 or -f raw"* ]]
	"$HULL" disk info -f qcow2 disk.img
	"$HULL" disk info -f raw disk.img
}

@test "an image that is open for writing is not opened a second time" {
	"$HULL" disk create -q a.qcow2 1M
	mkfifo in
	"$HULL" disk io a.qcow2 <in >said &
	exec 7>in
	echo 'say there' >&7
	wait_for grep -q there said
	run "$HULL" disk io a.qcow2 'write 0 512 1'
	exec 7>&-
	wait
	[ "$status" -eq 1 ]
	[[ "$output" == *"another process has the image open"* ]]
	"$HULL" disk io a.qcow2 'write 0 512 1'
}

@test "compare tells where disks differ" {
	"$HULL" disk create -q a.raw 4M
	"$HULL" disk create -q b.qcow2 4M
	"$HULL" disk compare a.raw b.qcow2
	"$HULL" disk io b.qcow2 'write 3M 1 1'
	run "$HULL" disk compare a.raw b.qcow2
	[ "$status" -eq 1 ]
	[ "$output" = "The disks differ at byte 3145728." ]
	run "$HULL" disk compare a.raw none
	[ "$status" -eq 2 ]
}
