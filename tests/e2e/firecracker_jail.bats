# SPDX-License-Identifier: Apache-2.0
# The two processes of `hull firecracker`: what the machine's still has while a guest runs, and how the two end. Rows in firecracker_api.py.
bats_require_minimum_version 1.5.0
load common

section() {
	need python3
	run python3 "$BATS_TEST_DIRNAME/firecracker_api.py" "$HULL" "$1"
	[ "$status" != 77 ] || skip "${output#\# skip: }"
	[ "$status" = 0 ] || { echo "$output"; return 1; }
}

@test "the machine's process is filtered, without powers, in an empty root, and gets files only as requests name them" { section jailed; }
@test "however one of the two processes ends, the other does, with the status that says why" { section deaths; }
@test "what a device that comes while a guest runs needs is opened as its request says" { section hotplug_files; }
