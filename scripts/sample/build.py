"""Make the sample algorithm's package folder, ready for `acsmpd package pack`.

    python build.py --python /path/to/venv/bin/python --out DIR [--bundle]

A sandbox has no PATH that leads to a virtual environment, so algo.yaml names the interpreter by its
absolute path. With --bundle, OpenCV and NumPy are copied into the package and the interpreter named
is the one the environment was made from: such a package needs nothing of the environment.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "package"
COMMAND = "  cmd: [python3, engine.py]\n"
BUNDLED = ("cv2", "numpy", "opencv_python_headless.libs", "numpy.libs")
FACTS = """
import cv2, json, os, sys
print(json.dumps({
    "version": cv2.__version__,
    "site": os.path.dirname(os.path.dirname(cv2.__file__)),
    "origin": os.path.realpath(sys._base_executable),
    "faces": hasattr(cv2, "CascadeClassifier"),
}))
"""


def facts_of(python: str) -> dict[str, str]:
    """What the interpreter says of its OpenCV; exits with the reason when that cannot serve."""
    try:
        answer = subprocess.run([python, "-c", FACTS], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        words = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        sys.exit(f"cannot build the sample: {python} cannot import OpenCV: {words}")
    facts: dict[str, str] = json.loads(answer.stdout)
    if not facts["faces"]:
        sys.exit(
            f"cannot build the sample: OpenCV {facts['version']} has no CascadeClassifier, "
            "install 'opencv-python-headless>=4.10,<5'"
        )
    return facts


def bundle(site: Path, folder: Path) -> None:
    """Copy the libraries the engine needs beside it."""
    for name in BUNDLED:
        if (site / name).is_dir():
            skip = shutil.ignore_patterns("__pycache__", "tests", "*.pyi")
            shutil.copytree(site / name, folder / "lib" / name, ignore=skip)


def build(python: str, out: Path, bundled: bool = False) -> Path:
    """Write the package folder anew and return it; the interpreter is named as given, links and all."""
    facts = facts_of(python)
    text = (SOURCE / "algo.yaml").read_text(encoding="utf-8")
    if text.count(COMMAND) != 1:
        sys.exit(f"cannot build the sample: {SOURCE / 'algo.yaml'} does not hold {COMMAND.strip()!r} once")
    if out.exists() and any(out.iterdir()) and not (out / "algo.yaml").is_file():
        sys.exit(f"cannot build the sample: {out} is neither empty nor a package folder")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(SOURCE, out, ignore=shutil.ignore_patterns("__pycache__"))
    if bundled:
        bundle(Path(facts["site"]), out / "bin")
    command = json.dumps([facts["origin"] if bundled else str(Path(python).absolute()), "engine.py"])
    (out / "algo.yaml").write_text(text.replace(COMMAND, f"  cmd: {command}\n"), encoding="utf-8")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description="make the sample algorithm's package folder")
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter that has OpenCV (default: this)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--bundle", action="store_true", help="copy OpenCV and NumPy into the package")
    options = parser.parse_args()
    print(build(options.python, options.out, options.bundle))


if __name__ == "__main__":
    main()
