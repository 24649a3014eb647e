#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vm_pty.py KEYS-HEX WAIT-FOR COMMAND...: run COMMAND on a terminal, wait for the text, type the keys; its output, then its status and
whether the terminal is as it was"""
import os
import pty
import select
import subprocess
import sys
import termios
import time

keys, wait_for = bytes.fromhex(sys.argv[1]), sys.argv[2].encode()
master, slave = pty.openpty()
before = termios.tcgetattr(slave)
child = subprocess.Popen(sys.argv[3:], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
got, typed, deadline = b"", False, time.monotonic() + 20
while time.monotonic() < deadline:
    if select.select([master], [], [], 0.05)[0]:
        got += os.read(master, 4096)
    if not typed and wait_for in got:
        os.write(master, keys)
        typed = True
    if child.poll() is not None and not select.select([master], [], [], 0)[0]:
        break
if child.poll() is None:
    child.kill()
    print("it hangs")
status = child.wait()
sys.stdout.write(got.decode(errors="replace").replace("\r", ""))
print(f"\nstatus {status}, terminal {'as before' if termios.tcgetattr(slave) == before else 'changed'}")
