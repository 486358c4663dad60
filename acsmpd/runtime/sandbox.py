"""How engines are walled off on this box: chosen once at the start by trying, then built into a command.

`bwrap`: bubblewrap with PID, IPC and UTS namespaces of its own, /usr read-only, the program read-only, one
writable scratch folder, a bounded /tmp, no data directory, no capabilities. The network is shared, because
engines are called on loopback and fetch their streams themselves: other listeners of the box, abstract
sockets too, are reachable to an engine. When we are root the engine runs as another account all the same.
`user`: as runtime.user, under a guard process, the data directory covered where the kernel lets us.
`bare`: under the guard process only (runtime.allow_unsandboxed).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from acsmpd.faults import NotAllowed
from acsmpd.runtime.values import RuntimeSettings

BWRAP, USER, BARE, NONE = "bwrap", "user", "bare", "none"

_NOBODY = (65534, 65534)
_PROBE_SECONDS = 10.0
_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC = (
    "alternatives", "ca-certificates", "crypto-policies", "hosts", "ld.so.cache", "localtime",
    "nsswitch.conf", "pki", "resolv.conf", "ssl",
)  # fmt: skip
_SYS = ("/sys/devices/system/cpu",)
_SYS_WITH_CARDS = ("/sys/bus/pci", "/sys/devices", "/sys/class/drm", "/sys/module/nvidia")
_TMP = "/tmp"  # noqa: S108 - a mount point inside the sandbox, not a file of ours
_CARD_NODES = {"nvidia": ("nvidia*", "nvidia-caps/*")}
# names a loader obeys: they must not reach the program that changes the account
_LOADER_NAMES = ("LD_", "GLIBC_", "GCONV_PATH", "LOCPATH")


class Way(Struct, frozen=True, kw_only=True):
    """The way chosen. `account` is what engines run as when it is not ours; `reason` tells why this way."""

    kind: str
    reason: str
    program: str = ""
    account: tuple[int, int] | None = None
    sized_tmpfs: bool = False


class Places(Struct, frozen=True, kw_only=True):
    """Host folders of one engine; inside they lie at the same paths."""

    work: Path
    scratch: Path
    license: Path | None = None
    devices: tuple[Path, ...] = ()


def choose(settings: RuntimeSettings) -> Way:
    """The strongest way that works here; kind NONE with the reason when none is allowed."""
    _refuse_open_data(settings)
    refusals: list[str] = []
    for kind, attempt in ((BWRAP, _try_bwrap), (USER, _try_user), (BARE, _try_bare)):
        if settings.way in ("auto", kind):
            found = attempt(settings)
            if isinstance(found, Way):
                return found
            refusals.append(found)
    return Way(kind=NONE, reason=f"cannot run algorithm programs on this box: {'; '.join(refusals)}")


def card_devices(vendor: str, dev: Path = Path("/dev")) -> tuple[Path, ...]:
    """The device nodes an engine with a card of this vendor needs.

    All cards' nodes: their numbers need not follow the driver's indexes; the environment picks the card.
    """
    patterns = _CARD_NODES.get(vendor.strip().lower(), ())
    return tuple(sorted(node for pattern in patterns for node in dev.glob(pattern) if node.is_char_device()))


def command(
    way: Way, settings: RuntimeSettings, places: Places, argv: Sequence[str], env: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """(what to exec, the options bubblewrap reads from a file: the environment stands on no command line)."""
    if way.kind != BWRAP:
        return list(argv), []
    before = env
    inner = list(argv)
    if way.account is not None:
        late = {name: value for name, value in env.items() if name.startswith(_LOADER_NAMES)}
        before = {name: value for name, value in env.items() if name not in late}
        inner = [*_change_account(*way.account), *_with(late), *inner]
    options = [*_walls(way, settings, places), *_environment(before)]
    return [way.program, *inner], options


def _walls(way: Way, settings: RuntimeSettings, places: Places) -> list[str]:
    readable = (*settings.read_only_paths, places.work, *([places.license] if places.license else []))
    options = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "engine"]
    options += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if way.account is not None:
        options += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    options += [*_system(with_cards=bool(places.devices)), "--proc", "/proc", "--dev", "/dev"]
    options += _small_places(way, settings, places)
    options += _parents([*readable, places.scratch])
    for path in readable:
        options += ["--ro-bind", str(path), str(path)]
    options += ["--bind", str(places.scratch), str(places.scratch)]
    for node in places.devices:
        options += ["--dev-bind", str(node), str(node)]
    return [*options, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(places.work)]


def _small_places(way: Way, settings: RuntimeSettings, places: Places) -> list[str]:
    if not way.sized_tmpfs:  # before bubblewrap 0.7: /tmp is a folder of the bounded scratch
        return ["--bind", str(places.scratch), _TMP]
    sized = ["--perms", "1777", "--size", str(settings.tmp_max_bytes), "--tmpfs"]
    return [*sized, _TMP, *sized, "/dev/shm"]  # noqa: S108 - inside the sandbox


def _system(*, with_cards: bool) -> list[str]:
    options = ["--ro-bind", "/usr", "/usr"]
    for name in _SYSTEM:
        here = Path("/") / name
        if here.is_symlink():
            options += ["--symlink", os.readlink(here), str(here)]
        elif here.is_dir():
            options += ["--ro-bind", str(here), str(here)]
    wanted = [*(f"/etc/{name}" for name in _ETC), *(_SYS_WITH_CARDS if with_cards else _SYS)]
    for path in wanted:
        if Path(path).exists():
            options += ["--ro-bind", path, path]
    return options


def _parents(paths: Iterable[Path]) -> list[str]:
    """The folders on the way, made beforehand: those bubblewrap makes itself only root may pass."""
    ways = dict.fromkeys(parent for path in paths for parent in reversed(path.parents))
    made = [str(parent) for parent in ways if str(parent) not in ("/", _TMP)]
    return [part for parent in made if not parent.startswith("/usr") for part in ("--dir", parent)]


def _environment(env: Mapping[str, str]) -> list[str]:
    return ["--clearenv", *(part for name, value in env.items() for part in ("--setenv", name, value))]


def _change_account(uid: int, gid: int) -> list[str]:
    return ["setpriv", "--reuid", str(uid), "--regid", str(gid), "--clear-groups", "--inh-caps=-all", "--"]


def _with(late: Mapping[str, str]) -> list[str]:
    return ["env", *(f"{name}={value}" for name, value in late.items())] if late else []


def _try_bwrap(settings: RuntimeSettings) -> Way | str:
    program = shutil.which("bwrap")
    if program is None:
        return "bubblewrap (bwrap) is not installed"
    account = _account(settings.user) if os.geteuid() == 0 else None
    if os.geteuid() == 0 and account is None:
        account = _NOBODY
    said = ""
    for sized in (True, False):
        way = Way(kind=BWRAP, reason=f"{program} works", program=program, account=account, sized_tmpfs=sized)
        said = _probe(way, settings)
        if not said:
            return way
    return f"bubblewrap does not work here ({said})"


def _probe(way: Way, settings: RuntimeSettings) -> str:
    """Run the real walls once around a program that does nothing; "" when it worked, else what was said."""
    stand_in = Path("/usr/share")
    places = Places(work=stand_in, scratch=stand_in)
    argv, options = command(way, settings, places, ["true"], {"PATH": "/usr/bin:/bin"})
    try:
        done = subprocess.run(
            [argv[0], *options, "--", *argv[1:]],
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)[:200]
    first = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {done.returncode}"]
    return "" if done.returncode == 0 else first[0][:200]


def _try_user(settings: RuntimeSettings) -> Way | str:
    if not settings.user:
        return "runtime.user is not set"
    if os.geteuid() != 0:
        return f"runtime.user = {settings.user} needs the daemon to be root"
    account = _account(settings.user)
    if account is None:
        return f"there is no account named {settings.user}"
    if account[0] == 0:
        return "runtime.user must not be root"
    return Way(kind=USER, reason=f"engines run as {settings.user}", account=account)


def _try_bare(settings: RuntimeSettings) -> Way | str:
    if not settings.allow_unsandboxed:
        return "runtime.allow_unsandboxed is false"
    return Way(kind=BARE, reason="runtime.allow_unsandboxed is set: engines can read what the daemon can")


def _account(name: str) -> tuple[int, int] | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


def _refuse_open_data(settings: RuntimeSettings) -> None:
    data = settings.data_dir.resolve()
    for path in (Path("/usr"), *settings.read_only_paths):
        if not path.is_absolute() or not path.exists():
            raise NotAllowed(
                f"cannot let engines read {path}: runtime.read_only_paths takes existing absolute paths"
            )
        real = path.resolve()
        if data == real or real in data.parents or data in real.parents:
            raise NotAllowed(
                f"cannot let engines read {path}: it holds, or lies in, the data directory {data}"
            )
