"""Small algorithm packages for tests."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import yaml

PACKAGE_ID = "1101000000502000000120261121120000000001"
CAPABILITY = "ACSMPD-TEST-1.0.0"


def make_package(
    folder: Path,
    *,
    package_id: str | None = PACKAGE_ID,
    name: str = "test-algo",
    version: str = "1.0.0",
    provider: str = "ACSMPD",
    codes: tuple[str, ...] = (CAPABILITY,),
    events: tuple[str, ...] = ("INTRUSION",),
    program: dict[str, str] | None = None,
    cmd: list[str] | None = None,
    env: dict[str, str] | None = None,
    types: tuple[str, ...] = ("VIDEO_REALTIME",),
    xpu: list[dict[str, object]] | None = None,
    file_name: str = "",
) -> Path:
    """A package tar of the given content; `program` maps names under bin/ to texts."""
    runtime: dict[str, object] = {"cmd": cmd or ["./run.sh"]}
    if env:
        runtime["env"] = [{"name": key, "value": value} for key, value in env.items()]
    if xpu:
        runtime["xpu"] = xpu
    description: dict[str, object] = {
        "name": name,
        "version": version,
        "provider": provider,
        "bin": {"type": "artifact", "local_uri": "bin"},
        "abilities": [
            {
                "code": code,
                "name": f"测试 {code}",
                "data_type": "ALERT",
                "event_ids": list(events),
                "task_types": list(types),
            }
            for code in codes
        ],
        "algo_runtime": runtime,
    }  # fmt: skip
    if package_id:
        description["id"] = package_id
    files = {
        f"bin/{key}": text for key, text in (program or {"run.sh": "#!/bin/sh\nexec sleep 1000\n"}).items()
    }
    path = folder / (file_name or f"{package_id or name}_V{version}.tar")
    write_tar(path, {"algo.yaml": yaml.safe_dump(description, allow_unicode=True), **files})
    return path


def write_tar(path: Path, files: dict[str, str | bytes]) -> None:
    """A tar of plain files, executable ones where they end in .sh or start with a shebang."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            raw = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(raw), 0o755 if raw.startswith(b"#!") else 0o644
            tar.addfile(entry, io.BytesIO(raw))


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


STREAM = "rtsp://10.0.0.9/a?deviceID=11010000001320000001"
CORNERS = [{"PointX": 0.0, "PointY": 0.0}, {"PointX": 1.0, "PointY": 0.0}, {"PointX": 1.0, "PointY": 1.0}]


def task_info(event: str = "INTRUSION", url: str = STREAM, **more: object) -> dict[str, object]:
    """An AlgoTaskInfo as an application writes it."""
    rule: dict[str, object] = {
        "EventID": event,
        "Areas": [{"AreaID": 0, "AreaType": "POLYGON", "Points": CORNERS}],
        "ExtendParams": {"Sensitivity": "低"},
    }  # fmt: skip
    return {
        "RulesParams": [rule],
        "StreamOptions": {"VideoStreamOptions": {"PlayType": "REALPLAY", "Url": url}},
        **more,
    }
