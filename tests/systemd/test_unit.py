"""The unit file as systemd reads it, and the configuration that is packaged with it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from acsmpd.settings import SettingsFault, load

FOLDER = Path(__file__).parents[2] / "systemd"
UNIT = FOLDER / "acsmpd.service"
PACKAGED = FOLDER / "acsmpd.toml"
EXPOSURE_MAX_TENTHS = 40


def settings_of_unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def one(key: str) -> str:
    (value,) = settings_of_unit()[key]
    return value


@pytest.fixture
def runnable(tmp_path: Path) -> Path:
    """The unit with a program in ExecStart that every machine has."""
    copy = tmp_path / UNIT.name
    text, changed = re.subn(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(encoding="utf-8"))
    assert changed == 1
    copy.write_text(text, encoding="utf-8")
    return copy


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is missing: apt-get install systemd"
    return subprocess.run(
        [program, "--no-pager", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_verify_has_nothing_to_say(runnable: Path) -> None:
    done = analyze("verify", str(runnable))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_verify_would_say_something(runnable: Path) -> None:
    """The check above can fail: an unknown key only warns, with exit code 0."""
    runnable.write_text(runnable.read_text(encoding="utf-8") + "\n[Service]\nNoSuchKey=1\n", encoding="utf-8")
    done = analyze("verify", str(runnable))
    assert "NoSuchKey" in done.stdout + done.stderr


def test_the_exposure_is_bounded(runnable: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX_TENTHS}", str(runnable))
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_box_relies_on() -> None:
    assert one("ExecStart") == "/opt/acsmpd/bin/acsmpd serve --config /etc/acsmpd/acsmpd.toml"
    expected = {
        "Type": "notify",
        "WatchdogSec": "60",
        "User": "acsmpd",
        "KillMode": "control-group",
        "Restart": "on-failure",
        "RestartPreventExitStatus": "2",
        "LimitNOFILE": "8192",
        "UMask": "0077",
        "StateDirectory": "acsmpd",
        "StateDirectoryMode": "0700",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "OOMPolicy": "continue",
    }
    assert {key: one(key) for key in expected} == expected


def test_the_start_waits_for_no_network() -> None:
    ordering = [
        value
        for key in ("After", "Wants", "Requires", "BindsTo")
        for value in settings_of_unit().get(key, [])
    ]
    assert ordering == ["network.target"]


def test_engines_can_be_walled_in() -> None:
    """What bubblewrap needs is let through, and nothing hides a part of /proc or the cards."""
    assert {"@system-service", "@mount", "sethostname"} == set(one("SystemCallFilter").split())
    assert {"user", "mnt", "pid", "ipc", "uts"} <= set(one("RestrictNamespaces").split())
    assert {"cpu", "memory", "pids"} == set(one("Delegate").split())
    off = {
        "ProtectKernelTunables", "ProtectKernelLogs", "ProcSubset", "ProtectHostname", "ProtectControlGroups",
        "PrivateDevices", "DevicePolicy", "ProtectClock", "MemoryDenyWriteExecute",
    }  # fmt: skip
    assert not off & set(settings_of_unit())
    told = UNIT.read_text(encoding="utf-8")
    assert all(name in told for name in off), "each of them is left off with a reason"


def test_the_packaged_settings_lack_nothing_but_the_sites_code() -> None:
    with pytest.raises(SettingsFault) as caught:
        load(PACKAGED, {})
    assert caught.value.faults == [
        'site.code = "": must be set (20 digits), because server.host = "0.0.0.0" is not loopback'
    ]
    settings = load(PACKAGED, {"ACSMPD_SITE_CODE": "34020000005020000001"})
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 8750)
    assert settings.data.dir == f"/var/lib/{one('StateDirectory')}"
    assert settings.server.connection_limit * 2 < int(one("LimitNOFILE"))
    assert settings.engine.tick_seconds * 2 < int(one("WatchdogSec"))
