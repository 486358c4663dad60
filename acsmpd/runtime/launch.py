"""The last steps before an engine runs, in a process of its own: `python -I -S launch.py ORDER_FD REPORT_FD`.

Run as a file with the standard library alone: it starts in some 20 ms and inherits nothing. The order
(JSON) comes through a pipe and is sent only after the record is on disk; a daemon that died before sends
nothing, and nothing is started. What fails is told through the second pipe, which a good exec closes.

mode "exec": become the program (bubblewrap), which is killed when the daemon's spawner thread goes.
mode "guard": stay as the reaper of the program and of all it forks; SIGTERM is handed to the program's
process group, SIGHUP (also sent by the kernel when the daemon dies) ends the whole tree.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = (
    1,
    2,
    4,
    32,
    4096,
    16384,
    1 << 18,
)
_HEARD = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
CANNOT_START = 127

_libc = ctypes.CDLL(None, use_errno=True)


def main(order_fd: int, report_fd: int) -> int:
    """Carry out the order; returns only when it could not be, or when the guarded program has ended."""
    order = _read_order(order_fd)
    if order is None:
        return CANNOT_START
    os.set_inheritable(report_fd, False)
    try:
        _limit(order)
        if order["mode"] == "guard":
            return _guard(order, report_fd)
        _die_with(order["parent"], signal.SIGKILL)
        _become(order)
    except OSError as error:
        _report(report_fd, error)
    return CANNOT_START


def _read_order(fd: int) -> dict[str, Any] | None:
    with os.fdopen(fd, "rb") as pipe:
        text = pipe.read()
    try:
        return dict(json.loads(text))
    except ValueError:
        return None  # the daemon went away in the middle


def _report(fd: int, error: OSError) -> None:
    what = f"{error.filename}: " if error.filename else ""
    os.write(fd, f"{what}{error.strerror or error}".encode()[:1000])


def _limit(order: dict[str, Any]) -> None:
    for procs in order["cgroup_procs"]:
        with open(procs, "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    for name, wanted in order["limits"].items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))
    os.umask(0o077)


def _die_with(parent: int, last_signal: int) -> None:
    _call("prctl", _PR_SET_PDEATHSIG, last_signal)
    if os.getppid() != parent:
        raise ProcessLookupError(3, "the daemon is gone")


def _become(order: dict[str, Any]) -> None:
    # Python ignores these two for itself, and what is ignored stays ignored over an exec
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.chdir(order["chdir"])
    argv = order["argv"]
    if order["options"]:
        argv = [argv[0], "--args", str(_in_memory(order["options"])), "--", *argv[1:]]
    try:
        os.execvpe(argv[0], argv, order["env"])  # noqa: S606 - no shell is what we want
    except OSError as error:
        error.filename = argv[0]
        raise


def _in_memory(options: list[str]) -> int:
    """A descriptor bubblewrap reads its options from, each ended by a NUL."""
    fd = os.memfd_create("options", 0)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write("".join(f"{option}\0" for option in options).encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _guard(order: dict[str, Any], report_fd: int) -> int:
    _call("prctl", _PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    _die_with(order["parent"], signal.SIGHUP)
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _descend(order, guard)
        except OSError as error:
            _report(report_fd, error)
        os._exit(CANNOT_START)
    os.close(report_fd)
    return _watch(child)


def _descend(order: dict[str, Any], guard: int) -> None:
    """In the child: a group of its own, another account, no way back, then the program."""
    os.setpgid(0, 0)
    if order["hide"]:
        _hide(order["hide"], order["keep"])
    if order["account"]:
        uid, gid = order["account"]
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _die_with(guard, signal.SIGKILL)  # a change of account clears it, hence last
    _become(order)


def _watch(child: int) -> int:
    while True:
        heard = signal.sigwait(_HEARD)
        if heard == signal.SIGTERM:
            _send(-child, signal.SIGTERM)
        elif heard == signal.SIGHUP:
            return _end_tree(child)
        elif (status := _reap().get(child)) is not None:
            _end_tree(child)
            return _shell_code(status)


def _reap() -> dict[int, int]:
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def _shell_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _end_tree(child: int) -> int:
    """Stop, then kill, everything below us until nothing is left; a fork in between is met again."""
    status: int | None = None
    while below := _below(os.getpid()):
        for last_signal in (signal.SIGSTOP, signal.SIGKILL):
            for pid in below:
                _send(pid, last_signal)
        signal.sigtimedwait((signal.SIGCHLD,), 0.05)
        status = _reap().get(child, status)
    return _shell_code(status) if status is not None else 128 + signal.SIGKILL


def _below(root: int) -> list[int]:
    """Every descendant of root that is not yet reaped, by the parents in /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (parent := _parent(name)) is not None:
            children.setdefault(parent, []).append(int(name))
    found, row = [], [root]
    while row:
        row = [child for pid in row for child in children.get(pid, ())]
        found += row
    return found


def _parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return None


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _hide(folder: str, keep: list[list[Any]]) -> None:
    """Cover `folder` with an empty one for this process tree, but for the kept paths (path, writable)."""
    try:
        _call("unshare", _CLONE_NEWNS)
    except PermissionError:
        return  # no private mounts here: the folder's own mode is what keeps the account out
    _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    inside = [(path, writable) for path, writable in keep if path.startswith(folder.rstrip("/") + "/")]
    held = [(path, writable, os.open(path, os.O_PATH), os.path.isdir(path)) for path, writable in inside]
    _call("mount", b"none", folder.encode(), b"tmpfs", _MS_NOSUID | _MS_NODEV, b"mode=0755,size=1m")
    os.umask(0o022)
    for path, writable, fd, is_folder in held:
        _place(path, writable, fd, is_folder)
    _call("mount", b"none", folder.encode(), None, _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV, None)
    os.umask(0o077)


def _place(path: str, writable: bool, fd: int, is_folder: bool) -> None:
    os.makedirs(path if is_folder else os.path.dirname(path), exist_ok=True)
    if not is_folder:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o444))
    _call("mount", f"/proc/self/fd/{fd}".encode(), path.encode(), None, _MS_BIND, None)
    if not writable:
        _call("mount", b"none", path.encode(), None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID, None)
    os.close(fd)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
