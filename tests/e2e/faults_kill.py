#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kill hull's commands, shims and containers at random instants, then ask what is left.

usage: faults_kill.py HULL CONTEXT ROOTFS ARCHIVE
  CONTEXT a directory with a Dockerfile, beside a config.json for bundles; ROOTFS a tar archive; ARCHIVE a saved image. HULL_ROOT,
  HULL_RUN_ROOT and OCI_ROOT are of the caller's making and hold the image "busybox:1". FAULT_SEED and FAULT_ROUNDS repeat and lengthen
  a run, FAULT_SECONDS bounds it.

Every process that hull starts ends up as a child of this one, which is a child subreaper: so nothing gets away unseen. A command
counts as acknowledged when what it prints on success is complete, killed or not; what was acknowledged must be there at each check.
Exit status: 0 nothing lost, nothing left.
"""
import ctypes
import glob
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

HULL, CONTEXT, ROOTFS, ARCHIVE = sys.argv[1:5]
ROOT, RUN, OCI = os.environ["HULL_ROOT"], os.environ["HULL_RUN_ROOT"], os.environ["OCI_ROOT"]
SEED = int(os.environ.get("FAULT_SEED") or time.time_ns() % 1000000)
ROUNDS = int(os.environ.get("FAULT_ROUNDS") or 300)
SECONDS = float(os.environ.get("FAULT_SECONDS") or 75)
CHECK_EVERY = 30
GROUP = "/hull-faults-%d" % os.getpid()  # the control group that all containers are in
TIMEOUT_S = 20
PR_SET_CHILD_SUBREAPER = 36

rnd = random.Random(SEED)
images = {"busybox:1"}  # acknowledged
containers = {}  # acknowledged: name -> how it was made
bundles = set()  # acknowledged
history = []
failures = []


def fail(text):
    failures.append(text)
    print("FAULT: %s" % text, flush=True)


def hull(*args):
    """Run to the end. Return: status, output, errors."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, subprocess.Popen(
            [HULL, *args], stdin=subprocess.DEVNULL, stdout=out, stderr=err) as p:
        wait(p, args)
        return p.returncode, contents(out), contents(err)


def contents(f):
    f.seek(0)
    return f.read().decode(errors="replace")


def wait(p, args):
    """Until it ends; one that does not is a fault, told with all that is known of who waits for what."""
    try:
        p.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        fail("hangs: %s" % " ".join(args))
        print("\n".join(history[-20:]))
        for pid in descendants(os.getpid()):
            print("  %d: %s" % (pid, name_of(pid)))
            print("    " + " < ".join(text_of(pid, "stack").split("\n"))[:600])
            for fd in glob.glob("/proc/%d/fd/*" % pid):
                try:
                    print("    %s -> %s" % (os.path.basename(fd), os.readlink(fd)))
                except OSError:
                    pass
        kill(p.pid)
        p.wait()


def oci(*args):
    return hull("oci", "--root", OCI, *args)


# --- processes --------------------------------------------------------------------------------------------------


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def descendants(top):
    """All below a process, without those that have ended and wait to be reaped."""
    found, todo = [], [top]
    while todo:
        for path in glob.glob("/proc/%d/task/*/children" % todo.pop()):
            try:
                with open(path, encoding="ascii") as f:
                    children = [int(pid) for pid in f.read().split()]
            except OSError:
                continue
            todo += children
            found += [pid for pid in children if alive(pid)]
    return found


def reap():
    """Orphans that have ended; Popen objects wait for their own."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def is_ours(pid):
    while pid > 1:
        if pid == os.getpid():
            return True
        try:
            with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
                pid = int(f.read().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def kill(pid):
    """SIGKILL to a process that is ours: the descriptor and the question about its ancestors are of one process."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if is_ours(pid):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    except OSError:
        pass
    finally:
        os.close(fd)


def text_of(pid, name):
    try:
        with open("/proc/%d/%s" % (pid, name), "rb") as f:
            return f.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "?"


def name_of(pid):
    return text_of(pid, "cmdline")


# --- commands ---------------------------------------------------------------------------------------------------


class Command:
    """One hull command: its arguments, and what its success acknowledges."""

    def __init__(self, kind, args, stdin=None, done=None):
        self.kind, self.args, self.stdin, self.done = kind, args, stdin, done


serial = [0]


def fresh(prefix):
    serial[0] += 1
    return "%s%d" % (prefix, serial[0])


def is_id(text, prefix=""):
    return text.startswith(prefix) and len(text) >= len(prefix) + 64 and text.endswith("\n")


def group():
    return ["--cgroup-parent", GROUP]


def run_rm():
    args = ["run", "--rm", *group(), "busybox:1", "sh", "-c", "echo hi; usleep %d" % rnd.randrange(20000)]
    return Command("run --rm", args)


def run_d():
    name = fresh("d")
    restart = rnd.choice([[], [], ["--restart", "always"]])
    text = rnd.choice(["sleep 1000", "sleep 1000", "usleep 5000", "exit 3"])

    def done(out):
        if is_id(out):
            containers[name] = "run -d"

    return Command("run -d", ["run", "-d", "--name", name, *group(), *restart, "-v", "/data", "busybox:1", "sh", "-c", text], done=done)


def create():
    name = fresh("c")

    def done(out):
        if is_id(out):
            containers[name] = "create"

    return Command("create", ["create", "--name", name, *group(), "busybox:1", "sh", "-c", "echo up; exec sleep 1000"], done=done)


def some(kind, make):
    """A command on some container that is there, or a new one."""
    if not containers:
        return create()
    return make(kind, rnd.choice(sorted(containers)))


def on_container(kind):
    def make(_, name):
        return Command(kind, [*kind.split(), name])
    return lambda: some(kind, make)


def remove():
    def make(_, name):
        def gone(_):
            pass
        del containers[name]  # from here on it may or may not be there
        return Command("rm -f", ["rm", "-f", "-v", name], done=gone)
    return some("rm", make)


def execute():
    def make(_, name):
        return Command("exec", ["exec", name, "sh", "-c", "usleep 3000; echo in"])
    return some("exec", make)


def commit():
    def make(_, name):
        tag = fresh("commit") + ":1"

        def done(out):
            if is_id(out, "sha256:"):
                images.add(tag)
        return Command("commit", ["commit", name, tag], done=done)
    return some("commit", make)


def build():
    tag = fresh("build") + ":1"

    def done(out):
        if is_id(out, "sha256:"):
            images.add(tag)
    return Command("build", ["build", "-q", "-t", tag, "--build-arg", "N=%s" % tag, CONTEXT], done=done)


def load():
    return Command("load", ["load", "-i", ARCHIVE])


def import_():
    tag = fresh("import") + ":1"

    def done(out):
        if is_id(out, "sha256:"):
            images.add(tag)
    return Command("import", ["import", "-c", "LABEL n=%s" % tag, ROOTFS, tag], done=done)


def rmi():
    mine = sorted(i for i in images if i != "busybox:1")
    if not mine:
        return build()
    tag = rnd.choice(mine)
    images.discard(tag)
    return Command("rmi", ["rmi", tag])


def prune():
    # what does not run goes: it is acknowledged no more
    for name in list(containers):
        del containers[name]
    return Command("system prune", ["system", "prune", "-f"])


def bundle(name):
    path = os.path.join(os.path.dirname(OCI), "bundle-" + name)
    os.makedirs(path)
    with open(os.path.join(CONTEXT, "..", "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    config["linux"]["cgroupsPath"] = "%s/%s" % (GROUP, name)
    with open(os.path.join(path, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)
    return path


def oci_make(verb, *options):
    def make():
        name = fresh("o")

        def done(_):
            bundles.add(name)
        return Command("oci " + verb, ["oci", "--root", OCI, verb, *options, "--bundle", bundle(name), name], done=done)
    return make


def oci_on(verb, *options):
    def make():
        if not bundles:
            return oci_make("create")()
        name = rnd.choice(sorted(bundles))
        if verb == "delete":
            bundles.discard(name)
        return Command("oci " + verb, ["oci", "--root", OCI, verb, *options, name])
    return make


def oci_exec():
    if not bundles:
        return oci_make("create")()
    return Command("oci exec", ["oci", "--root", OCI, "exec", rnd.choice(sorted(bundles)), "/bin/true"])


# Weights: what makes and unmakes most things most often.
MENU = [(run_rm, 8), (run_d, 8), (create, 5), (on_container("start"), 6), (on_container("stop -t 0"), 4),
        (on_container("restart -t 0"), 3), (on_container("pause"), 1), (on_container("unpause"), 1), (remove, 8), (execute, 3),
        (commit, 3), (build, 6), (load, 3), (import_, 3), (rmi, 3), (prune, 1), (oci_make("create"), 5),
        (oci_make("run", "--detach"), 4), (oci_on("start"), 3), (oci_on("delete", "-f"), 4), (oci_exec, 1)]


# --- rounds -----------------------------------------------------------------------------------------------------

took = {}  # kind -> seconds it takes when nobody disturbs it


def victims(pid, how):
    if how == "command":
        return [pid]
    below = descendants(pid)
    if how == "tree":
        return [pid, *below]
    # one of the shims, guards, first processes: whatever hull has around just now
    others = [p for p in descendants(os.getpid()) if p != pid]
    return [rnd.choice(others)] if others else [pid]


def attempt(cmd, undisturbed):
    """Start a command and kill something after a while. Its output tells whether it acknowledged."""
    # Files, not pipes: what `oci create` leaves running holds on to them.
    with tempfile.TemporaryFile() as out_file, tempfile.TemporaryFile() as err_file, subprocess.Popen(
            [HULL, *cmd.args], stdin=subprocess.DEVNULL, stdout=out_file, stderr=err_file, start_new_session=True) as p:
        start, how, after = time.monotonic(), "-", 0.0
        if not undisturbed:
            how = rnd.choices(["command", "tree", "other"], [5, 3, 2])[0]
            after = rnd.uniform(0, 1.15) * took.get(cmd.kind, 0.03)
            try:
                p.wait(after)
                how = "late"
            except subprocess.TimeoutExpired:
                for pid in victims(p.pid, how):
                    kill(pid)
        wait(p, cmd.args)
        out, err = contents(out_file), contents(err_file)
    spent = time.monotonic() - start
    history.append("%-14s %-7s %5.1f ms -> %d  %s" % (cmd.kind, how, after * 1000, p.returncode, " ".join(cmd.args)))
    if undisturbed and p.returncode == 0:
        took[cmd.kind] = spent
    elif p.returncode == 0 and how == "late":
        took[cmd.kind] = 0.7 * took.get(cmd.kind, spent) + 0.3 * spent
    if cmd.done and (p.returncode == 0 or out.endswith("\n")):
        cmd.done(out)
    if err.count("\n") > 3 and "build" not in cmd.kind:
        fail("%s: more than a few lines: %s" % (" ".join(cmd.args), err))
    if how != "-":
        reap()
    return p.returncode


def check(when):
    """What was acknowledged is there, and hull can tell."""
    code, out, err = hull("ps", "-a", "--no-trunc", "--format", "{{.Names}} {{.State}}")
    if code:
        fail("%s: ps -a: %s" % (when, err))
    there = dict(line.rsplit(" ", 1) for line in out.splitlines())
    for name, how in containers.items():
        if name not in there:
            fail("%s: container %s (%s) was acknowledged and is gone" % (when, name, how))
    code, out, err = hull("images", "--format", "{{.Repository}}:{{.Tag}}")
    if code:
        fail("%s: images: %s" % (when, err))
    for tag in images - set(out.split()):
        fail("%s: image %s was acknowledged and is gone" % (when, tag))
    for tag in rnd.sample(sorted(images), min(2, len(images))):
        code, out, err = hull("run", "--rm", *group(), tag, "echo", "works")
        if (code, out) != (0, "works\n"):
            fail("%s: image %s does not work: %d %s" % (when, tag, code, err))
    idle = sorted(n for n in containers if there.get(n) in ("created", "exited", "dead"))
    for name in rnd.sample(idle, min(2, len(idle))):
        code, out, err = hull("start", name)
        if code:
            fail("%s: container %s (%s) does not start: %s" % (when, name, there[name], err))
    code, out, err = oci("list", "-q")
    for name in bundles - set(out.split()):
        fail("%s: oci container %s was acknowledged and is gone" % (when, name))


# --- the end ----------------------------------------------------------------------------------------------------


def groups_left():
    where = glob.glob("/sys/fs/cgroup/*%s/*" % GROUP) + glob.glob("/sys/fs/cgroup%s/*" % GROUP)
    return [g for g in where if os.path.isdir(g)]


def build_groups():
    return {g for g in glob.glob("/sys/fs/cgroup/*/hull-build/*") + glob.glob("/sys/fs/cgroup/hull-build/*") if os.path.isdir(g)}


def files_left():
    left = []
    for top in [ROOT + "/tmp", ROOT + "/instances", ROOT + "/volumes", RUN + "/shim", RUN + "/level", OCI]:
        if os.path.isdir(top):
            left += [os.path.join(top, name) for name in os.listdir(top) if name[0] not in ".@"]
    for top in [ROOT, ROOT + "/layers", ROOT + "/blobs/sha256", RUN]:
        left += glob.glob(top + "/*.tmp")
    return left


def mounts_left():
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        return [line for line in f if os.path.dirname(ROOT) in line]


def finish(build_groups_before):
    code, out, err = hull("ps", "-aq", "--no-trunc")
    if code:
        fail("the end: ps -a: %s" % err)
    for name in out.split():
        code, _, err = hull("rm", "-f", "-v", name)
        if code:
            fail("the end: rm -f: %s" % err)
    for name in oci("list", "-q")[1].split():
        code, _, err = oci("delete", "-f", name)
        if code:
            fail("the end: oci delete -f: %s" % err)
    code, _, err = hull("system", "prune", "-f", "--volumes")
    if code:
        fail("the end: system prune: %s" % err)
    left, deadline = None, time.monotonic() + 5
    while left is None or (left and time.monotonic() < deadline):
        time.sleep(0.05)
        reap()
        left = [("process", "%d %s" % (p, name_of(p))) for p in descendants(os.getpid())]
    left += [("mount", m.strip()) for m in mounts_left()]
    left += [("cgroup", g) for g in groups_left() + sorted(build_groups() - build_groups_before)]
    left += [("file", f) for f in files_left()]
    for kind, what in left:
        fail("the end: %s left: %s" % (kind, what))
    containers.clear()
    bundles.clear()
    check("the end")
    hull("rmi", "-f", *sorted(images))
    hull("system", "prune", "-a", "-f")
    for top in [ROOT + "/layers", ROOT + "/blobs/sha256"]:
        for name in os.listdir(top):
            fail("the end: file left of no image: %s/%s" % (top, name))


def remove_group():
    for top in glob.glob("/sys/fs/cgroup/*%s" % GROUP) + glob.glob("/sys/fs/cgroup%s" % GROUP):
        try:
            os.rmdir(top)
        except OSError as e:
            fail("the end: %s: %s" % (top, e.strerror))


def main():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # With the leak sanitizer a process at its end is traced by a helper of its own, and stays stopped when that one is killed.
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    before = build_groups()
    print("seed %d, %d rounds" % (SEED, ROUNDS), flush=True)
    start, n = time.monotonic(), 0
    for make, _ in MENU:
        attempt(make(), True)
    for n in range(1, ROUNDS + 1):
        attempt(rnd.choices([m for m, _ in MENU], [w for _, w in MENU])[0](), False)
        if n % CHECK_EVERY == 0:
            seen = len(failures)
            check("round %d" % n)
            if len(failures) > seen:
                print("\n".join(history[-CHECK_EVERY:]))
        if time.monotonic() - start > SECONDS:
            break
    finish(before)
    remove_group()
    print("%d rounds in %.0f s, %d faults; seed %d" % (n, time.monotonic() - start, len(failures), SEED))
    if failures:
        print("\n".join(history[-40:]))
    return 1 if failures or n < min(ROUNDS, 100) else 0


if __name__ == "__main__":
    sys.exit(main())
