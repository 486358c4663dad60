"""algo.yaml, the description of an algorithm package (conventions section 4).

Keys fold case and `_`/`-`, unknown ones are ignored. Every fault names the place: "algo.yaml: bin.type: ...".
"""

from __future__ import annotations

import re
import shlex
from typing import Any

import msgspec
from msgspec import Struct

from acsmpd import faults
from acsmpd.packages import names
from acsmpd.packages.mapping import At

MEMBER = "algo.yaml"
MAX_BYTES = 1024 * 1024
IMAGE, ARTIFACT = "image", "artifact"
_KINDS = {"image": IMAGE, "engine": IMAGE, "artifact": ARTIFACT, "bin": ARTIFACT}
DATA_TYPES = ("STRUCTURING", "ALERT", "STATISTICS", "OTHER")
TASK_TYPES = ("VIDEO_REALTIME", "VIDEO_PLAYBACK", "VIDEO_FILE", "IMAGE_REALTIME")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,127}")
_RESERVED_CODES = ("Search", ".", "..")  # the first is a printed address, the others are lost in any URL
_EVENT_ID = re.compile(r"[A-Z0-9_]{1,128}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_PACKAGE_ID = re.compile(r"[0-9]{40}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MAX_QUOTA = 64.0
_MAX_CAPACITY = 100_000


class Ability(Struct, frozen=True, kw_only=True):
    """One capability (AlgoDef) the package carries."""

    code: str
    name: str
    data_type: str
    event_ids: tuple[str, ...] = ()
    task_types: tuple[str, ...]
    task_fields: tuple[dict[str, Any], ...] = ()


class Xpu(Struct, frozen=True, kw_only=True):
    """One kind of card it runs on. quota = cards one replica takes; limit 0 = none."""

    quota: float = 1.0
    limit: float = 0.0
    vendor: str = ""
    accelerator: str = ""
    resolution: str = ""
    stream_video_quota: int = 0
    stream_capture_quota: int = 0
    analyze_quota: int = 0


class Manifest(Struct, frozen=True, kw_only=True):
    """What algo.yaml says, judged. `xpu` empty = runs on CPU."""

    id: str | None = None
    name: str
    version: str
    provider: str
    description: str = ""
    tags: tuple[str, ...] = ()
    kind: str
    remote_uri: str = ""
    local_uri: str = ""  # "." is the package's top itself
    abilities: tuple[Ability, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    xpu: tuple[Xpu, ...] = ()

    def to_json(self) -> bytes:
        """For storing; from_json gives the same Manifest back."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, raw: bytes | str) -> Manifest:
        return msgspec.json.decode(raw, type=cls)


def read_manifest(raw: bytes) -> Manifest:
    """The judged content of algo.yaml; InvalidPackage names the place and the reason."""
    try:
        return _manifest(_top(raw))
    except faults.InvalidPackage as fault:
        raise faults.InvalidPackage(f"{MEMBER}: {fault.message}") from fault


def _top(raw: bytes) -> At:
    from acsmpd.packages.yamltext import parse  # here, since it brings PyYAML along

    if len(raw) > MAX_BYTES:
        raise faults.InvalidPackage(f"larger than {MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise faults.InvalidPackage(f"not UTF-8 (byte {error.start})") from error
    tree = parse(text)
    if not isinstance(tree, dict):
        raise faults.InvalidPackage("not a mapping of keys and values")
    return At("", tree)


def _manifest(top: At) -> Manifest:
    package_id = top.text("id", 256)
    if package_id and not _PACKAGE_ID.fullmatch(package_id):
        raise top.wrong("id", "40 digits are expected")
    program = top.inner("bin")
    runtime = top.inner("algo_runtime")
    kind = _kind(program)
    return Manifest(
        id=package_id or None,
        name=_line(top, "name", required=True),
        version=_line(top, "version", required=True),
        provider=_provider(top),
        description=top.text("description", 4096),
        tags=tuple(tag for tag in top.texts("tags", 128) if tag),
        kind=kind,
        remote_uri=_line(program, "remote_uri", most=1024),
        local_uri=_local_uri(program, kind),
        abilities=_abilities(top),
        cmd=_command(runtime, kind),
        env=_environment(runtime),
        xpu=runtime.items("xpu", _xpu),
    )


def _line(at: At, key: str, *, most: int = 256, required: bool = False) -> str:
    text = at.text(key, most, required=required)
    if _CONTROL.search(text):
        raise at.wrong(key, "holds a control character")
    return text


def _provider(top: At) -> str:
    provider = _line(top, "provider") or _line(top, "author")
    if not provider:
        raise top.wrong("provider", "required (or author), but missing")
    return provider


def _kind(program: At) -> str:
    given = program.text("type", 64, required=True)
    kind = _KINDS.get(given.lower())
    if kind is None:
        raise program.wrong("type", f"image or artifact is expected, not {names.shown(given)!r}")
    return kind


def _local_uri(program: At, kind: str) -> str:
    given = program.text("local_uri", 4096)
    if not given:
        if kind == ARTIFACT:
            raise program.wrong("local_uri", "required for an artifact, but missing")
        if program.tree("remote_uri") is None:
            raise program.wrong("remote_uri", "required (or local_uri) for an image, but missing")
        return ""
    try:
        return names.clean(given) or "."
    except faults.InvalidPackage as fault:
        raise program.wrong("local_uri", fault.message) from fault


def _abilities(top: At) -> tuple[Ability, ...]:
    found = top.items("abilities", _ability)
    if not found:
        raise top.wrong("abilities", "required: a package carries at least one capability")
    seen: set[str] = set()
    for index, ability in enumerate(found):
        if ability.code in seen:
            raise top.wrong(f"abilities[{index}].code", f"{ability.code} stands twice in this package")
        seen.add(ability.code)
    return found


def _ability(at: At) -> Ability:
    code = at.text("code", 256, required=True)
    if not _CODE.fullmatch(code):
        raise at.wrong("code", f"1 to 127 letters, digits, _ . - are expected, not {names.shown(code)!r}")
    if code in _RESERVED_CODES:
        raise at.wrong("code", f"{code!r} is reserved and cannot be a capability")
    task_types = tuple(_one_of(at, "task_types", value, TASK_TYPES) for value in at.texts("task_types", 64))
    if not task_types:
        raise at.wrong("task_types", "required: at least one of " + ", ".join(TASK_TYPES))
    return Ability(
        code=code,
        name=_line(at, "name") or code,
        data_type=_one_of(at, "data_type", at.text("data_type", 64) or "OTHER", DATA_TYPES),
        event_ids=_event_ids(at),
        task_types=tuple(dict.fromkeys(task_types)),
        task_fields=at.fields("task_fields"),
    )


def _one_of(at: At, key: str, value: str, allowed: tuple[str, ...]) -> str:
    if value.upper() not in allowed:
        raise at.wrong(key, f"{names.shown(value)!r} is none of {', '.join(allowed)}")
    return value.upper()


def _event_ids(at: At) -> tuple[str, ...]:
    found = at.texts("event_ids", 256)
    for index, event_id in enumerate(found):
        if not _EVENT_ID.fullmatch(event_id):
            raise at.wrong(
                f"event_ids[{index}]", f"1 to 128 of A-Z, 0-9, _ are expected, not {names.shown(event_id)!r}"
            )
    return found


def _command(runtime: At, kind: str) -> tuple[str, ...]:
    command = runtime.words("cmd", 4096)
    if command is None:
        command = _split(runtime, runtime.text("cmd", 65_536))
    if kind == ARTIFACT and not (command and command[0]):
        raise runtime.wrong("cmd", "required for an artifact, but missing")
    return command


def _split(runtime: At, line: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(line))
    except ValueError as error:
        raise runtime.wrong("cmd", f"cannot be split into words: {error}") from error


def _environment(runtime: At) -> tuple[tuple[str, str], ...]:
    found = runtime.items("env", _variable)
    seen: set[str] = set()
    for index, (name, _) in enumerate(found):
        if name in seen:
            raise runtime.wrong(f"env[{index}].name", f"{name} is given twice")
        seen.add(name)
    return found


def _variable(at: At) -> tuple[str, str]:
    name = at.text("name", 256, required=True)
    if not _ENV_NAME.fullmatch(name):
        raise at.wrong("name", f"{names.shown(name)!r} cannot name an environment variable")
    return name, at.exact("value", 4096)


def _xpu(at: At) -> Xpu:
    capacities = at.inner("capacities")
    quota = at.number("quota", 1.0, 0.0, _MAX_QUOTA)
    if quota == 0.0:
        raise at.wrong("quota", "more than 0 cards are expected")
    return Xpu(
        quota=quota,
        limit=at.number("limit", 0.0, 0.0, _MAX_QUOTA),
        vendor=_line(at, "vendor", most=64),
        accelerator=_line(at, "accelerator", most=64),
        resolution=_line(at, "resolution", most=64),
        stream_video_quota=_capacity(capacities, "stream_video_quota"),
        stream_capture_quota=_capacity(capacities, "stream_capture_quota"),
        analyze_quota=_capacity(capacities, "analyze_quota"),
    )


def _capacity(at: At, key: str) -> int:
    number = at.number(key, 0, 0, _MAX_CAPACITY)
    if number != int(number):
        raise at.wrong(key, "a whole number is expected")
    return int(number)
