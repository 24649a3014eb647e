# SPDX-License-Identifier: Apache-2.0
# Firecracker's API: each row of its table, taken and refused, before and while a machine runs. firecracker_api.py holds the rows.
bats_require_minimum_version 1.5.0
load common

# section NAME: one section of the script, its complaints shown
section() {
	need python3
	run python3 "$BATS_TEST_DIRNAME/firecracker_api.py" "$HULL" "$1"
	[ "$status" != 77 ] || skip "${output#\# skip: }"
	[ "$status" = 0 ] || { echo "$output"; return 1; }
}

@test "the server keeps to its rules of HTTP: form, pipelining, Expect, limits, ten connections" { section server; }
@test "paths, methods, ids and bodies that are wrong are refused with 400 and a fault_message" { section routing; }
@test "what needs a running machine is refused before the start" { section states; }
@test "machine-config, boot-source and cpu-config take and refuse what they should" { section machine; }
@test "drives and pmem take and refuse what they should" { section disks; }
@test "balloon, vsock, entropy, serial and memory hot-plug take and refuse what they should" { section devices; }
@test "network interfaces and the metadata service's configuration take and refuse what they should" { section net; }
@test "the metadata store puts, merges and has a limit" { section mmds; }
@test "logger and metrics have their files, levels and forms" { section logs; }
@test "snapshot/load refuses what it should, and ends the process when it fails" { section snapshots; }
@test "flags and exit codes are Firecracker's" { section flags; }
@test "a configuration file that is wrong in any way ends with 152" { section config_file; }
@test "the jailer leaves the program nothing but its jail, and follows no planted link" { section jailer; }
@test "the jailer makes cgroups and puts the program there" { section jailer_cgroup; }
@test "a guest waits for its debugger" { section debugged; }
@test "a machine starts, pauses, resumes, gets keys and ends, with the states and refusals of each" { section life; }
@test "a start that failed can be put right" { section restart; }
@test "a configuration file makes a machine, also in the jailer's jail" { section from_file; }
@test "cards have their limits changed and their frames counted while a machine runs" { section cards; }
@test "what is configured is there, or the start is refused" { section pieces; }
@test "snapshots are made and loaded, paused and running, and a damaged one ends the process" { section snap_and_load; }
@test "drives and pmem get other files and limits while a machine runs" { section disks_running; }
@test "the balloon and memory hot-plug are there while a machine runs, and ask for a driver" { section memory_running; }
@test "named processor templates start on the kind of processor they are for" { section templates; }
