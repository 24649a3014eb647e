#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""disk_random.py: random operations on a qcow2 image, by hull and by qemu-io, beside plain bytes that both must match

disk_random.py both HULL DIR CLUSTER COMPAT [STEPS [BACKING-FORMAT]]   hull and qemu-io take turns on one image
disk_random.py kill HULL DIR CLUSTER COMPAT [TIMES]                    hull is killed, qemu-img check must find nothing
"""
import os
import random
import subprocess
import sys
import time


def run(*argv, **kw):
    p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kw)
    if p.returncode != 0:
        sys.exit(f"{' '.join(argv)}: exit status {p.returncode}\n{p.stdout.decode(errors='replace')}")
    return p.stdout


class Disk:
    def __init__(self, hull, folder, cluster, compat, size, backing=None):
        self.hull, self.cluster, self.v2 = hull, cluster, compat == "0.10"
        self.path = os.path.join(folder, "disk.qcow2")
        self.raw = os.path.join(folder, "disk.raw")
        self.bytes = bytearray(size)
        self.snapshots = {}
        self.backing = bool(backing)
        argv = [hull, "disk", "create", "-q", "-f", "qcow2", "-o", f"cluster_size={cluster},compat={compat}"]
        if backing:
            content = random.randbytes(size * 2 // 3 & ~511)
            base = os.path.join(folder, "base." + backing)
            plain = os.path.join(folder, "base.plain")
            with open(plain, "wb") as f:
                f.write(content)
            run("qemu-img", "convert", "-f", "raw", "-O", backing, plain, base)
            self.bytes[:len(content)] = content
            argv += ["-b", os.path.basename(base), "-F", backing]
        run(*argv, self.path, str(size))

    def span(self):
        most = random.choice([4096, 4096, 4096, self.cluster * 3, 300000])
        length = random.randint(1, min(most, len(self.bytes)))
        offset = random.randrange(len(self.bytes) - length + 1)
        if random.random() < 0.6:
            offset &= ~511
            length = min((length + 511) & ~511, len(self.bytes) - offset)
        return offset, length

    def fill(self, offset, length, byte):
        self.bytes[offset:offset + length] = bytes([byte]) * length

    def discard(self, offset, length):
        """whole clusters read as zeroes afterwards, the rest stays"""
        begin = (offset + self.cluster - 1) // self.cluster * self.cluster
        end = offset + length
        if end != len(self.bytes):
            end = end // self.cluster * self.cluster
        if begin < end:
            self.fill(begin, end - begin, 0)

    # one operation: its line for hull, what qemu-io says for it, or None
    def operation(self, may_resize=True):
        offset, length = self.span()
        what = random.random()
        if what < 0.6:
            byte = random.randrange(256)
            self.fill(offset, length, byte)
            return f"write {offset} {length} {byte}", f"write -P {byte} {offset} {length}"
        if what < 0.72:
            self.fill(offset, length, 0)
            return random.choice([(f"zero {offset} {length}", f"write -z {offset} {length}"),
                                  (f"unmap {offset} {length}", f"write -z -u {offset} {length}")])
        if what < 0.84 and not (self.v2 and self.backing):
            self.discard(offset, length)
            return f"discard {offset} {length}", f"discard {offset} {length}"
        if what < 0.9:
            return "flush", "flush"
        if not may_resize:
            return "flush", "flush"
        return self.rare()

    def rare(self):
        """what only hull does here"""
        kind = random.random()
        if kind < 0.3 and len(self.snapshots) < 5:
            name = f"s{random.randrange(10**9)}"
            self.snapshots[name] = bytes(self.bytes)
            return f"snapshot {name}", None
        if kind < 0.5 and self.snapshots:
            name = random.choice(list(self.snapshots))
            self.bytes = bytearray(self.snapshots[name])
            return f"apply {name}", None
        if kind < 0.7 and self.snapshots:
            name = random.choice(list(self.snapshots))
            del self.snapshots[name]
            return f"delete {name}", None
        if self.v2 and self.snapshots:
            return "flush", None
        size = max(512 * 200, len(self.bytes) + random.randint(-200, 300) * 512)
        size = min(size, 12 << 20)
        if size < len(self.bytes):
            del self.bytes[size:]
        else:
            self.bytes.extend(bytes(size - len(self.bytes)))
        return f"resize {size}", None

    def compare(self):
        run("qemu-img", "check", "-f", "qcow2", self.path)
        run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", self.path, self.raw)
        self.same("qemu-img convert")
        run(self.hull, "disk", "convert", "-f", "qcow2", "-O", "raw", self.path, self.raw)
        self.same("hull disk convert")
        run(self.hull, "disk", "check", self.path)

    def same(self, who):
        with open(self.raw, "rb") as f:
            got = f.read()
        if got == self.bytes:
            return
        at = next((i for i, (a, b) in enumerate(zip(got, self.bytes)) if a != b), min(len(got), len(self.bytes)))
        sys.exit(f"{who}: sizes {len(got)} and {len(self.bytes)}, first difference at byte {at}")


def both(hull, folder, cluster, compat, steps="8", backing=None):
    disk = Disk(hull, folder, int(cluster), compat, random.randint(3000, 16000) * 512, backing)
    for _ in range(int(steps)):
        lines = [disk.operation()[0] for _ in range(random.randint(10, 60))]
        run(hull, "disk", "io", "--no-sync", disk.path, input=("\n".join(lines) + "\n").encode())
        disk.compare()
        lines = [disk.operation(may_resize=False)[1] for _ in range(random.randint(5, 25))]
        argv = ["qemu-io", "-f", "qcow2", "-d", "unmap"]
        for line in lines:
            argv += ["-c", line]
        run(*argv, disk.path)
        disk.compare()
    print(f"{steps} rounds, {len(disk.snapshots)} snapshots at the end")


def kill(hull, folder, cluster, compat, times="100"):
    disk = Disk(hull, folder, int(cluster), compat, 6 << 20)
    killed = flushed = 0
    for _ in range(int(times)):
        safe, touched, states = bytes(disk.bytes), [], {}
        p = subprocess.Popen([hull, "disk", "io", disk.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        lines = []
        for k in range(400):
            offset, length = disk.span()
            kind = random.random()
            if kind < 0.75:
                byte = random.randrange(256)
                disk.fill(offset, length, byte)
                lines.append(f"write {offset} {length} {byte}")
            elif kind < 0.85:
                disk.discard(offset, length)
                lines.append(f"discard {offset} {length}")
            elif kind < 0.9:
                lines.append(f"{random.choice(['snapshot', 'delete'])} s" if False else f"zero {offset} {length}")
                disk.fill(offset, length, 0)
            elif kind < 0.93:
                name = f"k{k}"
                lines += [f"snapshot {name}", f"delete {name}"] if random.random() < 0.7 else ["flush"]
                continue
            else:
                lines += ["flush", f"say {k}"]
                states[k] = (bytes(disk.bytes), len(touched))
                continue
            touched.append((offset, length))
        delay = random.random() ** 2 * 0.06
        p.stdin.write(("\n".join(lines) + "\n").encode())
        p.stdin.flush()  # it stays open: only the kill ends it
        time.sleep(delay)
        p.kill()
        out, err = p.communicate()
        if err:
            sys.exit(f"hull: {err.decode()}")
        killed += p.returncode == -9
        run("qemu-img", "check", "-f", "qcow2", disk.path)
        told = [int(x) for x in out.split()]
        after = 0
        if told:
            flushed += 1
            safe, after = states[told[-1]]
        run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", disk.path, disk.raw)
        with open(disk.raw, "rb") as f:
            got = bytearray(f.read())
        # Nothing that a flush promised is lost, outside of what was written to later.
        expect, mask = bytearray(safe), bytearray(got)
        for offset, length in touched[after:]:
            expect[offset:offset + length] = bytes(length)
            mask[offset:offset + length] = bytes(length)
        if expect != mask:
            sys.exit("bytes that were flushed are lost")
        disk.bytes = got
        names = [s.split()[1] for s in run(hull, "disk", "snapshot", disk.path).decode().splitlines()[1:]]
        for name in names:
            run(hull, "disk", "snapshot", "-d", name, disk.path)
    if killed < int(times) * 9 // 10 or flushed == 0:
        sys.exit(f"only {killed} kills, {flushed} after a flush: nothing was tested")
    print(f"{killed} kills, {flushed} of them after a flush")


if __name__ == "__main__":
    seed = int(os.environ.get("SEED") or random.randrange(10**9))
    random.seed(seed)
    print(f"SEED={seed}", file=sys.stderr)
    {"both": both, "kill": kill}[sys.argv[1]](*sys.argv[2:])
