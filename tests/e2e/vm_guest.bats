#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Small guests of our own in a machine: each prints the same on every engine.

load common

setup_file() {
	setup_hull
	export GUESTS
	GUESTS=$(dirname "$HULL")/guest
	[ -x "$GUESTS/hello" ] || { echo "no guests: make guests" >&2; return 1; }
}
teardown_file() { teardown_hull; }

setup() { [ -w /dev/kvm ] || skip "no /dev/kvm, and no other engine yet"; }

# guest NAME [CMDLINE [OPTIONS]]: run one, its output in $output, what hull itself says in $said
guest() {
	local name=$1 line=${2-}
	shift
	[ $# = 0 ] || shift
	run timeout 20 "$HULL" vm run --kernel "$GUESTS/$name" --cmdline "$line" "$@" </dev/null
}

# is LINE...: the output is exactly these lines
is() {
	local want
	want=$(printf '%s\n' "$@")
	[ "$output" = "$want" ] || { printf 'want:\n%s\ngot (%s):\n%s\n' "$want" "$status" "$output"; return 1; }
}

@test "a guest's output is hull's, and its exit status too" {
	guest hello
	is hello && [ "$status" = 0 ]
	guest hello status=7
	is hello && [ "$status" = 7 ]
}

@test "each boot protocol tells command line, memory, initramfs and ACPI alike" {
	local name tell
	printf '0123456789' >"$HULL_TMP/initrd"
	tell=("cmdline 'a=b c'" 'map 0x0 0x9fc00 1' 'map 0x9fc00 0x60400 2' 'map 0x100000 0x1f00000 1'
		'initrd 10 bytes, sum 525' 'acpi found, sum 0')
	for name in entry:pvh entry-linux64:linux64 entry-multiboot:multiboot; do
		guest "${name%:*}" 'a=b c' --memory 32m --initrd "$HULL_TMP/initrd"
		is "entry ${name#*:}" "${tell[@]}"
		[ "$status" = 0 ]
	done
}

@test "a bzImage of each compression is the kernel inside it" {
	local kind
	"$BATS_TEST_DIRNAME/../guest/mkbzimage" "$GUESTS/entry" "$HULL_TMP/bz" gzip xz zstd lz4
	for kind in gzip xz zstd lz4; do
		run timeout 20 "$HULL" vm run --kernel "$HULL_TMP/bz.$kind" --cmdline x --memory 32m </dev/null
		[ "$status" = 0 ] || { echo "$kind: $output"; return 1; }
		[ "${lines[0]}" = "entry linux64" ]
		[ "${lines[1]}" = "cmdline 'x'" ]
	done
}

@test "what is no kernel is refused in one line" {
	echo text >"$HULL_TMP/text"
	run timeout 20 "$HULL" vm run --kernel "$HULL_TMP/text" </dev/null
	[ "$status" != 0 ]
	[ "${#lines[@]}" = 1 ]
	[[ "$output" == *"neither an ELF nor a bzImage nor a multiboot kernel"* ]]
	guest hello "$(printf 'x%.0s' {1..2048})"
	[ "$status" != 0 ]
	[[ "$output" == *"command line: 2048 bytes, at most 2047"* ]]
}

@test "memory is what the map says, beyond 3 GiB as well" {
	guest memory '' --memory 64m
	is '63 MiB and 639 KiB' 'bad words 0'
	guest memory '' --memory 3500m
	is '3499 MiB and 639 KiB' 'bad words 0'
}

@test "CPUID shows a virtual machine and nothing that a snapshot cannot carry" {
	guest cpuid '' --cpus 2
	is 'hypervisor KVMKVMKVM' 'hypervisor bit yes' 'x2apic yes' 'vmx or svm no' 'pku or la57 no' 'long mode yes' \
		'state fits yes' 'apic id 0 of leaf 1, 0 of leaf b' 'processors 2'
	guest cpuid '' --cpu pentium
	[ "$status" != 0 ]
	[[ "$output" == *"cpu model 'pentium': want host, x86-64-v2"* ]]
}

@test "1, 2 and 4 processors start, and reach each other" {
	local n cpu want
	for n in 1 2 4; do
		want=()
		for ((cpu = 1; cpu < n; cpu++)); do want+=("cpu $cpu: apic id $cpu, sum right"); done
		for ((cpu = 1; cpu < n; cpu++)); do want+=("cpu $cpu: 20 pings"); done
		guest smp "cpus=$n" --cpus "$n"
		is "${want[@]}" "$n processors, $(((n - 1) * 20)) pongs"
	done
	guest smp 'cpus=2 xapic' --cpus 2
	is 'cpu 1: apic id 1, sum right' 'cpu 1: 20 pings' '2 processors, 20 pongs'
}

@test "code that is written while it is used is what runs, on either processor" {
	local engine
	for engine in kvm bt; do
		guest code cpus=2 --cpus 2 --engine "$engine"
		[[ "$output" != *"engine '$engine':"* ]] || continue
		is 'written and run: 300 of 300' 'beside data: 300 of 300' 'written here, run there: 300 of 300'
	done
}

@test "the local timer works in each of its modes, by MSR and by memory" {
	local line
	for line in '' xapic; do
		guest timer "$line"
		is 'one-shot: 1' 'periodic: enough' 'deadline: 1, not early' 'deadline in the past: 1' \
			'interrupts ring 3: 1' 'masked: 0'
	done
}

@test "the serial port interrupts, and takes input" {
	guest serial
	is 'scratch 0x5a' 'line status idle yes' 'transmit interrupt, cause 2'
	run timeout 20 "$HULL" vm run --kernel "$GUESTS/serial" --cmdline echo \
		< <(printf 'abc\nhello world\nquit\n')
	is 'scratch 0x5a' 'line status idle yes' 'transmit interrupt, cause 2' "got 'abc'" "got 'hello world'"
	[ "$status" = 0 ]
}

@test "a level-triggered interrupt comes until its line is down" {
	local engine
	for engine in kvm bt; do
		run timeout 20 "$HULL" vm run --kernel "$GUESTS/serial" --cmdline level --engine "$engine" < <(printf x; sleep 2)
		[[ "$output" != *"engine '$engine':"* ]] || continue
		is 'scratch 0x5a' 'line status idle yes' 'transmit interrupt, cause 2' 'level: until it was down'
	done
}

@test "with a split interrupt controller guests print the same" {
	[ "${HULL_ENGINE-}" != bt ] || skip "bt has all of the controller itself"
	guest timer '' --irqchip split
	is 'one-shot: 1' 'periodic: enough' 'deadline: 1, not early' 'deadline in the past: 1' 'interrupts ring 3: 1' 'masked: 0'
	guest smp cpus=2 --cpus 2 --irqchip split
	is 'cpu 1: apic id 1, sum right' 'cpu 1: 20 pings' '2 processors, 20 pongs'
	run timeout 20 "$HULL" vm run --kernel "$GUESTS/serial" --cmdline echo --irqchip split < <(printf 'abc\nquit\n')
	is 'scratch 0x5a' 'line status idle yes' 'transmit interrupt, cause 2' "got 'abc'"
	guest hello '' --irqchip none
	[ "$status" != 0 ]
	[[ "$output" == *'invalid argument "none" for --irqchip: want kernel or split'* ]]
	guest hello '' --irqchip split --engine bt
	[ "$status" != 0 ]
	[[ "$output" == *'no split interrupt controller'* ]]
}

@test "each way to end ends the machine, and hull says how" {
	local how
	for how in i8042 acpi off; do
		guest reset "how=$how"
		is ending && [ "$status" = 0 ] || { echo "$how: $status"; return 1; }
	done
	guest reset how=triple
	is ending 'hull: the guest ended: a triple fault' && [ "$status" = 1 ]
	guest reset how=panic
	[[ "$output" == "ending"*"kernel panicked"* ]] && [ "$status" = 1 ]
	guest reset how=exception
	[[ "$output" == "panic: vector 14, code 0x2, rip 0x"*"cr2 0xffff800000000000, cs 0x8" ]] && [ "$status" = 99 ]
}
