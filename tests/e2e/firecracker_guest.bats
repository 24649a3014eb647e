# SPDX-License-Identifier: Apache-2.0
# Firecracker's API with guests that have drivers: what comes and goes while they run, and snapshots in the middle of their work.
bats_require_minimum_version 1.5.0
load common

# section NAME: one section of firecracker_api.py, its complaints shown
section() {
	need python3
	run python3 "$BATS_TEST_DIRNAME/firecracker_api.py" "$HULL" "$1"
	[ "$status" != 77 ] || skip "${output#\# skip: }"
	[ "$status" = 0 ] || { echo "$output"; return 1; }
}

@test "drives and pmem come and go on PCI while the guest runs, and it uses them" { section hotplug; }
@test "a card comes and goes on PCI" { section hotplug_net; }
@test "memory is plugged and unplugged by a guest with a driver, also through a snapshot" { section plugged_memory; }
@test "a guest works on through snapshots with timer, disk and floating point, and has another generation" { section working_on; }
