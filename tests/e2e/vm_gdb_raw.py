#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# vm_gdb_raw.py SOCKET: what gdb itself would never say, to a machine that waits for its debugger: each gets one answer, and the
# machine is as good as before.
import os
import random
import socket
import sys


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(sys.argv[1])
    return s


def packet(text):
    data = text if isinstance(text, bytes) else text.encode()
    return b"$" + data + b"#%02x" % (sum(data) % 256)


class Client:
    def __init__(self):
        self.s, self.buf = connect(), b""

    def answer(self):  # without the acknowledgement
        while True:
            at = self.buf.find(b"#")
            if at >= 0 and len(self.buf) >= at + 3:
                one, self.buf = self.buf[:at], self.buf[at + 3:]
                return one.lstrip(b"+-")[1:].decode("latin1")
            got = self.s.recv(65536)
            if not got:
                raise EOFError
            self.buf += got

    def ask(self, text):
        self.s.sendall(packet(text))
        return self.answer()


def want(text, got, wanted):
    if got != wanted:
        sys.exit("%s: want %r, got %r" % (text, wanted, got[:200]))


c = Client()
EINVAL, EFAULT, ENOSPC, EBUSY, ENOENT, ESRCH = "E16", "E0e", "E1c", "E10", "E02", "E03"
data = EINVAL if c.ask("Z2,100000,4") else ""  # a KVM of software cannot watch, and says so
c.ask("z2,100000,4")
for text, wanted in (
    ("?", "T05thread:1;"), ("", ""), ("vMustReplyEmpty", ""), ("qRcmd,00", ""), ("m", EINVAL), ("m0", EINVAL),
    ("m0,0", ""), ("mfe000000,8", EFAULT), ("m7ffffff,8", "0" * 2), ("Mfe000000,1:00", EFAULT),
    ("Mfec00000,4:00000000", EFAULT), ("M0,2:00", EINVAL), ("X0,1:", EINVAL), ("p0", "0" * 16), ("pffff", EINVAL),
    ("pffffffffffffffff", EINVAL), ("P0=00", EINVAL), ("P10=0000000000800000", EINVAL), ("P12=ffff0000", "E5f"), ("G", "OK"),
    ("G00", EINVAL), ("Hg9", EINVAL), ("Hg0", "OK"), ("Hc-1", "OK"), ("T1", "OK"), ("T2", ESRCH), ("T0", ESRCH), ("qC", "QC1"),
    ("qfThreadInfo", "m1"), ("qsThreadInfo", "l"), ("qThreadExtraInfo,7", EINVAL), ("vCont;c:5", EINVAL), ("vCont;x", EINVAL),
    ("Z0,100000,1", "OK"), ("Z0,100000,1", "OK"), ("z0,100000,1", "OK"), ("z0,100000,1", ENOENT), ("z9,0,1", EINVAL),
    ("Z2,100001,4", data), ("Z2,100000,100", data), ("Z2,100000,ffffffffffff", data),
    ("qXfer:features:read:target.xml:fffffff,1", "l"), ("qXfer:features:read:other.xml:0,1", ""),
):
    want(text, c.ask(text), wanted)
n = next(i for i in range(200) if c.ask("Z1,%x,1" % (0x100000 + i)) == ENOSPC)
if n not in (4, 64):
    sys.exit("%d breakpoints" % n)
for i in range(n):
    want("z", c.ask("z1,%x,1" % (0x100000 + i)), "OK")

# a packet that is too long, a wrong sum, and a second client
c.s.sendall(packet("m" + "0" * 20000))
c.s.sendall(b"$g#00")
want("after bad ones", c.ask("qC"), "QC1")
second = connect()
try:
    second.sendall(packet("?"))
    got = second.recv(100)
except ConnectionError:
    got = b""
want("a second client", got, b"")
regs = c.ask("g")

# many at once whose answers nobody reads for a while: nothing is lost, and the machine waits
c.s.sendall(packet("g") * 500)
for i in range(500):
    want("g %d" % i, c.answer(), regs)
want("no acks", c.ask("QStartNoAckMode"), "OK")
c.s.sendall(b"$g#00")
want("a wrong sum", c.answer(), EINVAL)

# noise
random.seed(1)
letters = b"gGpPmMXZzHTcsqQvkD?:;,=#$}*-0123456789abcdefxyz\x00\xff"
for i in range(2000):
    noise = bytes(random.choice(letters) for _ in range(random.randrange(30)))
    if noise[:1] in (b"k", b"D", b"c", b"s", b"v", b"P", b"G", b"M", b"X") or b"$" in noise or b"#" in noise:
        continue
    c.ask(noise.replace(b"}", b"]"))
want("after noise", c.ask("qC"), "QC1")

# it runs: whatever else is said is answered with that it does
c.s.sendall(packet("vCont;c"))
want("while it runs", c.ask("g"), EBUSY)
c.s.sendall(b"\x03")
want("stop", c.answer()[:3], "T02")
c.s.sendall(b"\x03")  # it stands already
want("stopped", c.ask("qC"), "QC1")
# half a packet, and gone
c.s.sendall(b"$m10")
c.s.close()
# the next one: killed by him
c = Client()
want("again", c.ask("?"), "T05thread:1;")
os.write(1, b"as good as before\n")
want("kill", c.ask("vKill;1"), "OK")
