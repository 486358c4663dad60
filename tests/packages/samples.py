"""Package files for the tests, good and bad, built in memory."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

PACKAGE_ID = "1101150192508600000120231012203630000102"

ALGO_YAML = f"""
id: "{PACKAGE_ID}"
name: human-struct
version: 1.10
provider: PROVIDER
description: people and what they wear
tags: [human, day]
bin:
  type: artifact
  local_uri: bin
abilities:
  - code: PROVIDER-HUMAN_ATTR_ALERT-1.0.0
    name: 人体属性告警
    data_type: ALERT
    event_ids: [INTRUSION, CLIMB]
    task_types: [VIDEO_REALTIME, VIDEO_FILE]
    task_fields:
      - {{Name: alertInterval, Text: 告警间隔, Type: long, Visible: true, DefaultValue: 30, Validation: ~}}
algo_runtime:
  cmd: ./run.sh --mode "two words"
  env: [{{name: LOG_LEVEL, value: info}}]
  xpu:
    - {{quota: 0.5, limit: 0, vendor: "NVIDIA ", accelerator: NVIDIA-A2, resolution: PIXELS_200W,
       capacities: {{stream_video_quota: 6, stream_capture_quota: 0, analyze_quota: 0}}}}
"""

RUN_SH = b"#!/bin/sh\nexec true\n"
Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", *, mode: int = 0o644, kind: bytes = tarfile.REGTYPE) -> Member:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = mode
    info.size = len(content)
    return info, content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info, b""


def tar(*members: Member, form: str = "", tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of these members; form is "" or "gz"."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{form}", format=tar_format) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def good(*more: Member, yaml: str = ALGO_YAML, top: str = "") -> list[Member]:
    """The members of a package that passes, and some more."""
    return [
        member(top + "algo.yaml", yaml.encode()),
        member(top + "bin/run.sh", RUN_SH, mode=0o4755),
        member(top + "bin/models/net.bin", b"\x01" * 3000),
        *more,
    ]


def put(folder: Path, content: bytes, name: str = "human.tar") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def checksummed(block: bytearray) -> bytes:
    """A header block with its checksum made right again."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def image_yaml(bin_lines: str) -> str:
    """The sample description with other `bin:` lines (each indented by two spaces)."""
    return ALGO_YAML.replace("  type: artifact\n  local_uri: bin\n", bin_lines)
