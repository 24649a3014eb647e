#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Debian's gdb at a machine (--gdb): small guests on each engine, Debian's kernel on bt

load common
load vm_named

setup() {
	GUEST=${GUEST_DIR:-$(dirname "$HULL")/guest}
	[ -x "$GUEST/count" ] || skip "the guests are not built (make guests)"
	cd "$BATS_TEST_TMPDIR" || return 1
	[ -n "$(engines)" ] || skip "no engine here"
}

# Engines that can run here.
engines() {
	local name
	for name in kvm bt; do
		"$HULL" engine list -q 2>/dev/null | grep -qx "$name" && echo "$name"
	done
	return 0
}

# debugged NAME OPTIONS...: the guest in the background, waiting for its debugger at ./gdb; its output in ./out, its status in ./status
debugged() {
	local guest=$1
	shift
	rm -f out status
	(
		status=0
		timeout 60 "$HULL" vm run --kernel "$guest" --gdb gdb,wait "$@" </dev/null >out 2>&1 || status=$?
		echo "$status" >status
	) 3>&- &
	wait_for test -S gdb
}

# gdb_do FILE COMMAND...: what gdb says
gdb_do() {
	local file=$1 args=()
	shift
	for line; do args+=(-ex "$line"); done
	timeout 60 gdb -q -nx -batch "$file" -ex 'set pagination off' -ex 'set confirm off' -ex 'target remote gdb' "${args[@]}" >said 2>&1 </dev/null 3>&- ||
		{ cat said; return 1; }
}

says() { grep -qE -- "$1" said || { echo "not said: $1"; cat said; return 1; }; }
ended() { wait_for test -s status && [ "$(cat status)" = "$1" ] || { cat out status; return 1; }; }

@test "gdb: a guest waits, stops at a symbol, is read, written and stepped, and goes on to its end" {
	need gdb
	local engine
	for engine in $(engines); do
		echo "on $engine"
		debugged "$GUEST/hello" --engine "$engine" --cmdline status=7
		sleep 0.3
		[ ! -s out ]
		gdb_do "$GUEST/hello" 'p $cr0 & 0x80000000' 'break guest_main' 'c' 'p/x $rip' 'p/x (long)&guest_main' 'p $efer & 0x400' \
			'x/s (char *)$rsp - 8' 'set $r15 = 0x1234' 'stepi' 'p/x $r15' 'p $rip > (long)&guest_main' \
			'set var *(int *)0x8000 = 77' 'p *(int *)0x8000' 'p *(int *)0xffff800000000000' 'set $xmm3.uint128 = 5' 'p $xmm3.uint128' \
			'p $fs_base' 'hbreak print' 'c' 'x/s $rdi' 'p $_thread' 'finish' 'p $mxcsr' 'p $fctrl' 'c'
		says '^\$1 = 0$'
		says '^Breakpoint 1, 0x[0-9a-f]* in guest_main'
		[ "$(sed -n 's/^\$2 = //p' said)" = "$(sed -n 's/^\$3 = //p' said)" ]
		says '^\$4 = 1024$'
		says '^\$5 = 0x1234$'
		says '^\$6 = 1$'
		says '^\$7 = 77$'
		says 'Cannot access memory at address 0xffff800000000000'
		says '^\$8 = 5$'
		says '^Breakpoint 2, 0x[0-9a-f]* in print'
		says '"hello\\n"'
		says '^\$[0-9]* = 895$' # the x87 control word as FNINIT leaves it
		says 'exited with code 07'
		[ "$(cat out)" = hello ]
		ended 7
	done
}

@test "gdb: a loop runs into its breakpoint again and again, and on when it is gone" {
	need gdb
	local engine
	for engine in $(engines); do
		echo "on $engine"
		debugged "$GUEST/count" --engine "$engine"
		gdb_do "$GUEST/count" 'break tick' 'c' 'p (long)ticks' 'c' 'p (long)ticks' 'c' 'p (long)ticks' 'bt' 'delete' 'stepi 20' 'kill'
		says '^\$1 = 0$'
		says '^\$2 = 1$'
		says '^\$3 = 2$'
		ended 137
	done
}

@test "gdb: a store to memory that is watched stops the machine" {
	need gdb
	local engine
	for engine in $(engines); do
		echo "on $engine"
		debugged "$GUEST/count" --engine "$engine"
		gdb_do "$GUEST/count" 'break tick' 'c' 'delete' 'watch *(long *)&ticks' 'c' 'set can-use-hw-watchpoints 0' 'delete' \
			'watch *(long *)&ticks' 'c' 'bt' 'kill'
		if grep -q 'Could not insert hardware watchpoint' said; then # gdb can step and compare
			[ "$engine" = kvm ]
			says '^Watchpoint 3: '
		fi
		says '^Old value = 0$'
		says '^New value = 1$'
		says '^#0 .* in tick '
		ended 137
	done
	engines | grep -qx bt || skip "no bt engine here"
	debugged "$GUEST/count" --engine bt
	gdb_do "$GUEST/count" 'watch *(long *)&ticks' 'c' 'c' 'p (long)ticks' 'bt' 'delete' 'rwatch *(long *)&ticks' 'c' 'kill'
	says 'Hardware watchpoint 1'
	says '^New value = 1$'
	says '^New value = 2$'
	says '^#0 .* in tick '
	says 'Hardware read watchpoint 2'
	says '^Value = 2$'
	ended 137
}

@test "gdb: ring 3 stops and steps, or a step there is refused" {
	need gdb
	local engine
	if engines | grep -qx bt; then
		debugged "$GUEST/smp" --engine bt --cpus 2 --cmdline cpus=2
		gdb_do "$GUEST/smp" 'break work' 'c' 'p $cs & 3' 'stepi' 'p $cs & 3' 'p $rip > (long)&work' 'delete' 'c'
		says '^\$1 = 3$'
		says '^\$2 = 3$'
		says '^\$3 = 1$'
		says 'exited normally'
		ended 0
	fi
	for engine in $(engines); do
		echo "on $engine"
		debugged "$GUEST/count" --engine "$engine" --cmdline spin
		run python3 - gdb <<-'EOF'
			import socket, sys, time
			def say(text):
			    s.sendall(b"$" + text + b"#%02x" % (sum(text) % 256))
			def hear(word):
			    got = b""
			    while word not in got:
			        got += s.recv(100) or sys.exit("gone: %r" % got)
			    return got
			s = socket.socket(socket.AF_UNIX)
			s.settimeout(10)
			s.connect(sys.argv[1])
			say(b"vCont;c")
			time.sleep(0.5)  # it spins in ring 3 from then on
			for i in range(3):
			    s.sendall(b"\x03")
			    hear(b"T02")
			    say(b"vCont;s:1")
			    got = hear(b"#")
			    print("steps" if b"T05" in got else "refused" if b"E5f" in got else got)
			    say(b"vCont;c")
			s.sendall(b"\x03")
			hear(b"T02")
			say(b"vKill;1")
			hear(b"OK")
		EOF
		echo "$output"
		[ "$(sort -u <<<"$output")" = steps ] || { [ "$engine" = kvm ] && [ "$(sort -u <<<"$output")" = refused ]; }
		ended 137
	done
}

@test "gdb: each processor is a thread, with its own registers, and steps alone" {
	need gdb
	local engine
	for engine in $(engines); do
		echo "on $engine"
		debugged "$GUEST/smp" --engine "$engine" --cpus 3 --cmdline cpus=3
		gdb_do "$GUEST/smp" 'break other' 'c' 'info threads' 'c' 'info threads' 'thread 1' 'p $_thread' 'set scheduler-locking on' \
			'thread 3' 'stepi' 'stepi' 'p/x $rip' 'set scheduler-locking off' 'thread 2' 'p $rsp != 0' 'delete' 'c'
		says '^Thread 2 hit Breakpoint 1, '
		says '^Thread 3 hit Breakpoint 1, '
		says 'Thread 3 \(processor 2, waits for its start|Thread 3 \(processor 2, has not been started'
		says '^\$1 = 1$'
		says '^\$3 = 1$'
		says 'exited normally'
		ended 0
		[ "$(tail -1 out)" = "3 processors, 40 pongs" ]
	done
}

@test "gdb: Ctrl-C stops a machine that runs, and one that its debugger leaves runs on" {
	need gdb
	local engine a b
	for engine in $(engines); do
		echo "on $engine"
		create "at$engine" count --engine "$engine" --gdb gdb
		"$HULL" vm start "at$engine"
		until_counting "at$engine"
		gdb_do "$GUEST/count" 'break tick' 'c' 'p $rip == (long)&tick' # and goes, with its breakpoint on
		says '^\$1 = 1$'
		a=$(count "at$engine")
		b=$(count "at$engine")
		[ "$b" -gt 0 ]
		gdb_do "$GUEST/count" 'p (long)ticks' 'detach'
		says '^\$1 = [1-9]'
		b=$(count "at$engine")
		echo "$a, $b"
		[ "$b" -gt "$a" ]
		python3 - gdb <<-'EOF'
			import socket, sys, time
			s = socket.socket(socket.AF_UNIX)
			s.settimeout(10)
			s.connect(sys.argv[1])
			s.sendall(b"$vCont;c#a8")
			time.sleep(0.2)
			s.sendall(b"\x03")
			got = b""
			while b"T02" not in got:
			    got += s.recv(100) or sys.exit("gone: %r" % got)
		EOF
		[ "$(count "at$engine")" -gt 0 ]
		# paused, it may still be looked at; what he lets go on then goes on when it is resumed
		"$HULL" vm pause "at$engine"
		gdb_do "$GUEST/count" 'p (long)ticks' 'detach'
		[ "$(state "at$engine" Status)" = paused ]
		"$HULL" vm resume "at$engine"
		[ "$(count "at$engine")" -gt 0 ]
		# code that he changes is changed, also where it has run a thousand times
		gdb_do "$GUEST/count" 'set var *(unsigned char *)&tick = 0xc3' 'detach'
		a=$(count "at$engine")
		sleep 0.2
		b=$(count "at$engine")
		echo "$a, $b"
		[ "$a" = "$b" ]
		"$HULL" vm rm -f "at$engine"
		rm -f gdb
	done
}

@test "gdb: a clone has a debugger of its own, or none" {
	need gdb
	local engine
	for engine in $(engines); do
		echo "on $engine"
		create "of$engine" count --engine "$engine" --gdb gdb0
		"$HULL" vm start "of$engine"
		until_counting "of$engine"
		"$HULL" vm snapshot "of$engine" --to "snap$engine" >out
		IDS+=" $("$HULL" vm restore "snap$engine" --name "no$engine")"
		[[ $("$HULL" vm inspect "of$engine") == *'"Gdb"'* ]]
		[[ $("$HULL" vm inspect "no$engine") != *'"Gdb"'* ]]
		IDS+=" $("$HULL" vm restore "snap$engine" --name "own$engine" --gdb gdb,wait)"
		gdb_do "$GUEST/count" 'p (long)ticks' 'break tick' 'c' 'p (long)ticks' 'detach'
		says '^\$1 = [1-9]'
		says 'hit Breakpoint 1|^Breakpoint 1'
		[ "$(count "own$engine")" -gt 0 ]
		"$HULL" vm rm -f "of$engine" "no$engine" "own$engine"
		rm -f gdb gdb0
	done
}

@test "gdb: whatever a client says, the machine is as good as before; a second one is turned away" {
	local engine
	for engine in $(engines); do
		echo "on $engine"
		debugged "$GUEST/count" --engine "$engine"
		run python3 "$BATS_TEST_DIRNAME/vm_gdb_raw.py" gdb
		echo "$output"
		[ "$status" = 0 ]
		[ "$output" = "as good as before" ]
		ended 137
	done
}

@test "gdb: sockets that cannot be are refused in one line, and one that was left is used again" {
	local row
	: >file
	for row in "|the path of a socket" ",wait|the path of a socket" "x,nowait|'nowait', want wait" "/nonexistent/x|/nonexistent/x" \
		"file|file" "$(printf 'x%.0s' $(seq 200))|--gdb"; do
		run timeout 20 "$HULL" vm run --kernel "$GUEST/hello" --gdb "${row%%|*}" </dev/null
		echo "$row: $output"
		[ "$status" = 125 ]
		[ "${#lines[@]}" = 1 ]
		[[ $output == *"${row#*|}"* ]]
	done
	[ -f file ]
	for _ in 1 2; do
		run timeout 20 "$HULL" vm run --kernel "$GUEST/hello" --gdb sock </dev/null
		echo "$output"
		[ "$status,$output" = "0,hello" ]
		[ "$(stat -c %a sock)" = 600 ]
	done
}

@test "gdb: Debian's kernel is stopped where it is, and at a function of its own" {
	need gdb
	engines | grep -qx bt || skip "no bt engine here"
	local kernel
	kernel=$(dirname "$HULL")/linux
	"$BATS_TEST_DIRNAME/../../tools/debian-kernel" "$kernel" 2>why || skip "no kernel of Debian's: $(cat why)"
	"$BATS_TEST_DIRNAME/../linux/mkinitrd" initrd "$kernel"
	cat >script <<-'EOF'
		grep -w do_sys_openat2 /proc/kallsyms
		echo ready
		while [ ! -e /stop ]; do cat /proc/uptime >/dev/null; done
	EOF
	"$BATS_TEST_DIRNAME/../linux/mkinitrd" script.cpio --script script
	cat initrd script.cpio >whole
	timeout 100 "$HULL" vm run --engine bt --memory 256m --kernel "$kernel/vmlinuz" --initrd whole --gdb gdb \
		--cmdline 'console=ttyS0 reboot=k panic=-1 loglevel=0' </dev/null >out 2>&1 3>&- &
	local pid=$! at
	wait_for grep -q ready out || { cat out; return 1; }
	at=0x$(tr -d '\r' <out | awk '/do_sys_openat2/ {print $1; exit}')
	gdb_do /dev/null 'p $cs & 3' "hbreak *$at" 'c' "p \$rip == $at" 'p $cs & 3' 'p (long)$gs_base < 0' "x/2i $at" 'stepi' 'c' "p \$rip == $at" \
		'p *(char *)$rsi == 47' 'delete' 'detach'
	says '^\$2 = 1$'
	says '^\$3 = 0$'
	says '^\$4 = 1$'
	says '^\$5 = 1$'
	kill "$pid"
	wait "$pid" || true
}
