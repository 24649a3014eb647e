#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""firecracker_api.py HULL SECTION - the API of `hull firecracker`, row by row: what it takes, what it refuses

Prints one line for each expectation that was not met; exit status 1 when there was one, 77 when the machine lacks something.
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

HULL = sys.argv[1]
HERE = os.path.dirname(os.path.abspath(__file__))
BT = os.environ.get("HULL_ENGINE") == "bt"  # which copies a snapshot's memory
FAILED = 0
CHECKED = 0
TMP = tempfile.TemporaryDirectory(prefix="hull-fc.")
PUT, PATCH, GET, DELETE = "PUT", "PATCH", "GET", "DELETE"


class Skip(Exception):
    pass


def expect(what, got, want):
    global FAILED, CHECKED
    CHECKED += 1
    if got != want:
        FAILED += 1
        print(f"# {what}: got {got!r}, want {want!r}")


def expect_in(what, part, whole):
    global FAILED, CHECKED
    CHECKED += 1
    if part not in whole:
        FAILED += 1
        print(f"# {what}: {part!r} is not in {whole!r}")


def tmp(name):
    return os.path.join(TMP.name, name)


def make(name, content=b"", size=0):
    with open(tmp(name), "wb") as f:
        f.write(content)
        if size:
            f.truncate(size)
    return tmp(name)


def wait_for(what, condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    expect(f"{what} within {seconds} s", False, True)
    return False


class Connection:
    """Raw, so that each byte of an answer is seen."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(20)
        for last in range(49, -1, -1):  # a socket has its name a moment before it listens
            try:
                self.s.connect(path)
                break
            except ConnectionRefusedError:
                if not last:
                    raise
                time.sleep(0.02)
        self.rest = b""

    def send(self, data):
        self.s.sendall(data)

    def _more(self):
        got = self.s.recv(65536)
        self.rest += got
        return bool(got)

    def answer(self):
        """One response: (status, [header lines], body bytes); None: the connection has ended."""
        while b"\r\n\r\n" not in self.rest:
            if not self._more():
                return None
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        length = next((int(x.split(":")[1]) for x in lines if x.lower().startswith("content-length:")), 0)
        while len(self.rest) < length:
            if not self._more():
                return None
        body, self.rest = self.rest[:length], self.rest[length:]
        return int(lines[0].split(" ")[1]), lines, body

    def ended(self):
        try:
            return not self.rest and self.s.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.s.close()


class Vmm:
    count = 0
    all = []

    def __init__(self, *args, wait=True, **kw):
        Vmm.count += 1
        self.sock = tmp(f"s{Vmm.count}")
        self.log = tmp(f"out{Vmm.count}")
        with open(self.log, "wb") as out:
            self.p = subprocess.Popen([HULL, "firecracker", "--api-sock", self.sock, *args],
                                      stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, **kw)
        if wait:
            wait_for("API socket", lambda: os.path.exists(self.sock) or self.p.poll() is not None)
        self.c = None
        Vmm.all.append(self)

    def raw(self, method, path, body=None):
        if self.c is None:
            self.c = Connection(self.sock)
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        self.c.send(head.encode() + b"\r\n" + data)
        got = self.c.answer()
        if got is None:
            self.c = None
        return got

    def ok(self, method, path, body=None, deprecated=False):
        got = self.raw(method, path, body)
        what = f"{method} {path} {body}"
        if got is None:
            expect(what, None, "an answer")
            return None
        status, lines, text = got
        want = 200 if method == GET else 204
        expect(f"{what}: {text.decode()}", status, want)
        expect(f"{what}: deprecated", "Deprecation: true" in lines, deprecated)
        if status == 204:
            expect(f"{what}: body", text, b"")
        return json.loads(text) if text else None

    def no(self, method, path, body=None, says="", status=400):
        """A refusal: its code, its one key, and words of it."""
        got = self.raw(method, path, body)
        what = f"{method} {path} {body if body is None or len(str(body)) < 200 else '...'}"
        if got is None:
            expect(what, None, "an answer")
            return
        expect(what, got[0], status)
        reply = json.loads(got[2] or b"{}")
        expect(f"{what}: keys", list(reply), ["fault_message"])
        expect_in(what, says, reply.get("fault_message", ""))

    def wait(self, seconds=20):
        try:
            return self.p.wait(seconds)
        except subprocess.TimeoutExpired:
            print(f"# still there after {seconds} s:", *(status_of(f"/proc/{t}/status") for t in (self.p.pid, *children_of(self.p.pid))))
            return None

    def stop(self):
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait()

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()


def rejects_fields(v, method, path, body):
    """Unknown fields, wrong kinds, no object, no JSON."""
    v.no(method, path, {**body, "no_such_field": 1}, "no_such_field")
    v.no(method, path, [], "object")
    v.no(method, path, b"{", "JSON")
    v.no(method, path, None, "Empty")
    for key in body:
        v.no(method, path, {**body, key: {"a": [1]}}, "")


# --- sections ------------------------------------------------------------------------------------------------------


def server():
    """The rules of HTTP: form of answers, pipelining, Expect, limits, connections."""
    v = Vmm()
    status, lines, body = v.raw(GET, "/version")
    expect("status line", lines[0], "HTTP/1.1 200 ")
    expect("headers", lines[1:], ["Server: Firecracker API", "Connection: keep-alive", "Content-Type: application/json",
                                  f"Content-Length: {len(body)}"])
    status, lines, body = v.raw(PUT, "/entropy", {})
    expect("answer without a body", lines, ["HTTP/1.1 204 ", "Server: Firecracker API", "Connection: keep-alive"])
    status, lines, body = v.raw(PUT, "/vsock", {"guest_cid": 3, "uds_path": tmp("v"), "vsock_id": "x"})
    expect("answer to something deprecated", lines,
           ["HTTP/1.1 204 ", "Server: Firecracker API", "Connection: keep-alive", "Deprecation: true"])

    c = Connection(v.sock)
    one = b"GET /machine-config HTTP/1.1\r\n\r\n"
    put = json.dumps({"vcpu_count": 2, "mem_size_mib": 64}).encode()
    c.send(one + b"PUT /machine-config HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(put), put) + one)
    expect("pipelined: before", json.loads(c.answer()[2])["vcpu_count"], 1)
    expect("pipelined: change", c.answer()[0], 204)
    expect("pipelined: after", json.loads(c.answer()[2])["vcpu_count"], 2)
    for byte in one:
        c.send(bytes([byte]))
    expect("byte by byte", c.answer()[0], 200)
    c.send(b"PUT /machine-config HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(put))
    expect("Expect", c.answer()[0], 100)
    c.send(put)
    expect("the body after it", c.answer()[0], 204)
    c.send(b"GET /version HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    expect("HTTP/1.0", c.answer()[1][0], "HTTP/1.0 200 ")
    c.close()

    for what, data in {
        "method": b"POST /actions HTTP/1.1\r\n\r\n",
        "case": b"get / HTTP/1.1\r\n\r\n",
        "version": b"GET / HTTP/3\r\n\r\n",
        "words": b"hello\r\n\r\n",
        "long line": b"GET / HTTP/1.1\r\nX: " + b"x" * 1024 + b"\r\n\r\n",
        "long body": b"PUT /mmds HTTP/1.1\r\nContent-Length: 51201\r\n\r\n",
        "chunked": b"PUT /mmds HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "length": b"PUT /mmds HTTP/1.1\r\nContent-Length: two\r\n\r\n",
    }.items():
        c = Connection(v.sock)
        c.send(data)
        status, lines, body = c.answer()
        expect(f"no HTTP, {what}", (status, list(json.loads(body))), (400, ["error"]))
        c.close()

    line = b"GET / HTTP/1.1\r\nX: " + b"x" * (1024 - 5) + b"\r\n\r\n"
    c = Connection(v.sock)
    c.send(line)
    expect("a line of 1,024 bytes", c.answer()[0], 200)
    big = json.dumps({"a": "x" * (51200 - 9)}).encode()
    c.send(b"PUT /mmds HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(big), big))
    expect(f"a body of {len(big)} bytes", c.answer()[0], 204)
    c.close()

    v.c.close()
    v.c = None
    time.sleep(0.1)
    many = [Connection(v.sock) for _ in range(10)]
    for c in many:
        c.send(one)
        expect("one of ten connections", c.answer()[0], 200)
    c = Connection(v.sock)
    status, lines, body = c.answer()
    expect("the eleventh", (status, list(json.loads(body)), "Connection: close" in lines), (503, ["error"], True))
    expect("and it ends", c.ended(), True)
    many.pop().close()
    time.sleep(0.1)
    c = Connection(v.sock)
    c.send(one)
    expect("room again", c.answer()[0], 200)
    v.stop()

    v = Vmm("--http-api-max-payload-size", "100")
    v.ok(PUT, "/machine-config", {"vcpu_count": 1, "mem_size_mib": 64})
    status, _, body = v.raw(PUT, "/mmds", {"a": "x" * 100})
    expect("--http-api-max-payload-size", (status, list(json.loads(body))), (400, ["error"]))
    v.stop()


def routing():
    """Paths, methods, bodies that are missing or too much, ids."""
    v = Vmm()
    for method, path in ((GET, "/nothing"), (PUT, "/nothing"), (GET, "/actions"), (PUT, "/"), (PATCH, "/actions"),
                         (DELETE, "/actions"), (GET, "/drives/a"), (GET, "/vm"), (PUT, "/vm"), (GET, "/version?x"),
                         (GET, "/balloon/nothing"), (PUT, "/snapshot/nothing"), (PUT, "/mmds/nothing"),
                         (GET, "/hotplug"), (GET, "//version"), (PATCH, "/balloon/hinting")):
        v.no(method, path, {} if method in (PUT, PATCH) else None, "Invalid request method and/or path")
    for path in ("/version/more", "/machine-config/", "/vm/config/more/of/it"):
        v.ok(GET, path)
    v.no(GET, "/version", {}, "cannot have a body")
    v.no(GET, "/nothing", {}, "cannot have a body")
    v.no(DELETE, "/drives/a", {}, "cannot have a body")
    v.no(PUT, "/machine-config", None, "Empty PUT request")
    v.no(PATCH, "/machine-config", None, "Empty PATCH request")
    v.no(PATCH, "/machine-config", {}, "Empty PATCH request")
    disk = make("disk", size=4096)
    body = {"drive_id": "a", "is_root_device": False, "path_on_host": disk}
    v.no(PUT, "/drives", body, "cannot be empty")
    v.no(PUT, "/drives/", body, "cannot be empty")
    v.no(PUT, "/drives/b", body, "does not match")
    v.no(PUT, "/drives/a-b", {**body, "drive_id": "a-b"}, "alphanumeric")
    v.no(PUT, "/drives/a", {**body, "drive_id": ""}, "cannot be empty")
    v.ok(PUT, "/drives/A_1", {**body, "drive_id": "A_1"})
    v.no(PUT, "/machine-config", b'{"vcpu_count":1,"mem_size_mib":64,"vcpu_count":2}', "twice")
    expect("still not started", v.ok(GET, "/")["state"], "Not started")
    v.stop()

    v = Vmm("--id", "my-machine-1")
    expect("GET /", v.ok(GET, "/"), {"app_name": "Firecracker", "id": "my-machine-1", "state": "Not started",
                                     "vmm_version": "1.17.0"})
    expect("GET /version", v.ok(GET, "/version"), {"firecracker_version": "1.17.0"})
    v.stop()


def states():
    """What comes only after the start is refused before it."""
    v = Vmm()
    says = "not supported before starting"
    for method, path, body in (
            (PUT, "/actions", {"action_type": "FlushMetrics"}), (PUT, "/actions", {"action_type": "SendCtrlAltDel"}),
            (PATCH, "/vm", {"state": "Paused"}), (PATCH, "/drives/a", {"drive_id": "a", "path_on_host": "/x"}),
            (PATCH, "/network-interfaces/a", {"iface_id": "a"}), (PATCH, "/pmem/a", {"id": "a"}),
            (PATCH, "/balloon", {"amount_mib": 1}), (PATCH, "/balloon/statistics", {"stats_polling_interval_s": 1}),
            (GET, "/balloon/statistics", None), (PATCH, "/balloon/hinting/start", {}),
            (PATCH, "/balloon/hinting/start", None), (PATCH, "/balloon/hinting/stop", None),
            (GET, "/balloon/hinting/status", None), (PATCH, "/hotplug/memory", {"requested_size_mib": 2}),
            (GET, "/hotplug/memory", None), (DELETE, "/drives/a", None), (DELETE, "/pmem/a", None),
            (DELETE, "/network-interfaces/a", None),
            (PUT, "/snapshot/create", {"snapshot_path": tmp("x"), "mem_file_path": tmp("y")})):
        v.no(method, path, body, says)
    v.no(PUT, "/actions", {"action_type": "InstanceStart"}, "without kernel configuration")
    v.no(PUT, "/actions", {"action_type": "Halt"}, "InstanceStart")
    v.no(PUT, "/actions", {}, "action_type")
    expect("nothing was made", [os.path.exists(tmp(x)) for x in "xy"], [False, False])
    v.stop()


def machine():
    """machine-config, boot-source, cpu-config."""
    v = Vmm()
    default = {"vcpu_count": 1, "mem_size_mib": 128, "smt": False, "track_dirty_pages": False, "huge_pages": "None"}
    expect("defaults", v.ok(GET, "/machine-config"), default)
    full = {"vcpu_count": 4, "mem_size_mib": 256, "smt": True, "track_dirty_pages": True, "huge_pages": "2M"}
    v.ok(PUT, "/machine-config", full)
    expect("all set", v.ok(GET, "/machine-config"), full)
    v.ok(PATCH, "/machine-config", {"vcpu_count": 2})
    expect("PATCH keeps the rest", v.ok(GET, "/machine-config"), {**full, "vcpu_count": 2})
    v.ok(PUT, "/machine-config", {"vcpu_count": 32, "mem_size_mib": 512})
    expect("PUT resets the rest", v.ok(GET, "/machine-config"), {**default, "vcpu_count": 32, "mem_size_mib": 512})
    base = {"vcpu_count": 1, "mem_size_mib": 128}
    rejects_fields(v, PUT, "/machine-config", base)
    for bad, says in (({"vcpu_count": 0}, "vCPU"), ({"vcpu_count": 33}, "vCPU"), ({"vcpu_count": 256}, "vcpu_count"),
                      ({"vcpu_count": -1}, "vcpu_count"), ({"vcpu_count": 3, "smt": True}, "smt"),
                      ({"vcpu_count": 1.5}, "vcpu_count"), ({"vcpu_count": "1"}, "vcpu_count"),
                      ({"vcpu_count": None}, "vcpu_count"), ({"mem_size_mib": 0}, "memory size"),
                      ({"mem_size_mib": 2 ** 60}, "memory size"), ({"mem_size_mib": 2 ** 64}, "mem_size_mib"),
                      ({"mem_size_mib": 3, "huge_pages": "2M"}, "2M"), ({"huge_pages": "1G"}, "huge_pages"),
                      ({"cpu_template": "V1N1"}, "ARM"), ({"cpu_template": "X"}, "cpu_template"),
                      ({"cpu_template": 2}, "cpu_template"), ({"gdb_socket_path": "/"}, "is there already"),
                      ({"gdb_socket_path": ""}, "1 to 100 bytes"), ({"gdb_socket_path": "x" * 101}, "1 to 100 bytes"),
                      ({"gdb_socket_path": 1}, "gdb_socket_path")):
        v.no(PUT, "/machine-config", {**base, **bad}, says)
        v.no(PATCH, "/machine-config", bad, says) if "None" not in str(bad) else None
    v.no(PUT, "/machine-config", {"vcpu_count": 1}, "mem_size_mib")
    v.no(PUT, "/machine-config", {"mem_size_mib": 1}, "vcpu_count")
    v.ok(PATCH, "/machine-config", {"gdb_socket_path": tmp("gdb"), "mem_size_mib": 128})
    v.ok(PATCH, "/machine-config", {"vcpu_count": 1})
    expect("a debugger's socket", v.ok(GET, "/machine-config"), {**default, "gdb_socket_path": tmp("gdb")})
    expect("made at the start", os.path.exists(tmp("gdb")), False)
    v.ok(PUT, "/machine-config", {**base, "cpu_template": "None"}, deprecated=True)
    expect("a refusal changes nothing", v.ok(GET, "/machine-config"), default)

    kernel = make("kernel", b"no kernel")
    rejects_fields(v, PUT, "/boot-source", {"kernel_image_path": kernel, "initrd_path": kernel, "boot_args": "a"})
    v.no(PUT, "/boot-source", {"kernel_image_path": tmp("none")}, "No such file")
    v.no(PUT, "/boot-source", {"kernel_image_path": kernel, "initrd_path": tmp("none")}, "No such file")
    v.no(PUT, "/boot-source", {"boot_args": "x"}, "kernel_image_path")
    v.no(PUT, "/boot-source", {"kernel_image_path": kernel, "boot_args": "x" * 4096}, "longer")
    v.no(PUT, "/boot-source", {"kernel_image_path": kernel, "boot_args": "a\nb"}, "printable")
    expect("nothing was set", v.ok(GET, "/vm/config")["boot-source"]["kernel_image_path"], "")
    want = {"kernel_image_path": kernel, "initrd_path": kernel, "boot_args": "console=ttyS0"}
    v.ok(PUT, "/boot-source", want)
    expect("boot-source", v.ok(GET, "/vm/config")["boot-source"], want)

    cpu = {"kvm_capabilities": [], "cpuid_modifiers": [
        {"leaf": "0x1", "subleaf": "0x0", "flags": 0, "modifiers": [{"register": "ecx", "bitmap": "0bxxx0_1"}]}],
        "msr_modifiers": [{"addr": "0x10a", "bitmap": "0b0"}], "reg_modifiers": [], "vcpu_features": []}
    v.ok(PUT, "/cpu-config", cpu)
    expect("cpu-config", v.ok(GET, "/vm/config")["cpu-config"], cpu)
    v.ok(PUT, "/machine-config", {**base, "cpu_template": "None"}, deprecated=True)
    expect("the last of template and cpu-config counts", v.ok(GET, "/vm/config")["cpu-config"], None)
    for name in ("C3", "T2", "T2S", "T2CL", "T2A"):
        v.ok(PATCH, "/machine-config", {"cpu_template": name}, deprecated=True)
        expect("the template", v.ok(GET, "/machine-config"), {**default, "cpu_template": name})
    v.ok(PATCH, "/machine-config", {"vcpu_count": 1})
    expect("PATCH keeps it", v.ok(GET, "/vm/config")["machine-config"]["cpu_template"], "T2A")
    v.ok(PUT, "/machine-config", base)
    expect("PUT takes it away", v.ok(GET, "/machine-config"), default)
    v.ok(PUT, "/machine-config", {**base, "cpu_template": "T2"}, deprecated=True)
    v.ok(PATCH, "/machine-config", {"cpu_template": "None"}, deprecated=True)
    expect("so does None", v.ok(GET, "/machine-config"), default)
    v.ok(PUT, "/machine-config", {**base, "cpu_template": "T2"}, deprecated=True)
    v.ok(PUT, "/cpu-config", cpu)
    expect("so does cpu-config", v.ok(GET, "/machine-config"), default)
    v.ok(PUT, "/cpu-config", {})
    leaf = cpu["cpuid_modifiers"][0]
    rejects_fields(v, PUT, "/cpu-config", {"cpuid_modifiers": []})
    for bad in ({"leaf": "x"}, {"leaf": 1}, {"leaf": "-1"}, {"leaf": "0x100000000"}, {"no": 1},
                {"modifiers": [{"register": "rax", "bitmap": "1"}]}, {"modifiers": [{"register": "eax"}]},
                {"modifiers": [{"register": "eax", "bitmap": "2"}]}, {"modifiers": [{"register": "eax", "bitmap": ""}]},
                {"modifiers": [{"register": "eax", "bitmap": "x" * 33}]}):
        v.no(PUT, "/cpu-config", {"cpuid_modifiers": [{**leaf, **bad}]}, "cpuid_modifiers")
    for missing in leaf:
        v.no(PUT, "/cpu-config", {"cpuid_modifiers": [{k: x for k, x in leaf.items() if k != missing}]}, missing)
    v.no(PUT, "/cpu-config", {"msr_modifiers": [{"addr": "0x1", "bitmap": "0" * 65}]}, "64")
    v.no(PUT, "/cpu-config", {"reg_modifiers": [{"addr": "0x1", "bitmap": "0"}]}, "ARM")
    v.no(PUT, "/cpu-config", {"kvm_capabilities": ["121"]}, "not there yet")
    v.stop()


BUCKET = {"size": 1000, "refill_time": 100, "one_time_burst": 5}
LIMIT = {"bandwidth": BUCKET, "ops": {"size": 5, "refill_time": 10, "one_time_burst": 0}}


def rejects_limiters(v, method, path, body, key="rate_limiter"):
    for bad, says in (({"bandwidth": {"size": 1}}, "refill_time"), ({"ops": {"refill_time": 1}}, "size"),
                      ({"more": {}}, "more"), ({"ops": {"size": -1, "refill_time": 1}}, "size"), (1, key)):
        v.no(method, path, {**body, key: bad}, says)


def disks():
    """drives and pmem."""
    v = Vmm()
    disk = make("disk", size=1 << 20)
    one = {"drive_id": "rootfs", "is_root_device": True, "path_on_host": disk}
    shown = {"drive_id": "rootfs", "partuuid": None, "is_root_device": True, "cache_type": "Unsafe", "is_read_only": False,
             "path_on_host": disk, "rate_limiter": None, "io_engine": "Sync", "socket": None}
    v.ok(PUT, "/drives/data", {"drive_id": "data", "is_root_device": False, "path_on_host": disk, "is_read_only": True,
                               "io_engine": "Async", "cache_type": "Writeback", "rate_limiter": LIMIT})
    v.ok(PUT, "/drives/rootfs", one)
    drives = v.ok(GET, "/vm/config")["drives"]
    expect("the root comes first", [d["drive_id"] for d in drives], ["rootfs", "data"])
    expect("defaults", drives[0], shown)
    expect("all set", drives[1], {**shown, "drive_id": "data", "is_root_device": False, "is_read_only": True,
                                  "io_engine": "Async", "cache_type": "Writeback", "rate_limiter": LIMIT})
    v.ok(PUT, "/drives/rootfs", {**one, "partuuid": "0eaa91a0-01", "is_read_only": True})
    expect("the same id replaces", [(d["drive_id"], d["partuuid"]) for d in v.ok(GET, "/vm/config")["drives"]],
           [("rootfs", "0eaa91a0-01"), ("data", None)])
    v.no(PUT, "/drives/second", {**one, "drive_id": "second"}, "root")
    v.no(PUT, "/pmem/second", {"id": "second", "path_on_host": disk, "root_device": True}, "root")
    more = {"drive_id": "more", "is_root_device": False, "path_on_host": disk}
    rejects_fields(v, PUT, "/drives/more", {**more, "partuuid": "x", "cache_type": "Unsafe", "is_read_only": True,
                                            "io_engine": "Sync"})
    rejects_limiters(v, PUT, "/drives/more", more)
    for key in more:
        v.no(PUT, "/drives/more", {k: x for k, x in more.items() if k != key}, key)
    v.no(PUT, "/drives/more", {**more, "path_on_host": tmp("none")}, "No such file")
    v.no(PUT, "/drives/more", {**more, "path_on_host": TMP.name}, "")
    v.no(PUT, "/drives/more", {**more, "cache_type": "unsafe"}, "cache_type")
    v.no(PUT, "/drives/more", {**more, "socket": "/x"}, "exclude")
    v.no(PUT, "/drives/more", {"drive_id": "more", "is_root_device": False, "socket": "/x"}, "not there yet")
    for i in range(14):
        v.ok(PUT, f"/drives/d{i}", {**more, "drive_id": f"d{i}"})
    v.no(PUT, "/drives/more", more, "More than 16")
    v.stop()

    v = Vmm()
    p = {"id": "p", "path_on_host": disk, "root_device": True, "read_only": True, "rate_limiter": LIMIT}
    v.ok(PUT, "/pmem/p", p)
    expect("pmem", v.ok(GET, "/vm/config")["pmem"], [p])
    v.no(PUT, "/drives/rootfs", one, "root")
    q = {"id": "q", "path_on_host": disk}
    rejects_fields(v, PUT, "/pmem/q", {**q, "root_device": False, "read_only": False})
    rejects_limiters(v, PUT, "/pmem/q", q)
    v.no(PUT, "/pmem/q", {"id": "q"}, "path_on_host")
    v.no(PUT, "/pmem/q", {**q, "path_on_host": tmp("none")}, "No such file")
    v.no(PUT, "/pmem/q", {**q, "path_on_host": make("empty")}, "empty")
    v.ok(PUT, "/pmem/q", q)
    expect("pmem's defaults", v.ok(GET, "/vm/config")["pmem"][1],
           {"id": "q", "path_on_host": disk, "root_device": False, "read_only": False, "rate_limiter": None})
    v.stop()


def devices():
    """balloon, vsock, entropy, serial, memory hot-plug."""
    v = Vmm()
    v.no(GET, "/balloon", None, "balloon")
    b = {"amount_mib": 64, "deflate_on_oom": True}
    v.ok(PUT, "/balloon", b)
    full = {**b, "stats_polling_interval_s": 0, "free_page_hinting": False, "free_page_reporting": False}
    expect("balloon's defaults", v.ok(GET, "/balloon"), full)
    full = {**b, "stats_polling_interval_s": 5, "free_page_hinting": True, "free_page_reporting": True}
    v.ok(PUT, "/balloon", full)
    expect("balloon", v.ok(GET, "/vm/config")["balloon"], full)
    rejects_fields(v, PUT, "/balloon", full)
    v.no(PUT, "/balloon", {**b, "amount_mib": 129}, "memory")
    v.no(PUT, "/balloon", {**b, "amount_mib": 2 ** 32}, "amount_mib")
    v.no(PUT, "/balloon", {**b, "stats_polling_interval_s": 65536}, "stats_polling")
    v.no(PUT, "/balloon", {"amount_mib": 1}, "deflate_on_oom")
    v.no(PUT, "/machine-config", {"vcpu_count": 1, "mem_size_mib": 32}, "balloon")

    s = {"guest_cid": 3, "uds_path": tmp("vsock")}
    rejects_fields(v, PUT, "/vsock", s)
    v.no(PUT, "/vsock", {**s, "guest_cid": 2}, "guest_cid")
    v.no(PUT, "/vsock", {**s, "guest_cid": 2 ** 32}, "guest_cid")
    v.no(PUT, "/vsock", {**s, "uds_path": make("there")}, "already")
    v.no(PUT, "/vsock", {**s, "uds_path": "/" + "x" * 200}, "uds_path")
    v.ok(PUT, "/vsock", s)
    v.ok(PUT, "/vsock", {**s, "guest_cid": 4, "vsock_id": "old"}, deprecated=True)
    expect("vsock", v.ok(GET, "/vm/config")["vsock"], {**s, "guest_cid": 4})

    rejects_fields(v, PUT, "/entropy", {"rate_limiter": LIMIT})
    rejects_limiters(v, PUT, "/entropy", {})
    v.ok(PUT, "/entropy", {"rate_limiter": LIMIT})
    expect("entropy", v.ok(GET, "/vm/config")["entropy"], {"rate_limiter": LIMIT})
    v.ok(PUT, "/entropy", {})
    expect("entropy", v.ok(GET, "/vm/config")["entropy"], {"rate_limiter": None})
    v.ok(PUT, "/entropy", {"rate_limiter": {"ops": {"size": 1, "refill_time": 1, "unknown": "taken"}}})

    rejects_fields(v, PUT, "/serial", {"serial_out_path": tmp("out")})
    v.no(PUT, "/serial", {"serial_out_path": tmp("no/dir")}, "No such file")
    v.no(PUT, "/serial", {"rate_limiter": {"size": 1}}, "refill_time")
    v.ok(PUT, "/serial", {"serial_out_path": tmp("out"), "rate_limiter": BUCKET})
    expect("made when it is missing", os.path.exists(tmp("out")), True)
    v.ok(PUT, "/serial", {})

    h = {"total_size_mib": 1024, "slot_size_mib": 256, "block_size_mib": 4}
    rejects_fields(v, PUT, "/hotplug/memory", h)
    for bad in ({"total_size_mib": 1000}, {"total_size_mib": 0}, {"slot_size_mib": 64}, {"slot_size_mib": 130},
                {"block_size_mib": 1}, {"block_size_mib": 3}, {"total_size_mib": 2 ** 32}):
        v.no(PUT, "/hotplug/memory", {**h, **bad}, "size_mib")
    v.no(PUT, "/hotplug/memory", {}, "total_size_mib")
    v.ok(PUT, "/hotplug/memory", h)
    expect("memory-hotplug", v.ok(GET, "/vm/config")["memory-hotplug"], h)
    v.ok(PUT, "/hotplug/memory", {"total_size_mib": 256})
    expect("its defaults", v.ok(GET, "/vm/config")["memory-hotplug"],
           {"total_size_mib": 256, "slot_size_mib": 128, "block_size_mib": 2})
    v.stop()


def in_netns():
    """Taps in a network namespace of our own."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        raise Skip("no tap devices here")
    if not os.environ.get("FC_NETNS"):
        env = {**os.environ, "FC_NETNS": "1"}
        sys.exit(subprocess.call(["unshare", "-n", sys.executable, *sys.argv], env=env))


def net():
    """network-interfaces and the metadata service."""
    in_netns()
    v = Vmm()
    n = {"iface_id": "eth0", "host_dev_name": "tap0"}
    full = {**n, "guest_mac": "06:00:ac:10:00:02", "mtu": 1400, "rx_rate_limiter": LIMIT, "tx_rate_limiter": None}
    v.ok(PUT, "/network-interfaces/eth0", {k: x for k, x in full.items() if x})
    expect("network-interfaces", v.ok(GET, "/vm/config")["network-interfaces"], [full])
    v.ok(PUT, "/network-interfaces/eth0", n)
    v.ok(PUT, "/network-interfaces/eth0", {**n, "guest_mac": "06:00:AC:10:00:02"})
    expect("the same id replaces", v.ok(GET, "/vm/config")["network-interfaces"][0]["rx_rate_limiter"], None)
    m = {"iface_id": "eth1", "host_dev_name": "tap1"}
    rejects_fields(v, PUT, "/network-interfaces/eth1", {**m, "guest_mac": "06:00:00:00:00:01", "mtu": 1500})
    rejects_limiters(v, PUT, "/network-interfaces/eth1", m, "rx_rate_limiter")
    rejects_limiters(v, PUT, "/network-interfaces/eth1", m, "tx_rate_limiter")
    for bad, says in (({"guest_mac": "06:00:ac:10:00:02"}, "MAC"), ({"guest_mac": "06:00:ac:10:00"}, "MAC"),
                      ({"guest_mac": "06-00-ac-10-00-02"}, "MAC"), ({"guest_mac": "0g:00:ac:10:00:02"}, "MAC"),
                      ({"mtu": 67}, "mtu"), ({"mtu": 65536}, "mtu"), ({"host_dev_name": "tap0"}, "in use"),
                      ({"host_dev_name": "x" * 16}, "name"), ({"host_dev_name": ""}, "name"),
                      ({"host_dev_name": "lo"}, "lo")):
        v.no(PUT, "/network-interfaces/eth1", {**m, **bad}, says)
    v.no(PUT, "/network-interfaces/eth1", {"iface_id": "eth1"}, "host_dev_name")
    v.ok(PUT, "/network-interfaces/eth1", {**m, "mtu": 68})

    c = {"network_interfaces": ["eth0"], "version": "V2", "ipv4_address": "169.254.170.2", "imds_compat": True}
    expect("mmds-config", v.ok(GET, "/vm/config")["mmds-config"], None)
    rejects_fields(v, PUT, "/mmds/config", c)
    for bad, says in (({"network_interfaces": []}, "empty"), ({"network_interfaces": ["eth9"]}, "no such"),
                      ({"version": "V3"}, "version"), ({"ipv4_address": "10.0.0.1"}, ""),
                      ({"ipv4_address": "169.254"}, "IPv4"), ({"network_interfaces": [1]}, "string")):
        v.no(PUT, "/mmds/config", {**c, **bad}, says)
    v.no(PUT, "/mmds/config", {"version": "V2"}, "network_interfaces")
    v.ok(PUT, "/mmds/config", c)
    expect("mmds-config", v.ok(GET, "/vm/config")["mmds-config"], c)
    v.ok(PUT, "/mmds/config", {"network_interfaces": ["eth0", "eth1"]}, deprecated=True)
    expect("its defaults", v.ok(GET, "/vm/config")["mmds-config"],
           {"network_interfaces": ["eth0", "eth1"], "version": "V1", "ipv4_address": "169.254.169.254",
            "imds_compat": False})
    v.stop()


def mmds():
    """The metadata store."""
    v = Vmm("--mmds-size-limit", "200")
    expect("empty", v.ok(GET, "/mmds"), {})
    v.no(PATCH, "/mmds", {"a": 1})
    v.ok(PUT, "/mmds", {"a": {"b": "c"}, "d": 1})
    expect("put", v.ok(GET, "/mmds"), {"a": {"b": "c"}, "d": 1})
    v.ok(PATCH, "/mmds", {"a": {"b": None, "e": [1, "2"]}, "f": True})
    expect("merged", v.ok(GET, "/mmds"), {"a": {"e": [1, "2"]}, "d": 1, "f": True})
    v.no(PUT, "/mmds", {"a": "x" * 300}, "", status=413)
    v.no(PATCH, "/mmds", {"g": "x" * 190}, "", status=413)
    v.no(PUT, "/mmds", b"{x", "")
    v.no(PATCH, "/mmds", b"{x", "")
    v.no(PUT, "/mmds", None, "Empty")
    expect("as it was", v.ok(GET, "/mmds"), {"a": {"e": [1, "2"]}, "d": 1, "f": True})
    v.stop()
    v = Vmm("--metadata", make("meta", b'{"from": "file"}'))
    expect("--metadata", v.ok(GET, "/mmds"), {"from": "file"})
    v.stop()


def logs():
    """logger and metrics."""
    v = Vmm("--id", "me")
    v.ok(PUT, "/logger", {"log_path": tmp("log"), "level": "warning", "show_level": True, "show_log_origin": True})
    expect("logger", v.ok(GET, "/vm/config")["logger"],
           {"log_path": tmp("log"), "level": "Warning", "show_level": True, "show_log_origin": True, "module": None})
    v.no(GET, "/nothing")
    v.ok(PUT, "/logger", {"level": "INFO"})
    v.ok(GET, "/version")
    with open(tmp("log")) as f:
        lines = f.read().splitlines()
    expect_in("an error", "[me:", lines[0])
    expect_in("its level and place", ":ERROR:", lines[0])
    expect("form", bool(re.match(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9} \[me:[^:]+:ERROR:[^:]+\.c:\d+\] \S", lines[0])), True)
    expect("more at a lower level", any(":INFO:" in x and "/version" in x for x in lines), True)
    for _ in range(30):
        v.ok(GET, "/version")
    with open(tmp("log")) as f:
        got = sum("GET /version" in x for x in f.read().splitlines())
    expect("a place says no more than 10 in 5 s", got <= 10, True)
    rejects_fields(v, PUT, "/logger", {"log_path": tmp("log"), "level": "Info", "show_level": True, "module": "api"})
    v.no(PUT, "/logger", {"level": "Loud"}, "level")
    v.no(PUT, "/logger", {"log_path": tmp("no/dir")}, "No such file")
    for level in ("Off", "error", "Warn", "Debug", "TRACE", "Info"):
        v.ok(PUT, "/logger", {"level": level})

    v.no(PUT, "/metrics", {}, "metrics_path")
    v.no(PUT, "/metrics", {"metrics_path": tmp("no/dir")}, "No such file")
    v.no(PUT, "/metrics", {"metrics_path": tmp("m"), "properties": {"a": 1}}, "properties")
    v.ok(PUT, "/metrics", {"metrics_path": tmp("m"), "emit_id": True, "properties": {"a": "b"}, "unknown": "taken"})
    expect("metrics", v.ok(GET, "/vm/config")["metrics"],
           {"metrics_path": tmp("m"), "emit_id": True, "properties": {"a": "b"}})
    v.no(PUT, "/metrics", {"metrics_path": tmp("m2")}, "already")
    v.stop()

    v = Vmm("--log-path", tmp("log2"), "--level", "Error", "--show-level", "--show-log-origin", "--module", "api/none",
            "--metrics-path", tmp("m3"))
    v.no(GET, "/nothing")
    expect("--module", os.path.getsize(tmp("log2")), 0)
    conf = v.ok(GET, "/vm/config")
    expect("--log-path", (conf["logger"]["log_path"], conf["logger"]["level"]), (tmp("log2"), "Error"))
    expect("--metrics-path", conf["metrics"]["metrics_path"], tmp("m3"))
    v.stop()


def snapshots():
    """What snapshot/load refuses before it looks for files."""
    load = {"snapshot_path": tmp("snap"), "mem_backend": {"backend_type": "File", "backend_path": tmp("mem")}}
    v = Vmm()
    for bad, says in (({"snapshot_path": None}, "snapshot_path"), ({"mem_backend": None}, "exactly one"),
                      ({"mem_file_path": "/x"}, "exactly one"), ({"more": 1}, "more"),
                      ({"mem_backend": {"backend_type": "Disk", "backend_path": "/x"}}, "backend_type"),
                      ({"mem_backend": {"backend_type": "File"}}, "backend_path"),
                      ({"mem_backend": {"backend_type": "File", "backend_path": "/x", "y": 1}}, "y"),
                      ({"track_dirty_pages": True, "enable_diff_snapshots": True}, "want one"),
                      ({"huge_pages": "2M"}, "Uffd"), ({"huge_pages": "4M"}, "huge_pages"),
                      ({"network_overrides": [{"iface_id": "a"}]}, "host_dev_name"),
                      ({"vsock_override": {}}, "uds_path"), ({"ahead_path": 1}, "ahead_path"),
                      ({"clock_realtime": 1}, "clock_realtime"),
                      ({"ahead_path": "/x", "mem_backend": {"backend_type": "Uffd", "backend_path": "/x"}}, "type File")):
        v.no(PUT, "/snapshot/load", {**load, **bad}, says)
    expect("it goes on", v.ok(GET, "/")["state"], "Not started")
    v.ok(PUT, "/logger", {"level": "Info"})
    v.ok(PUT, "/mmds", {"a": 1})
    v.ok(PUT, "/cpu-config", {})
    v.ok(PUT, "/serial", {})
    v.no(PUT, "/snapshot/load", load, "No such file")
    expect("a load that fails ends the process", v.wait(), 1)
    v.stop()
    disk = make("disk", size=4096)
    for path, body in (("/machine-config", {"vcpu_count": 1, "mem_size_mib": 64}), ("/boot-source", {"kernel_image_path": disk}),
                       ("/drives/a", {"drive_id": "a", "is_root_device": False, "path_on_host": disk}),
                       ("/pmem/a", {"id": "a", "path_on_host": disk}), ("/entropy", {}),
                       ("/balloon", {"amount_mib": 1, "deflate_on_oom": True}),
                       ("/vsock", {"guest_cid": 3, "uds_path": tmp("vs")}), ("/hotplug/memory", {"total_size_mib": 128})):
        v = Vmm()
        v.ok(PUT, path, body)
        v.no(PUT, "/snapshot/load", load, "not allowed after configuring")
        expect(f"after PUT {path} it goes on", v.p.poll(), None)
        v.stop()


def run(*args, stdin=subprocess.DEVNULL):
    r = subprocess.run([HULL, "firecracker", *args], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=20, check=False)
    return r.returncode, r.stdout.decode(errors="replace")


def flags():
    """Arguments and exit codes."""
    code, out = run("--version")
    expect("--version", (code, out.splitlines()[0]), (0, "Firecracker v1.17.0"))
    os.symlink(HULL, tmp("firecracker"))
    r = subprocess.run([tmp("firecracker"), "--version"], stdout=subprocess.PIPE, check=False)
    expect("a link named firecracker", (r.returncode, r.stdout.startswith(b"Firecracker v")), (0, True))
    for args in (("--no-such",), ("--no-api",), ("--id", "a b"), ("--id", ""), ("--id", "x" * 65), ("word",),
                 ("--level", "Loud"), ("--http-api-max-payload-size", "x"), ("--seccomp-filter", "/x")):
        expect(f"exit status of {args}", run(*args)[0], 153)
    sock = make("taken")
    code, out = run("--api-sock", sock)
    expect("a socket that is there already", (code, "Failed to open the API socket" in out), (1, True))
    expect("it is not removed", os.path.exists(sock), True)
    expect("a log that cannot be opened", run("--api-sock", tmp("s"), "--log-path", tmp("no/dir"))[0], 1)
    expect("metadata that are none", run("--api-sock", tmp("s"), "--metadata", make("bad", b"{"))[0], 1)
    v = Vmm()
    mode = os.stat(v.sock).st_mode & 0o777
    expect("nobody else may open the socket", mode & 0o077, 0)
    for sig, want in ((1, 156), (7, 149), (11, 150), (25, 151), (24, 154), (4, 157), (31, 148)):
        v = Vmm()
        v.p.send_signal(sig)
        expect(f"exit status after signal {sig}", v.wait(), want)
    v = Vmm()
    v.p.send_signal(13)
    v.ok(GET, "/version")
    v.stop()


def config_file():
    """--config-file: what it refuses."""
    kernel = make("kernel", b"no kernel")
    disk = make("disk", size=4096)
    good = {"boot-source": {"kernel_image_path": kernel, "boot_args": "x"},
            "drives": [{"drive_id": "a", "is_root_device": True, "path_on_host": disk}],
            "machine-config": {"vcpu_count": 1, "mem_size_mib": 64}}

    def load(conf, *args):
        text = conf if isinstance(conf, bytes) else json.dumps(conf).encode()
        return run("--no-api", "--config-file", make("conf", text), *args)

    for what, conf in (("no JSON", b"{"), ("a list", b"[]"), ("unknown key", {**good, "more": 1}),
                       ("serial", {**good, "serial": {}}), ("no kernel", {"drives": []}),
                       ("unknown field", {**good, "machine-config": {"vcpu_count": 1, "mem_size_mib": 64, "x": 1}}),
                       ("bad drive", {**good, "drives": [{"drive_id": "a", "is_root_device": True}]}),
                       ("drives no list", {**good, "drives": {}}), ("two roots", {**good, "drives": 2 * [
                           {"drive_id": x, "is_root_device": True, "path_on_host": disk} for x in "ab"]}),
                       ("bad id", {**good, "drives": [{"drive_id": "a-b", "is_root_device": True,
                                                       "path_on_host": disk}]}),
                       ("kernel that is none", good),
                       ("cpu-config that is not there", {**good, "cpu-config": tmp("none")})):
        code, out = load(conf)
        expect(f"{what}: exit status ({out.strip()})", code, 152)
    expect("file that is not there", run("--no-api", "--config-file", tmp("none"))[0], 152)


def is_sanitized():
    """With a sanitizer hull is linked dynamically: nothing it needs to start is in a jailer's jail."""
    with open(HULL, "rb") as f:
        return b"__asan_init" in f.read()


def need_jailer():
    if os.geteuid() != 0:
        raise Skip("not root")
    if is_sanitized():
        raise Skip("a sanitizer's program cannot start in an empty jail")


def jail(*args, rest=("--api-sock", "/run/s"), name="firecracker", **kw):
    if not os.path.lexists(tmp(name)):
        os.symlink(HULL, tmp(name))
    return subprocess.Popen([HULL, "jailer", "--exec-file", tmp(name), "--chroot-base-dir", tmp("jail"), *args, "--", *rest],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kw)


def jail_says(*args, **kw):
    p = jail(*args, **kw)
    out = p.communicate(timeout=20)[0].decode()
    return p.returncode, out


def proc_status(pid, key):
    with open(f"/proc/{pid}/status") as f:
        return next(x.split(":")[1].split() for x in f if x.startswith(key + ":"))


def jailer():
    """hull jailer: its arguments, what it makes, what the program is left with."""
    need_jailer()
    who = ("--uid", "1234", "--gid", "4321")
    root = tmp("jail/firecracker/one/root")
    victim = make("victim", b"mine")
    os.makedirs(root)
    os.symlink(victim, root + "/firecracker")
    os.symlink(victim, root + "/firecracker.pid")
    keep, keep_end = os.pipe()
    p = jail("--id", "one", *who, "--resource-limit", "no-file=100", "--resource-limit", "fsize=1000000", pass_fds=[keep],
             env={**os.environ, "SECRET": "x"})
    if wait_for("the API in the jail", lambda: os.path.exists(root + "/run/s") or p.poll() is not None) and p.poll() is None:
        c = Connection(root + "/run/s")
        c.send(b"GET / HTTP/1.1\r\n\r\n")
        expect("its id", json.loads(c.answer()[2])["id"], "one")
        expect("user", proc_status(p.pid, "Uid"), ["1234"] * 4)
        expect("group", proc_status(p.pid, "Gid"), ["4321"] * 4)
        expect("groups", proc_status(p.pid, "Groups"), [])
        expect("capabilities", proc_status(p.pid, "CapEff"), ["0" * 16])
        expect("its root", sorted(os.listdir(f"/proc/{p.pid}/root")), ["dev", "firecracker", "firecracker.pid", "run"])
        with open(f"/proc/{p.pid}/mountinfo") as f:
            expect("mounts", len(f.readlines()), 1)
        with open(f"/proc/{p.pid}/environ") as f:
            expect("environment", f.read(), ("HULL_ENGINE=" + os.environ["HULL_ENGINE"] + "\0") if os.environ.get("HULL_ENGINE") else "")
        with open(f"/proc/{p.pid}/limits") as f:
            limits = {x[:26].strip(): x[26:].split()[:2] for x in f}
        expect("limits", (limits["Max open files"], limits["Max file size"]), (["100"] * 2, ["1000000"] * 2))
        open_there = [os.readlink(f"/proc/{p.pid}/fd/{n}") for n in os.listdir(f"/proc/{p.pid}/fd")]
        expect("descriptors of ours", os.readlink(f"/proc/self/fd/{keep}") in open_there, False)
        with open(root + "/firecracker.pid") as f:
            expect("pid file", f.read(), str(p.pid))
        for node, want in (("dev/kvm", (10, 232)), ("dev/net/tun", (10, 200))):
            st = os.stat(f"{root}/{node}")
            expect(node, ((os.major(st.st_rdev), os.minor(st.st_rdev)), st.st_uid, st.st_gid), (want, 1234, 4321))
        expect("the jail's owner", (os.stat(root).st_uid, os.stat(root).st_gid), (1234, 4321))
        c.close()
    p.kill()
    p.communicate()
    os.close(keep)
    os.close(keep_end)
    with open(victim) as f:
        expect("what a planted link points to", f.read(), "mine")
    expect("planted links are gone", (os.path.islink(root + "/firecracker"), os.path.islink(root + "/firecracker.pid")),
           (False, False))

    os.makedirs(tmp("jail/firecracker/linked"))
    os.makedirs(tmp("elsewhere"))
    os.symlink(tmp("elsewhere"), tmp("jail/firecracker/linked/root"))
    code, out = jail_says("--id", "linked", *who)
    expect(f"a root that is a link ({out.strip()})", (code, os.listdir(tmp("elsewhere"))), (1, []))

    p = jail("--id", "two", *who, "--new-pid-ns", "--daemonize", rest=("--api-sock", "/run/s"))
    out = p.communicate(timeout=20)[0]
    expect(f"the parent is done ({out.decode()})", p.returncode, 0)
    root = tmp("jail/firecracker/two/root")
    with open(root + "/firecracker.pid") as f:
        pid = int(f.read())
    wait_for("the API of the second", lambda: os.path.exists(root + "/run/s"))
    expect("process 1 of its own namespace", proc_status(pid, "NSpid"), [str(pid), "1"])
    expect("its streams", [os.readlink(f"/proc/{pid}/fd/{n}") for n in range(3)], ["/dev/null"] * 3)
    expect("its session", os.getsid(pid) != os.getsid(0), True)
    os.kill(pid, 9)
    wait_for("its end", lambda: not os.path.exists(f"/proc/{pid}"))

    for args, says in (((), "--uid is needed"), (("--uid", "1"), "--gid is needed"), (who, "--id is needed"),
                       ((*who, "--id", "a_b"), "instance ID"), ((*who, "--id", ""), "instance ID"),
                       ((*who, "--id", "../x"), "instance ID"), (("--uid", "-1", "--gid", "1", "--id", "a"), "no id"),
                       (("--uid", "root", "--gid", "1", "--id", "a"), "no id"),
                       ((*who, "--id", "a", "--cgroup-version", "3"), "want 1 or 2"),
                       ((*who, "--id", "a", "--cgroup", "nonsense"), "FILE=VALUE"),
                       ((*who, "--id", "a", "--cgroup", "cpu./../x=1"), "not a path"),
                       ((*who, "--id", "a", "--cgroup", "nosuch.thing=1"), "no hierarchy"),
                       ((*who, "--id", "a", "--cgroup", "cpu.shares=1", "--parent-cgroup", "../up"), "without '..'"),
                       ((*who, "--id", "a", "--resource-limit", "stack=1"), "fsize=N"),
                       ((*who, "--id", "a", "--netns", tmp("none")), "No such file"),
                       ((*who, "--id", "a", "--no-such"), "unknown flag")):
        code, out = jail_says(*args)
        expect(f"exit status of {args}: {out.strip()}", code, 1)
        expect_in(f"{args}", says, out)
    code, out = jail_says(*who, "--id", "a", "--exec-file", tmp("none"))
    expect_in("--exec-file that is not there", "No such file", out)
    code, out = jail_says(*who, "--id", "a", "--exec-file", TMP.name)
    expect_in("--exec-file that is a directory", "no regular file", out)


def cgroup_of(pid, controller):
    with open(f"/proc/{pid}/cgroup") as f:
        return next((x.rstrip().split(":")[2] for x in f if controller in x.split(":")[1].split(",")), None)


def jailer_cgroup():
    """--cgroup, version 1."""
    need_jailer()
    mount = next((x.split()[1] for x in open("/proc/self/mounts") if x.split()[2] == "cgroup" and
                  "cpu" in x.split()[3].split(",")), None)
    if not mount or not os.access(mount, os.W_OK):
        raise Skip("no hierarchy of version 1 with the cpu controller")
    parent = f"hull-test-{os.getpid()}"
    p = jail("--id", "cg", "--uid", "1234", "--gid", "4321", "--cgroup", "cpu.shares=77", "--parent-cgroup", parent + "/sub")
    root = tmp("jail/firecracker/cg/root")
    try:
        if wait_for("the API in the jail", lambda: os.path.exists(root + "/run/s") or p.poll() is not None) and \
                p.poll() is None:
            with open(f"{mount}/{parent}/sub/cg/cpu.shares") as f:
                expect("cpu.shares", f.read().strip(), "77")
            expect_in("its cgroup", f"{parent}/sub/cg", cgroup_of(p.pid, "cpu"))
        else:
            expect("the jailer runs", p.stdout.read().decode(), "")
    finally:
        p.kill()
        p.wait()
        for d in ("sub/cg", "sub", ""):
            path = f"{mount}/{parent}/{d}"
            for _ in range(50):
                try:
                    os.rmdir(path)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.02)


GUEST = os.path.join(os.path.dirname(HULL), "guest", "api")


def need_machine():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Skip("no /dev/kvm")
    if not os.path.exists(GUEST):
        raise Skip("the guests are not built")


def booted(args="", *flags, more=(), mem=64, guest=None):
    """A machine that runs our guest, its output in a file of its own."""
    v = Vmm(*flags)
    v.out = tmp(f"serial{Vmm.count}")
    v.ok(PUT, "/machine-config", {"vcpu_count": 1, "mem_size_mib": mem})
    v.ok(PUT, "/boot-source", {"kernel_image_path": os.path.join(os.path.dirname(GUEST), guest) if guest else GUEST,
                                 "boot_args": args})
    v.ok(PUT, "/serial", {"serial_out_path": v.out})
    for path, body in more:
        v.ok(PUT, path, body)
    v.ok(PUT, "/actions", {"action_type": "InstanceStart"})
    return v


def output(v):
    with open(v.out, errors="replace") as f:
        return f.read()


def life():
    """Started, paused, resumed, Ctrl-Alt-Del, ended by the guest: states, refusals, exit status."""
    need_machine()
    v = booted(more=[("/metrics", {"metrics_path": tmp("metrics")})])
    wait_for("the guest's first tick", lambda: "tick" in output(v))
    expect_in("its command line", "up ' pci=off'", output(v))
    expect("state", v.ok(GET, "/")["state"], "Running")
    says = "not supported after starting"
    disk = make("disk", size=4096)
    for method, path, body in (
            (PUT, "/actions", {"action_type": "InstanceStart"}), (PUT, "/machine-config", {"vcpu_count": 1, "mem_size_mib": 64}),
            (PATCH, "/machine-config", {"vcpu_count": 1}), (PUT, "/boot-source", {"kernel_image_path": GUEST}),
            (PUT, "/logger", {"level": "Info"}), (PUT, "/metrics", {"metrics_path": tmp("m9")}), (PUT, "/serial", {}),
            (PUT, "/balloon", {"amount_mib": 1, "deflate_on_oom": True}), (PUT, "/cpu-config", {}), (PUT, "/entropy", {}),
            (PUT, "/vsock", {"guest_cid": 3, "uds_path": tmp("v9")}), (PUT, "/mmds/config", {"network_interfaces": ["a"]}),
            (PUT, "/hotplug/memory", {"total_size_mib": 128}),
            (PUT, "/snapshot/load", {"snapshot_path": "/x", "mem_file_path": "/y"})):
        v.no(method, path, body, says)
    for method, path, body in (
            (PATCH, "/drives/a", {"drive_id": "a", "path_on_host": disk}), (PATCH, "/network-interfaces/a", {"iface_id": "a"}),
            (PATCH, "/pmem/a", {"id": "a", "rate_limiter": LIMIT})):
        v.no(method, path, body, "there is none")
    for method, path, body in (
            (GET, "/balloon", None), (PATCH, "/balloon", {"amount_mib": 1}), (GET, "/balloon/statistics", None),
            (PATCH, "/balloon/statistics", {"stats_polling_interval_s": 1}), (PATCH, "/balloon/hinting/start", None),
            (PATCH, "/balloon/hinting/stop", None), (GET, "/balloon/hinting/status", None)):
        v.no(method, path, body, "balloon")
    v.no(GET, "/hotplug/memory", None, "hot-plug")
    v.no(PATCH, "/hotplug/memory", {"requested_size_mib": 2}, "hot-plug")
    for path in ("/drives/a", "/pmem/a", "/network-interfaces/a"):
        v.no(DELETE, path, None, "PCI is not enabled")
    v.no(PUT, "/drives/a", {"drive_id": "a", "is_root_device": True, "path_on_host": disk}, "root")
    v.no(PUT, "/snapshot/create", {"snapshot_path": tmp("x"), "mem_file_path": tmp("y")}, "not paused")
    v.no(PATCH, "/vm", {"state": "Stopped"}, "Paused")
    v.no(PATCH, "/vm", {}, "state")
    v.ok(PUT, "/mmds", {"a": 1})
    conf = v.ok(GET, "/vm/config")
    expect("configuration of what runs", (conf["boot-source"]["kernel_image_path"], conf["boot-source"]["boot_args"],
                                          conf["machine-config"]["mem_size_mib"]), (GUEST, "", 64))

    v.ok(PATCH, "/vm", {"state": "Paused"})
    v.ok(PATCH, "/vm", {"state": "Paused"})
    expect("state", v.ok(GET, "/")["state"], "Paused")
    time.sleep(0.1)
    before = output(v)
    time.sleep(0.4)
    expect("no tick while paused", output(v), before)
    v.ok(PATCH, "/vm", {"state": "Resumed"})
    v.ok(PATCH, "/vm", {"state": "Resumed"})
    expect("state", v.ok(GET, "/")["state"], "Running")
    wait_for("ticks again", lambda: output(v).count("tick") > before.count("tick") + 1)

    v.ok(PUT, "/actions", {"action_type": "FlushMetrics"})
    with open(tmp("metrics")) as f:
        lines = [json.loads(x) for x in f]
    expect("a line at the start, one on demand", len(lines), 2)
    m = lines[1]
    for group in ("api_server", "deprecated_api", "get_api_requests", "put_api_requests", "patch_api_requests",
                  "latencies_us", "logger", "seccomp", "signals", "vmm"):
        expect(f"group {group}", group in m, True)
    expect("counts since the line before", (m["get_api_requests"]["instance_info_count"],
                                            m["put_api_requests"]["machine_cfg_fails"],
                                            m["patch_api_requests"]["machine_cfg_count"]), (3, 1, 1))
    expect("latency of the pause", 0 < m["latencies_us"]["pause_vm"] < 10 ** 6, True)

    v.ok(PUT, "/actions", {"action_type": "SendCtrlAltDel"})
    expect("exit status when the guest resets", v.wait(), 0)
    expect_in("what it got", "key", output(v))
    expect_in("what it did", "reset", output(v))
    expect("the socket is gone", os.path.exists(v.sock), False)
    with open(tmp("metrics")) as f:
        expect("a last line", len(f.readlines()), 3)
    v.stop()

    v = booted("fault")
    expect("exit status of a triple fault", v.wait(), 0)
    v.stop()
    v = booted("reset", "--boot-timer")
    expect("exit status of a reset", v.wait(), 0)
    expect_in("--boot-timer", "Guest-boot-time = ", v.text())
    v.stop()


def debugged():
    """With a debugger's socket the guest waits for it, stops when it comes, and is ended by it; in the jail, too."""
    need_machine()
    path = tmp("gdb")
    v = booted(mem=64, more=[("/machine-config", {"vcpu_count": 1, "mem_size_mib": 64, "gdb_socket_path": path})])
    expect("state", v.ok(GET, "/")["state"], "Running")
    time.sleep(0.3)
    expect("it waits", output(v), "")
    gdb = socket.socket(socket.AF_UNIX)
    gdb.settimeout(20)
    gdb.connect(path)
    gdb.sendall(b"$vCont;c#a8")
    wait_for("the guest's first tick", lambda: "tick" in output(v))
    gdb.sendall(b"\x03")
    got = b""
    while b"T02" not in got and len(got) < 100:
        got += gdb.recv(100) or b"gone" * 100
    expect_in("it stops", b"T02thread:1;", got)
    ticks = output(v).count("tick")
    time.sleep(0.2)
    expect("it stands", output(v).count("tick"), ticks)
    gdb.sendall(b"$vKill;1#6e")
    expect("exit status", v.wait(), 0)


def cards():
    """A machine with cards on taps: limits changed while it runs, counts, metadata service."""
    need_machine()
    in_netns()
    bucket = {"size": 2000, "refill_time": 10, "one_time_burst": 0}
    v = booted(more=[("/network-interfaces/eth0", {"iface_id": "eth0", "host_dev_name": "tap0", "mtu": 1400,
                                                   "rx_rate_limiter": LIMIT}),
                     ("/network-interfaces/eth1", {"iface_id": "eth1", "host_dev_name": "tap1"}),
                     ("/metrics", {"metrics_path": tmp("metrics")})])
    wait_for("the guest", lambda: "tick" in output(v))
    v.ok(PATCH, "/network-interfaces/eth0", {"iface_id": "eth0", "rx_rate_limiter": {"bandwidth": bucket},
                                             "tx_rate_limiter": {"ops": bucket}})
    got = v.ok(GET, "/vm/config")["network-interfaces"][0]
    expect("limits that were named changed, the others not", (got["rx_rate_limiter"], got["tx_rate_limiter"]),
           ({"bandwidth": bucket, "ops": LIMIT["ops"]}, {"bandwidth": None, "ops": bucket}))
    v.ok(PATCH, "/network-interfaces/eth0", {"iface_id": "eth0", "rx_rate_limiter": {
        "bandwidth": {"size": 0, "refill_time": 0}, "ops": {"size": 0, "refill_time": 1}}})
    expect("0 takes a limit away", v.ok(GET, "/vm/config")["network-interfaces"][0]["rx_rate_limiter"], None)
    v.ok(PATCH, "/network-interfaces/eth1", {"iface_id": "eth1"})
    v.no(PATCH, "/network-interfaces/eth2", {"iface_id": "eth2"}, "there is none")
    rejects_limiters(v, PATCH, "/network-interfaces/eth0", {"iface_id": "eth0"}, "rx_rate_limiter")
    v.ok(PUT, "/actions", {"action_type": "FlushMetrics"})
    v.ok(PUT, "/actions", {"action_type": "FlushMetrics"})
    with open(tmp("metrics")) as f:
        lines = [json.loads(x) for x in f]
    expect("groups of cards", [g in lines[1] for g in ("net", "net_eth0", "net_eth1", "vcpu", "mmds")], [True] * 5)
    expect("the metadata service's counts", (lines[1]["mmds"]["rx_accepted"], len(lines[1]["mmds"])), (0, 13))
    expect("exits since the line before", lines[1]["vcpu"]["exit_io_out"] > lines[2]["vcpu"]["exit_io_out"], True)
    v.stop()


def disks_running():
    """Drives and pmem of a machine that runs: other files, other limits."""
    need_machine()
    one, two, small = make("one", size=1 << 20), make("two", size=2 << 20), make("small", size=4096)
    drive = {"drive_id": "rootfs", "is_root_device": True, "path_on_host": one, "rate_limiter": LIMIT}
    pmem = {"id": "p", "path_on_host": two}
    v = booted(more=[("/drives/rootfs", drive), ("/pmem/p", pmem), ("/entropy", {"rate_limiter": LIMIT}),
                     ("/drives/data", {"drive_id": "data", "is_root_device": False, "path_on_host": two,
                                       "is_read_only": True, "io_engine": "Async"})])
    wait_for("the guest", lambda: "tick" in output(v))
    expect_in("the root in the command line", "root=/dev/vda rw'", output(v))
    v.ok(PATCH, "/drives/rootfs", {"drive_id": "rootfs", "path_on_host": two})
    expect("another file", v.ok(GET, "/vm/config")["drives"][0]["path_on_host"], two)
    bucket = {"size": 7, "refill_time": 8, "one_time_burst": 9}
    v.ok(PATCH, "/drives/rootfs", {"drive_id": "rootfs", "path_on_host": small, "rate_limiter": {"ops": bucket}})
    got = v.ok(GET, "/vm/config")["drives"][0]
    expect("both at once", (got["path_on_host"], got["rate_limiter"]), (small, {"bandwidth": LIMIT["bandwidth"], "ops": bucket}))
    v.no(PATCH, "/drives/rootfs", {"drive_id": "rootfs"}, "vhost-user")
    v.no(PATCH, "/drives/rootfs", {"drive_id": "data", "path_on_host": one}, "does not match")
    v.no(PATCH, "/drives/none", {"drive_id": "none", "path_on_host": one}, "there is none")
    v.no(PATCH, "/drives/rootfs", {"drive_id": "rootfs", "path_on_host": tmp("no")}, "No such file")
    v.no(PATCH, "/drives/rootfs", {"drive_id": "rootfs", "path_on_host": TMP.name}, "")
    rejects_fields(v, PATCH, "/drives/rootfs", {"drive_id": "rootfs", "path_on_host": one})
    rejects_limiters(v, PATCH, "/drives/rootfs", {"drive_id": "rootfs"})
    expect("a refusal changes nothing", v.ok(GET, "/vm/config")["drives"][0], got)
    v.no(DELETE, "/drives/rootfs", None, "root")
    v.no(DELETE, "/drives/data", None, "PCI is not enabled")
    v.no(PUT, "/drives/more", {"drive_id": "more", "is_root_device": False, "path_on_host": one}, "")
    v.no(PUT, "/pmem/more", {"id": "more", "path_on_host": one}, "")
    v.ok(PATCH, "/pmem/p", {"id": "p", "rate_limiter": {"ops": bucket}})
    expect("a pmem device's limit", v.ok(GET, "/vm/config")["pmem"][0]["rate_limiter"], {"bandwidth": None, "ops": bucket})
    v.no(PATCH, "/pmem/q", {"id": "q", "rate_limiter": {"ops": bucket}}, "there is none")
    rejects_fields(v, PATCH, "/pmem/p", {"id": "p"})
    v.ok(PATCH, "/vm", {"state": "Paused"})
    v.ok(PATCH, "/drives/rootfs", {"drive_id": "rootfs", "path_on_host": one})
    v.ok(PATCH, "/vm", {"state": "Resumed"})
    v.stop()
    for path, body, words in (("/drives/r", {"drive_id": "r", "is_root_device": True, "path_on_host": one,
                                             "partuuid": "0eaa91a0-01", "is_read_only": True}, "root=PARTUUID=0eaa91a0-01 ro"),
                              ("/pmem/r", {"id": "r", "path_on_host": two, "root_device": True}, "root=/dev/pmem0 rw")):
        v = booted("reset", more=[(path, body)])
        expect("exit status", v.wait(), 0)
        expect_in("the root in the command line", words, output(v))
        v.stop()


def memory_running():
    """Balloon and memory hot-plug of a machine whose guest has no driver for them: they are there, and say so."""
    need_machine()
    b = {"amount_mib": 0, "deflate_on_oom": False, "stats_polling_interval_s": 1, "free_page_hinting": True,
         "free_page_reporting": False}
    h = {"total_size_mib": 256, "slot_size_mib": 128, "block_size_mib": 2}
    v = booted(more=[("/balloon", b), ("/hotplug/memory", h)])
    wait_for("the guest", lambda: "tick" in output(v))
    expect("balloon", v.ok(GET, "/balloon"), b)
    v.no(PATCH, "/balloon", {"amount_mib": 65}, "memory")
    v.no(PATCH, "/balloon", {"amount_mib": 8}, "driver")
    v.no(PATCH, "/balloon/hinting/start", {"acknowledge_on_stop": False}, "driver")
    rejects_fields(v, PATCH, "/balloon", {"amount_mib": 1})
    v.ok(PATCH, "/balloon/statistics", {"stats_polling_interval_s": 5})
    expect("the interval", v.ok(GET, "/balloon")["stats_polling_interval_s"], 5)
    v.no(PATCH, "/balloon/statistics", {"stats_polling_interval_s": 0}, "disabled")
    v.no(PATCH, "/balloon/statistics", {"stats_polling_interval_s": 65536}, "stats_polling")
    expect("memory hot-plug", v.ok(GET, "/hotplug/memory"), {**h, "plugged_size_mib": 0, "requested_size_mib": 0})
    for bad in (1, 258, 2 ** 32):
        v.no(PATCH, "/hotplug/memory", {"requested_size_mib": bad}, "requested_size_mib")
    v.no(PATCH, "/hotplug/memory", {"requested_size_mib": 128}, "driver")
    v.stop()
    v = booted(more=[("/balloon", {"amount_mib": 0, "deflate_on_oom": False})])
    v.no(GET, "/balloon/statistics", None, "not enabled")
    v.no(PATCH, "/balloon/statistics", {"stats_polling_interval_s": 1}, "enabled")
    v.no(PATCH, "/balloon/hinting/start", None, "not enabled")
    v.no(GET, "/balloon/hinting/status", None, "not enabled")
    v.stop()


def pieces():
    """What is configured is there in the machine, or the start is refused: nothing is left out in silence."""
    need_machine()
    disk = make("disk", size=2 << 20)
    for path, body in (("/drives/a", {"drive_id": "a", "is_root_device": False, "path_on_host": disk}),
                       ("/pmem/a", {"id": "a", "path_on_host": disk}), ("/entropy", {}),
                       ("/balloon", {"amount_mib": 1, "deflate_on_oom": True}), ("/hotplug/memory", {"total_size_mib": 128}),
                       ("/vsock", {"guest_cid": 3, "uds_path": tmp("vs")})):
        v = Vmm()
        v.ok(PUT, "/boot-source", {"kernel_image_path": GUEST, "boot_args": "stay"})
        v.ok(PUT, path, body)
        status, _, text = v.raw(PUT, "/actions", {"action_type": "InstanceStart"})
        if status == 400:
            expect_in(f"{path}: refusal", "not there yet", text.decode())
            expect("it can still be configured", v.ok(GET, "/")["state"], "Not started")
        else:
            expect(f"{path}: start", status, 204)
            expect("state", v.ok(GET, "/")["state"], "Running")
        v.stop()
        wait_for("no socket is left", lambda: not os.path.exists(tmp("vs")))


def templates():
    """A machine of a named template starts where the processor is of its kind, and only there."""
    need_machine()
    with open("/proc/cpuinfo") as f:
        amd = "AuthenticAMD" in f.read()
    for name in ("T2", "T2S", "T2CL", "C3", "T2A"):
        v = Vmm()
        v.ok(PUT, "/boot-source", {"kernel_image_path": GUEST, "boot_args": "reset"})
        v.ok(PUT, "/machine-config", {"vcpu_count": 2, "mem_size_mib": 64, "cpu_template": name}, deprecated=True)
        if amd == (name == "T2A"):
            v.ok(PUT, "/actions", {"action_type": "InstanceStart"})
            expect("exit status", v.wait(), 0)
        else:
            v.no(PUT, "/actions", {"action_type": "InstanceStart"}, f"'{name}': for processors of")
            v.ok(PATCH, "/machine-config", {"cpu_template": "None"}, deprecated=True)
            v.ok(PUT, "/actions", {"action_type": "InstanceStart"})
            expect("exit status without it", v.wait(), 0)
        v.stop()


def snap_and_load():
    """snapshot/create and snapshot/load: full and differential, paused and running, a clone."""
    need_machine()
    files = {"snapshot_path": tmp("snap"), "mem_file_path": tmp("mem")}
    v = booted("marker", more=[("/machine-config", {"vcpu_count": 1, "mem_size_mib": 64, "track_dirty_pages": True})])
    wait_for("the guest", lambda: "tick 2" in output(v))
    v.no(PUT, "/snapshot/create", files, "not paused")
    v.ok(PATCH, "/vm", {"state": "Paused"})
    rejects_fields(v, PUT, "/snapshot/create", {**files, "snapshot_type": "Full"})
    v.no(PUT, "/snapshot/create", {**files, "snapshot_type": "Half"}, "snapshot_type")
    v.no(PUT, "/snapshot/create", {"snapshot_path": tmp("snap")}, "mem_file_path")
    v.no(PUT, "/snapshot/create", {**files, "snapshot_path": tmp("no/dir")}, "No such file")
    make("snap", b"x" * 10 ** 6)
    v.ok(PUT, "/snapshot/create", files)
    expect("the memory file is sparse", (os.stat(tmp("mem")).st_size, os.stat(tmp("mem")).st_blocks * 512 < 8 << 20), (64 << 20, True))
    expect("what was there is cut off", os.stat(tmp("snap")).st_size < 10 ** 6, True)
    expect("still paused", v.ok(GET, "/")["state"], "Paused")
    v.ok(PATCH, "/vm", {"state": "Resumed"})
    ticks = output(v).count("tick")
    wait_for("it goes on", lambda: output(v).count("tick") > ticks)
    v.ok(PATCH, "/vm", {"state": "Paused"})
    diff = {"snapshot_path": tmp("snap2"), "mem_file_path": tmp("mem2"), "snapshot_type": "Diff"}
    v.ok(PUT, "/snapshot/create", diff)
    expect("of the difference some is there", 0 < os.stat(tmp("mem2")).st_blocks * 512 < 1 << 20, True)
    v.stop()

    def loaded(body, deprecated=False):
        c = Vmm()
        c.out = tmp(f"serial{Vmm.count}")
        c.ok(PUT, "/serial", {"serial_out_path": c.out})
        c.ok(PUT, "/snapshot/load", body, deprecated=deprecated)
        return c

    load = {"snapshot_path": tmp("snap"), "mem_backend": {"backend_type": "File", "backend_path": tmp("mem")}}
    c = loaded(load)
    expect("state", c.ok(GET, "/")["state"], "Paused")
    conf = c.ok(GET, "/vm/config")
    expect("its configuration", conf["machine-config"]["mem_size_mib"], 64)
    time.sleep(0.3)
    expect("it does nothing yet", output(c), "")
    c.ok(PATCH, "/vm", {"state": "Resumed"})
    wait_for("it goes on where it was", lambda: "tick" in output(c))
    expect_in("where it was", output(c).split()[1], ("3", "4", "5"))
    c.no(PUT, "/snapshot/load", load, "after starting")
    c.ok(PATCH, "/vm", {"state": "Paused"})
    os.link(tmp("mem"), tmp("mem-too"))
    before = os.stat(tmp("mem"))
    for name in ("mem", "mem-too"):
        c.no(PUT, "/snapshot/create", {"snapshot_path": tmp("snap3"), "mem_file_path": tmp(name)}, "restored from this file")
        c.no(PUT, "/snapshot/create", {"snapshot_path": tmp(name), "mem_file_path": tmp("mem3")}, "restored from this file")
    c.no(PUT, "/snapshot/create", {"snapshot_path": tmp("snap3"), "mem_file_path": tmp("snap3")}, "the same file")
    after = os.stat(tmp("mem"))
    expect("the memory that it came from", (after.st_size, after.st_blocks), (before.st_size, before.st_blocks))
    c.ok(PATCH, "/vm", {"state": "Resumed"})
    ticks = output(c).count("tick")
    wait_for("it still goes on", lambda: output(c).count("tick") > ticks)
    d = loaded({**load, "resume_vm": True})
    expect("a second one of the same", d.ok(GET, "/")["state"], "Running")
    wait_for("it runs at once", lambda: "tick" in output(d))
    d.ok(PUT, "/actions", {"action_type": "SendCtrlAltDel"})
    expect("it ends by itself", d.wait(), 0)
    expect("the first goes on", c.ok(GET, "/")["state"], "Running")
    c.stop()
    d = loaded({**load, "resume_vm": True, "clock_realtime": True})
    wait_for("it runs with its clock put forward", lambda: "tick" in output(d))
    d.stop()
    ahead = {**load, "resume_vm": True, "ahead_path": tmp("ahead")}
    if not BT:
        d = loaded(ahead)
        wait_for("the list of what it touched first", lambda: os.stat(tmp("ahead")).st_size > 32)
        d.stop()
        listed = os.stat(tmp("ahead"))
    d = loaded(ahead)
    wait_for("it runs with the list", lambda: "tick" in output(d))
    expect("state", d.ok(GET, "/")["state"], "Running")
    if not BT:
        expect("the list is as it was", os.stat(tmp("ahead")).st_mtime_ns, listed.st_mtime_ns)
    d.stop()
    d = loaded({"snapshot_path": tmp("snap"), "mem_file_path": tmp("mem"), "enable_diff_snapshots": True}, deprecated=True)
    d.stop()

    version = run("--snapshot-version")
    expect("--snapshot-version", (version[0], bool(re.fullmatch(r"v\d+\.0\.0\n", version[1]))), (0, True))
    expect("--describe-snapshot", run("--describe-snapshot", tmp("snap")), version)
    expect("of something else", run("--describe-snapshot", tmp("mem"))[0], 1)
    expect("of nothing", run("--describe-snapshot", tmp("none"))[0], 1)

    with open(tmp("snap"), "rb") as f:
        good = f.read()
    for what, data in (("empty", b""), ("cut", good[:-7]), ("changed", good[:200] + bytes([good[200] ^ 1]) + good[201:])):
        c = Vmm()
        c.no(PUT, "/snapshot/load", {**load, "snapshot_path": make("bad", data)}, "Cannot load the snapshot")
        expect(f"exit status after a snapshot that is {what}", c.wait(), 1)
        c.stop()


def restart():
    """A start that fails can be put right."""
    need_machine()
    v = Vmm()
    v.ok(PUT, "/boot-source", {"kernel_image_path": make("bad", b"no kernel")})
    v.no(PUT, "/actions", {"action_type": "InstanceStart"}, "Cannot start the microVM")
    v.no(PUT, "/actions", {"action_type": "InstanceStart"}, "Cannot start the microVM")
    expect("state", v.ok(GET, "/")["state"], "Not started")
    v.ok(PUT, "/boot-source", {"kernel_image_path": GUEST, "boot_args": "reset"})
    v.ok(PUT, "/actions", {"action_type": "InstanceStart"})
    expect("exit status", v.wait(), 0)
    v.stop()


def from_file():
    """A machine from a configuration file, with and without the API."""
    need_machine()
    cpu = {"cpuid_modifiers": [{"leaf": "0x1", "subleaf": "0x0", "flags": 0, "modifiers": [
        {"register": "ecx", "bitmap": "0bx"}]}]}
    conf = {"boot-source": {"kernel_image_path": GUEST, "boot_args": "reset -- more"}, "logger": {"level": "Warning"},
            "machine-config": {"vcpu_count": 2, "mem_size_mib": 64}, "cpu-config": make("cpu", json.dumps(cpu).encode()),
            "metrics": {"metrics_path": tmp("mf")}, "drives": [], "network-interfaces": [], "pmem": [], "balloon": None}
    code, out = run("--no-api", "--level", "Warning", "--config-file", make("conf", json.dumps(conf).encode()))
    expect("exit status", code, 0)
    expect("what it said", out.split("\n"), ["up 'reset pci=off -- more'", "reset", ""])
    conf["boot-source"]["boot_args"] = "x"
    v = Vmm("--config-file", make("conf", json.dumps(conf).encode()))
    expect("it runs", v.ok(GET, "/")["state"], "Running")
    expect("as the file says", v.ok(GET, "/machine-config")["vcpu_count"], 2)
    expect("cpu-config of a file of its own", v.ok(GET, "/vm/config")["cpu-config"], cpu)
    v.no(PUT, "/actions", {"action_type": "InstanceStart"}, "after starting")
    v.stop()
    if os.geteuid() == 0 and not is_sanitized():
        os.makedirs(tmp("jail/firecracker/vm/root"))
        os.link(GUEST, tmp("jail/firecracker/vm/root/kernel")) if os.stat(GUEST).st_dev == os.stat(TMP.name).st_dev else \
            subprocess.check_call(["cp", GUEST, tmp("jail/firecracker/vm/root/kernel")])
        conf = {"boot-source": {"kernel_image_path": "/kernel", "boot_args": "reset"},
                "machine-config": {"vcpu_count": 1, "mem_size_mib": 64}}
        with open(tmp("jail/firecracker/vm/root/conf"), "w") as f:
            json.dump(conf, f)
        os.chmod(tmp("jail/firecracker/vm/root/conf"), 0o644)
        code, out = jail_says("--id", "vm", "--uid", "1234", "--gid", "1234", rest=("--no-api", "--config-file", "/conf"))
        expect(f"a machine in a jail: {out}", code, 0)
        expect_in("what it said", "up 'reset pci=off'", out)


def numbered():
    return make("numbered", b"".join(i.to_bytes(8, "little") + bytes(504) for i in range(4096)))


def hotplug():
    """Devices on PCI that come and go while the machine runs, each row taken and refused; the guest uses them."""
    need_machine()
    disk = make("hot", b"from the host", size=1 << 20)
    drive = {"drive_id": "hot", "is_root_device": False, "path_on_host": disk}
    v = booted("rounds=4", "--enable-pci", guest="hotplug")
    wait_for("the guest", lambda: "ready" in output(v))
    for path in ("/drives/hot", "/pmem/hot", "/network-interfaces/hot"):
        v.no(DELETE, path, None, "there is none")
    v.no(PUT, "/drives/hot", {**drive, "is_root_device": True}, "root")
    v.no(PUT, "/drives/hot", {**drive, "path_on_host": tmp("no")}, "No such file")
    v.no(PUT, "/pmem/hot", {"id": "hot", "path_on_host": disk, "root_device": True}, "root")
    v.no(PUT, "/network-interfaces/hot", {"iface_id": "hot", "host_dev_name": "no/name"}, "cannot be")
    rejects_fields(v, PUT, "/drives/hot", drive)
    expect("nothing has come", v.ok(GET, "/vm/config")["drives"], [])
    for n, engine in enumerate(("Sync", "Async"), 1):
        v.ok(PUT, "/drives/hot", {**drive, "io_engine": engine, "rate_limiter": LIMIT})
        wait_for("the guest uses it", lambda: output(v).count("write 0") == n)
        expect_in("what it read", "disk 1: 2048 sectors, read 0: from the host", output(v))
        v.no(PUT, "/drives/hot", drive, "one already")
        got = v.ok(GET, "/vm/config")["drives"]
        expect("the configuration has it", [(d["drive_id"], d["path_on_host"]) for d in got], [("hot", disk)])
        v.ok(PATCH, "/drives/hot", {"drive_id": "hot", "path_on_host": disk})
        v.ok(PATCH, "/drives/hot", {"drive_id": "hot", "rate_limiter": LIMIT})
        v.ok(DELETE, "/drives/hot")
        v.no(DELETE, "/drives/hot", None, "there is none")
        wait_for("the guest sees it go", lambda: output(v).count("gone") == n)
        expect("the configuration has it not", v.ok(GET, "/vm/config")["drives"], [])
        with open(disk, "rb") as f:
            f.seek(512)
            expect("what the guest wrote", f.read(512), b"G" * 512)
    v.ok(PUT, "/pmem/hot", {"id": "hot", "path_on_host": disk})
    wait_for("the guest reads the memory", lambda: "memory 1: from the host" in output(v))
    v.no(PUT, "/pmem/hot", {"id": "hot", "path_on_host": disk}, "one already")
    v.ok(PATCH, "/pmem/hot", {"id": "hot", "rate_limiter": LIMIT})
    v.ok(DELETE, "/pmem/hot")
    wait_for("the guest sees it go", lambda: output(v).count("gone") == 3)
    v.ok(PATCH, "/vm", {"state": "Paused"})
    v.ok(PUT, "/pmem/hot", {"id": "hot", "path_on_host": disk, "read_only": True})
    v.ok(PATCH, "/vm", {"state": "Resumed"})
    wait_for("what came while it was paused is there", lambda: output(v).count("memory 1: from the host") == 2)
    v.stop()
    v = booted("rounds=1", "--enable-pci", guest="hotplug", more=[("/machine-config", {"vcpu_count": 2, "mem_size_mib": 64})])
    wait_for("the guest", lambda: "ready" in output(v))
    for i in range(20):
        v.ok(PUT, f"/pmem/p{i}", {"id": f"p{i}", "path_on_host": disk})
        v.ok(DELETE, f"/pmem/p{i}")
    for i in range(16):
        v.ok(PUT, f"/drives/d{i}", {**drive, "drive_id": f"d{i}"})
    v.no(PUT, "/drives/d16", {**drive, "drive_id": "d16"}, "16 already")
    expect("it runs", v.ok(GET, "/")["state"], "Running")
    v.stop()


def hotplug_net():
    """A card comes and goes: its tap is the machine's, and then nobody's."""
    need_machine()
    if os.geteuid() != 0 or subprocess.call(["ip", "tuntap", "add", "hull-hot0", "mode", "tap"],
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) != 0:
        raise Skip("cannot make a tap")
    try:
        card = {"iface_id": "hot", "host_dev_name": "hull-hot0", "guest_mac": "06:00:ac:10:00:02", "mtu": 1400}
        v = booted("", "--enable-pci", guest="hotplug")
        wait_for("the guest", lambda: "ready" in output(v))
        for _ in range(2):
            v.ok(PUT, "/network-interfaces/hot", card)
            v.no(PUT, "/network-interfaces/hot", card, "")
            got = v.ok(GET, "/vm/config")["network-interfaces"]
            expect("the configuration has it", [n["host_dev_name"] for n in got], ["hull-hot0"])
            v.ok(PATCH, "/network-interfaces/hot", {"iface_id": "hot", "rx_rate_limiter": LIMIT})
            v.ok(DELETE, "/network-interfaces/hot")
            expect("the configuration has it not", v.ok(GET, "/vm/config")["network-interfaces"], [])
        v.stop()
    finally:
        subprocess.call(["ip", "link", "del", "hull-hot0"])


def plugged_memory():
    """Memory comes and goes while a guest with a driver for it runs, behind registers and on PCI, and through a snapshot."""
    need_machine()
    h = {"total_size_mib": 384, "slot_size_mib": 128, "block_size_mib": 2}
    for flags in ((), ("--enable-pci",)):
        v = booted("changes=4", *flags, guest="mem", more=[("/hotplug/memory", h)])
        wait_for("the guest", lambda: output(v).count("not there") == 1)
        said = ["384 MiB in blocks of 2, plugged 0", "too much: 1, beyond: 3, state 0 1", "not there: 0xffffffffffffffff"]
        for asked, says in ((8, "plug 8 MiB: 0, 0 pages held something, 8 MiB are there"),
                            (136, "plug 128 MiB: 0, 0 pages held something, 136 MiB are there"),
                            (64, "unplug 72 MiB: 0, 64 MiB are there"),
                            (66, "plug 2 MiB: 0, 0 pages held something, 66 MiB are there")):
            v.ok(PATCH, "/hotplug/memory", {"requested_size_mib": asked})
            wait_for(f"{asked} MiB", lambda: says in output(v))
            said.append(says)
            expect("as it is told", v.ok(GET, "/hotplug/memory"), {**h, "plugged_size_mib": asked, "requested_size_mib": asked})
            if asked == 136:
                v = reborn(v, *flags)
                said = []
        wait_for("the end", lambda: "needs a reset" in output(v))
        said += ["not there: 0x0", "the device needs a reset"]  # in a part of which something is plugged
        expect("all it said", output(v).splitlines(), said)
        v.stop()


def reborn(v, *flags):
    """The machine saved, ended, and restored by another process. Not over the files that its own memory comes from."""
    snap, mem = tmp(f"snap{Vmm.count}"), tmp(f"mem{Vmm.count}")
    v.ok(PATCH, "/vm", {"state": "Paused"})
    v.ok(PUT, "/snapshot/create", {"snapshot_path": snap, "mem_file_path": mem})
    v.stop()
    c = Vmm(*flags)
    c.out = tmp(f"serial{Vmm.count}")
    c.ok(PUT, "/serial", {"serial_out_path": c.out})
    c.ok(PUT, "/snapshot/load", {"snapshot_path": snap, "mem_backend": {"backend_type": "File", "backend_path": mem},
                                 "resume_vm": True})
    return c


def working_on():
    """A guest in the middle of its work is saved and restored, again and again, and does not notice; its generation is another."""
    need_machine()
    disk = numbered()

    def rounds(v):
        return re.findall(r"round (\d+)\n", output(v))

    for flags in ((), ("--enable-pci",)):
        for args in ("noevent", "packed indirect"):
            v = booted(args, *flags, guest="snapshot", more=[
                ("/drives/d", {"drive_id": "d", "is_root_device": False, "path_on_host": disk, "io_engine": "Async"})])
            for _ in range(2):
                wait_for("three rounds", lambda: len(rounds(v)) > 3 or "panic" in output(v))
                expect("panics", output(v).count("panic"), 0)
                last = int(rounds(v)[-1])
                v = reborn(v, *flags)
            wait_for("it goes on", lambda: rounds(v))
            expect("where it was", int(rounds(v)[0]) >= last, True)
            v.stop()
    v = booted("", guest="vmgenid")
    wait_for("the generation", lambda: re.search(r"generation \w+\n", output(v)))
    first = output(v).split()[1]
    v = reborn(v)
    wait_for("it is told", lambda: "same\n" in output(v) or "another\n" in output(v))
    got = output(v).split()
    expect("another generation", (got[:2], got[2] != first, got[3]), (["told,", "now"], True, "another"))
    v.stop()
    drive = {"drive_id": "hot", "is_root_device": False, "path_on_host": make("hot", b"from the host", size=1 << 20)}
    v = booted("rounds=2", "--enable-pci", guest="hotplug")
    wait_for("the guest", lambda: "ready" in output(v))
    v.ok(PUT, "/drives/hot", drive)
    wait_for("the guest uses it", lambda: "write 0" in output(v))
    v = reborn(v, "--enable-pci")
    v.ok(DELETE, "/drives/hot")
    wait_for("what came before the snapshot goes after it", lambda: "gone" in output(v))
    v.ok(PUT, "/drives/hot", drive)
    wait_for("and comes again", lambda: "write 0" in output(v))
    v.stop()
# --- the two processes -----------------------------------------------------------------------------------------------


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(x) for x in f.read().split()]


def machine_of(v):
    """The machine's process: the child of the API's."""
    children = children_of(v.p.pid)
    expect("one child", len(children), 1)
    return children[0]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def status_of(path):
    with open(path) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def jailed():
    """What the machine's process still has while its guest runs, and what the API's process has."""
    need_machine()
    one, two = make("one", size=1 << 20), make("two", size=1 << 20)
    v = booted(more=[("/drives/a", {"drive_id": "a", "is_root_device": False, "path_on_host": one}),
                     ("/vsock", {"guest_cid": 3, "uds_path": tmp("vs")})])
    pid = machine_of(v)
    wait_for("the guest", lambda: "tick" in output(v))
    threads = os.listdir(f"/proc/{pid}/task")
    expect("a thread for the processor", len(threads) >= 2, True)
    for t in threads:
        got = status_of(f"/proc/{pid}/task/{t}/status")
        expect("filtered", (got["Seccomp"], got["NoNewPrivs"]), ("2", "1"))
        for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            expect(caps, got[caps], "0" * 16)
    if os.geteuid() == 0:
        expect("nobody", status_of(f"/proc/{pid}/status")["Uid"].split()[0], "65534")
    for ns in ("user", "mnt", "net", "ipc", "uts"):
        expect(f"{ns} namespace of its own", os.readlink(f"/proc/{pid}/ns/{ns}") != os.readlink(f"/proc/self/ns/{ns}"), True)
    expect("an empty root", os.listdir(f"/proc/{pid}/root/"), [])
    with open(f"/proc/{pid}/mountinfo") as f:
        mounts = f.read().splitlines()
    expect("one mount, of which nothing can be written or run", (len(mounts), " / / ro,nosuid,nodev,noexec" in mounts[0]), (1, True))
    fine = re.compile("/dev/(null|kvm)|anon_inode:|socket:|pipe:|/memfd:|" + "|".join(map(re.escape, (one, v.log, v.out))))
    fds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    expect("descriptors of nothing else", [x for x in fds if not fine.match(x)], [])
    v.ok(PATCH, "/drives/a", {"drive_id": "a", "path_on_host": two})
    fds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    expect("the file that a request names came, the other went", (two in fds, one in fds), (True, False))
    fds = [os.readlink(f"/proc/{v.p.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{v.p.pid}/fd")]
    expect("the API's process keeps none of it", [x for x in fds if x in (one, two, "/dev/kvm", v.out)], [])
    v.ok(PUT, "/mmds", {"a": {"b": [1]}})
    v.ok(PATCH, "/mmds", {"a": None})
    v.ok(PUT, "/actions", {"action_type": "SendCtrlAltDel"})
    expect("exit status", v.wait(), 0)
    expect("both sockets are gone", [x for x in (v.sock, tmp("vs")) if os.path.exists(x)], [])

    v = booted("", "--no-seccomp")
    expect("--no-seccomp", status_of(f"/proc/{machine_of(v)}/status")["Seccomp"], "0")
    v.stop()
    with open(tmp("conf"), "w") as f:
        json.dump({"boot-source": {"kernel_image_path": GUEST}}, f)
    v = Vmm("--no-api", "--config-file", tmp("conf"), wait=False)
    wait_for("the guest", lambda: "tick" in v.text())
    expect("without an API there is one process", os.listdir(f"/proc/{v.p.pid}/root/"), [])
    for t in os.listdir(f"/proc/{v.p.pid}/task"):
        expect("and it is filtered", status_of(f"/proc/{v.p.pid}/task/{t}/status")["Seccomp"], "2")
    v.stop()


def bad_call(tid):
    """Make a thread that waits in the kernel do getppid(2) instead, which no filter of ours allows."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    attach, cont, getregs, setregs, detach, wall = 16, 7, 12, 13, 17, 0x40000000
    regs = (ctypes.c_uint64 * 27)()
    for _ in range(1000):
        if libc.ptrace(attach, tid, None, None) < 0:
            raise Skip("this process may not trace another")
        while os.WSTOPSIG(os.waitpid(tid, wall)[1]) != signal.SIGSTOP:  # another signal came first
            libc.ptrace(cont, tid, None, None)
        libc.ptrace(getregs, tid, None, regs)
        with open(f"/proc/{tid}/mem", "rb") as f:
            f.seek(regs[16] - 2)
            if f.read(2) == b"\x0f\x05":  # else it was stopped between two calls
                break
        libc.ptrace(detach, tid, None, None)
        time.sleep(0.003)
    regs[16] -= 2  # rip: at the call once more
    regs[10], regs[15] = 110, 2 ** 64 - 1  # rax; orig_rax: nothing to restart
    libc.ptrace(setregs, tid, None, regs)
    libc.ptrace(detach, tid, None, None)


def deaths():
    """However one of the two processes ends, the other does, with the status that says why."""
    need_machine()
    v = booted()
    pid = machine_of(v)
    bad_call(pid)
    expect("a bad call of the loop", v.wait(), 148)
    expect_in("it says which", "system call 110", v.text())
    v = booted()
    pid = machine_of(v)
    wait_for("the guest", lambda: "tick" in output(v))  # its processor has its name and its filter
    cpu = [t for t in os.listdir(f"/proc/{pid}/task") if status_of(f"/proc/{pid}/task/{t}/status")["Name"].startswith("cpu")]
    bad_call(int(cpu[0]))
    expect("a bad call of a processor", v.wait(), 148)
    expect("the socket is gone", os.path.exists(v.sock), False)
    for sig, code in ((signal.SIGSYS, 148), (signal.SIGBUS, 149), (signal.SIGSEGV, 150), (signal.SIGXFSZ, 151),
                      (signal.SIGXCPU, 154), (signal.SIGHUP, 156), (signal.SIGILL, 157), (signal.SIGKILL, 1), (signal.SIGTERM, 1)):
        v = booted()
        pid = machine_of(v)
        os.kill(pid, sig)
        expect(f"{sig.name} to the machine", v.wait(), code)
        expect("the socket is gone", os.path.exists(v.sock), False)
    for sig, code in ((signal.SIGKILL, -9), (signal.SIGTERM, -15), (signal.SIGHUP, 156)):
        v = booted(more=[("/vsock", {"guest_cid": 3, "uds_path": tmp("vs")})])
        pid = machine_of(v)
        os.kill(v.p.pid, sig)
        expect(f"{sig.name} to the API", v.wait(), code)
        wait_for("the machine's end", lambda: not alive(pid))
        wait_for("the guest's socket is gone", lambda: not os.path.exists(tmp("vs")))
    v = Vmm()
    pid = machine_of(v)
    os.kill(v.p.pid, signal.SIGKILL)
    v.wait()
    wait_for("the end of a machine that was never started", lambda: not alive(pid))


def hotplug_files():
    """Devices that come and go while a guest runs: their files come from the API's process."""
    need_machine()
    in_netns()
    one, two = make("one", size=1 << 20), make("two", size=2 << 20)
    drive = {"drive_id": "root", "is_root_device": True, "path_on_host": one}
    v = booted("", "--enable-pci", more=[("/drives/root", drive)])
    wait_for("the guest", lambda: "tick" in output(v))
    b = {"drive_id": "b", "is_root_device": False, "path_on_host": two, "is_read_only": True}
    v.ok(PUT, "/drives/b", b)
    v.ok(PUT, "/drives/c", {"drive_id": "c", "is_root_device": False, "path_on_host": one, "io_engine": "Async"})
    v.ok(PUT, "/pmem/p", {"id": "p", "path_on_host": two})
    v.ok(PUT, "/network-interfaces/n", {"iface_id": "n", "host_dev_name": "tap0"})
    got = v.ok(GET, "/vm/config")
    expect("drives", [(d["drive_id"], d["path_on_host"]) for d in got["drives"]], [("root", one), ("b", two), ("c", one)])
    expect("pmem", [p["id"] for p in got["pmem"]], ["p"])
    expect("cards", [n["host_dev_name"] for n in got["network-interfaces"]], ["tap0"])
    os.chmod(one, 0o444)
    v.ok(PATCH, "/drives/b", {"drive_id": "b", "path_on_host": one})
    pid = machine_of(v)
    flags = [open(f"/proc/{pid}/fdinfo/{fd}").read().split("flags:\t")[1].split()[0][-1]
             for fd in os.listdir(f"/proc/{pid}/fd") if os.readlink(f"/proc/{pid}/fd/{fd}") == one]
    expect("a read-only drive's file is open for reading only", sorted(flags), ["0", "2", "2"])
    for path in ("/no/file", TMP.name):
        v.no(PUT, "/drives/d", {"drive_id": "d", "is_root_device": False, "path_on_host": path}, path)
    v.no(PUT, "/network-interfaces/m", {"iface_id": "m", "host_dev_name": "tap0"}, "already in use")
    v.no(PUT, "/drives/b", {"drive_id": "b", "is_root_device": False, "path_on_host": two}, "")
    v.ok(DELETE, "/drives/b")
    v.ok(DELETE, "/pmem/p")
    v.ok(DELETE, "/network-interfaces/n")
    v.no(DELETE, "/drives/b", None, "there is none")
    v.no(DELETE, "/drives/root", None, "root")
    v.no(PATCH, "/drives/b", {"drive_id": "b", "path_on_host": two}, "there is none")
    v.ok(PUT, "/drives/b", {"drive_id": "b", "is_root_device": False, "path_on_host": two})
    v.ok(PATCH, "/drives/b", {"drive_id": "b", "path_on_host": two})
    v.ok(PATCH, "/vm", {"state": "Paused"})
    v.ok(PUT, "/snapshot/create", {"snapshot_path": tmp("snap"), "mem_file_path": tmp("mem")})
    v.ok(PATCH, "/vm", {"state": "Resumed"})
    expect("it runs", v.ok(GET, "/")["state"], "Running")
    v.stop()
    c = Vmm("--enable-pci")
    c.ok(PUT, "/snapshot/load", {"snapshot_path": tmp("snap"), "mem_backend": {"backend_type": "File", "backend_path": tmp("mem")},
                                 "resume_vm": True})
    expect("drives of the copy", [d["drive_id"] for d in c.ok(GET, "/vm/config")["drives"]], ["root", "c", "b"])
    c.ok(PATCH, "/drives/b", {"drive_id": "b", "path_on_host": one})
    c.stop()


SECTIONS = {f.__name__: f for f in (server, routing, states, machine, disks, devices, net, mmds, logs, snapshots, flags,
                                    config_file, jailer, jailer_cgroup, life, debugged, cards, disks_running, memory_running, pieces, snap_and_load, restart, from_file, templates,
                                    hotplug, hotplug_net, plugged_memory, working_on, jailed, deaths, hotplug_files)}


def main():
    try:
        SECTIONS[sys.argv[2]]()
    except Skip as why:
        print(f"# skip: {why}")
        sys.exit(77)
    finally:
        for v in Vmm.all:
            v.stop()
    if not CHECKED:
        print("# nothing was checked")
    print(f"{CHECKED} expectations, {FAILED} not met")
    sys.exit(1 if FAILED or not CHECKED else 0)


main()
