"""The sample algorithm as an image: its modules, OpenCV, this machine's Python and the video, in one archive.

A container sees nothing of this machine's files, so what the artifact reads here has to be inside. No registry
and no container engine has a part in making it.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from build import BUNDLED, COMMAND, SOURCE, facts_of
from image import Files, folder_files, libraries, python_files, write_image

APP = "/app"
PROGRAM = "  type: artifact\n  local_uri: bin\n"


def build_boxed(python: str, out: Path, video: Path | None) -> str:
    """Write the package folder anew; the video's path inside the image, "" when none was given."""
    facts = facts_of(python)
    text = (SOURCE / "algo.yaml").read_text(encoding="utf-8")
    if text.count(COMMAND) != 1 or text.count(PROGRAM) != 1:
        sys.exit(f"cannot build the sample: {SOURCE / 'algo.yaml'} is not the one this was written for")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    inside = f"{APP}/video/{video.name}" if video else ""
    write_image(
        out / "image.tar",
        _files(python, Path(facts["site"])) | ({inside: video} if video else {}),
        {"WorkingDir": APP, "Env": ["PATH=/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1"]},
    )
    command = json.dumps([facts["origin"], f"{APP}/engine.py"])
    text = text.replace(COMMAND, f"  cmd: {command}\n").replace(
        PROGRAM, "  type: image\n  local_uri: image.tar\n"
    )
    (out / "algo.yaml").write_text(text, encoding="utf-8")
    return inside


def _files(python: str, site: Path) -> Files:
    files = python_files(python)
    for name in BUNDLED:
        if (site / name).is_dir():
            files |= folder_files(site / name, f"{APP}/lib/{name}")
    shared = [path for path in files.values() if isinstance(path, Path) and ".so" in path.name]
    return {**files, **libraries(shared, str(site)), **folder_files(SOURCE / "bin", APP)}
