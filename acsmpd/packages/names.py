"""What a name inside a package may look like, and where its links lead."""

from __future__ import annotations

import re
from collections.abc import Mapping

from acsmpd import faults

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NOT_UTF8 = re.compile(r"[\ud800-\udfff]")
_MAX_LINK_STEPS = 1_000_000
_MAX_LINKS_ON_A_WAY = 40


def shown(name: str) -> str:
    """A name fit for a message: printable and short."""
    text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    text = _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)
    return text if len(text) <= 200 else text[:197] + "..."


def clean(name: str, *, max_bytes: int = 4096, max_depth: int = 64) -> str:
    """The name without `./` and doubled slashes, "" for the top itself; an unsafe one is a fault."""
    if _NOT_UTF8.search(name):
        raise faults.InvalidPackage(f"{shown(name)}: the name is not UTF-8")
    if _CONTROL.search(name):
        raise faults.InvalidPackage(f"{shown(name)}: the name holds a control character")
    if len(name.encode()) > max_bytes:
        raise faults.InvalidPackage(f"{shown(name)}: the name is longer than {max_bytes} bytes")
    if name.startswith("/"):
        raise faults.InvalidPackage(f"{shown(name)}: an absolute path")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise faults.InvalidPackage(f"{shown(name)}: the path leaves the package (..)")
    if len(parts) > max_depth:
        raise faults.InvalidPackage(f"{shown(name)}: more than {max_depth} folders deep")
    if any(len(part.encode()) > 255 for part in parts):
        raise faults.InvalidPackage(f"{shown(name)}: a part of the name is longer than 255 bytes")
    return "/".join(parts)


def below(name: str, folder: str) -> str | None:
    """The name as seen from inside `folder` ("" = the top), None when it lies elsewhere."""
    if folder == "":
        return name
    if name == folder:
        return ""
    return name[len(folder) + 1 :] if name.startswith(folder + "/") else None


class Links:
    """Follows symbolic links on paper, as the kernel would: a link may itself lie behind links."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = targets
        self._steps = 0

    def check(self, folder: str = "") -> None:
        """Every link below `folder` must lead to a place below `folder`."""
        inside = {below(name, folder): name for name in self._targets}
        table = {name: self._targets[full] for name, full in inside.items() if name}
        for name in table:
            reason = self._reason(name, table)
            if reason:
                raise faults.InvalidPackage(f"{shown(inside[name])}: {reason}")

    def _reason(self, name: str, table: Mapping[str, str]) -> str:
        """Why the link is no good, "" when it is."""
        here: list[str] = []
        ahead = name.split("/")[::-1]
        passed = 0
        while ahead:
            part = ahead.pop()
            self._steps += 1
            if self._steps > _MAX_LINK_STEPS:
                return "the links of this package are too tangled to follow"
            if part == ".." and not here:
                return f"a link that leaves its folder: {shown(table[name])}"
            if part == "..":
                here.pop()
                continue
            if part in ("", "."):
                continue
            here.append(part)
            target = table.get("/".join(here))
            if target is None:
                continue
            passed += 1
            if target.startswith("/"):
                return f"a link that leaves its folder: {shown(target)}"
            if passed > _MAX_LINKS_ON_A_WAY:
                return "a link that leads in a circle"
            here.pop()
            ahead.extend(target.split("/")[::-1])
        return ""
