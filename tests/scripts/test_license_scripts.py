"""The technician's scripts for licence files, by the shells of small boxes, against a real daemon."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from acsmpd.security.sm3 import sm3_hex
from tests.support.shells import BUSYBOX, DASH, SHELLS, path_of, words_of
from tests.support.site import Site
from tests.support.state import drop_licences
from tests.support.wait import wait_until

SCRIPTS = Path(__file__).parents[2] / "scripts"
ONE, MANY = "import-license.sh", "import-licenses.sh"
DEVICE = "11010000005050000001"
TWO_MB = 2 * 1024 * 1024


@pytest.fixture
def site(shared: Site) -> Site:
    """Without any licence."""
    drop_licences(shared)
    return shared


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A technician's USB stick, with the key of the site in a file."""
    folder = tmp_path / "USB 盘"
    folder.mkdir()
    return folder


def environ(site: Site, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "ACSMPD_URL": site.client.url, "ACSMPD_KEY": site.key, **more}


def told(
    site: Site, *words: str | Path, shell: str = DASH, environment: dict[str, str] | None = None
) -> tuple[int, str]:
    """Exit code, and everything that was said."""
    name, *rest = words
    done = subprocess.run(
        [*words_of(shell), str(SCRIPTS / name), *map(str, rest)], capture_output=True, text=True, timeout=120,
        env=environment or environ(site, PATH=path_of(shell, site.data.parent, "curl")),
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def licences(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.client.fine("POST", "/ACSMP/License/Search", {})
    return found


def put(folder: Path, name: str, content: bytes = b"a licence") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# --- one file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_a_file_is_imported_once_with_all_that_is_said_of_it(site: Site, stick: Path, shell: str) -> None:
    path = put(stick, 'a "b";c,d.lic', content := b"\x00\xff\r\nlicence")
    words = [
        ONE, "--provider", "@厂家;a=b", "--device", DEVICE, "--ability", "FIRE-1=16", "--ability", "烟=004",
        "--expire", "2099-12-31 23:59:59", path,
    ]  # fmt: skip
    code, said = told(site, *words, shell=shell)
    [one] = licences(site)
    assert (code, said.splitlines()[0]) == (
        0,
        f"imported: {path} as licence {one['ID']}; no imported package has FIRE-1, 烟; "
        f"no computility {DEVICE} is known",
    )
    assert (one["Provider"], one["DeviceID"], one["ExpireTime"]) == (
        "@厂家;a=b",
        DEVICE,
        "2099-12-31 23:59:59",
    )
    assert [(auth["AlgoDefCode"], auth["Quota"]) for auth in one["AbilityAuths"]] == [
        ("FIRE-1", 16),
        ("烟", 4),
    ]
    assert (site.data / "licenses" / sm3_hex(content)).read_bytes() == content
    code, said = told(site, *words, shell=shell)
    assert code == 0
    assert said.startswith(f"there already: {path} as licence {one['ID']}; it was there already")
    assert len(licences(site)) == 1


def test_the_key_comes_from_a_file_and_is_on_no_command_line(site: Site, stick: Path, tmp_path: Path) -> None:
    path, key = put(stick, "a.lic"), put(stick, "key.txt", site.key.encode() + b"\r\n")
    log, fake = tmp_path / "words", tmp_path / "bin"
    fake.mkdir()
    (fake / "curl").write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >> {log}\nenv >> {log}.env\nexec /usr/bin/curl "$@"\n'
    )
    (fake / "curl").chmod(0o755)
    watched = environ(site, PATH=f"{fake}:{os.environ['PATH']}")
    del watched["ACSMPD_KEY"]
    code, said = told(site, ONE, "--provider", "P", "--key-file", key, path, environment=watched)
    assert (code, said.split(":")[0]) == (0, "imported")
    assert "File=@-" in log.read_text()
    assert site.key not in log.read_text() + Path(f"{log}.env").read_text() + said


@pytest.mark.parametrize(
    ("words", "content", "reason"),
    [
        (["--provider", "P"], b"", "is empty"),
        (["--provider", "P"], b"x" * (TWO_MB + 1), f"has more than {TWO_MB} bytes"),
        ([], b"x", "provider: is required"),
        (["--provider", "P", "--device", "123"], b"x", "device 123: has to be 20 digits"),
        (["--provider", "P", "--device", "1101000000505000000x"], b"x", "has to be 20 digits"),
        (["--provider", "P", "--ability", "A=-1"], b"x", "ability A=-1: the quota has to be a number"),
        (["--provider", "P", "--ability", "A=many"], b"x", "ability A=many: the quota has to be a number"),
        (["--provider", "P", "--ability", 'A"=1'], b"x", "this is no capability code"),
        (["--provider", "P", "--ability", "A"], b"x", "has to be CODE=NUMBER"),
        (["--provider", "P", "--expire", "soon"], b"x", "ExpireTime"),
    ],
)
@pytest.mark.parametrize("shell", [DASH, BUSYBOX])
def test_what_cannot_be_imported_is_refused_with_the_reason(
    site: Site, stick: Path, words: list[str], content: bytes, reason: str, shell: str
) -> None:
    code, said = told(site, ONE, *words, put(stick, "a.lic", content), shell=shell)
    assert code == 1, said
    assert said.startswith("failed: ")
    assert reason in said
    assert licences(site) == []


def test_a_wrong_key_no_daemon_and_somebody_else(site: Site, stick: Path) -> None:
    path, words = put(stick, "a.lic"), [ONE, "--provider", "P"]
    assert told(site, *words, path, environment=environ(site, ACSMPD_KEY="none"))[0] == 1
    code, said = told(site, *words, path, environment=environ(site, ACSMPD_KEY=""))
    assert (code, said) == (
        1,
        "failed: no API key: name a file by --key-file, or put the key into ACSMPD_KEY\n",
    )
    code, said = told(site, *words, "--url", "http://127.0.0.1:1", path)
    assert code == 1
    assert "onnect" in said
    code, said = told(site, *words, "--url", f"{site.client.url}/healthz", path)
    assert code == 1
    assert said.startswith(f"failed: {path}: ")


@pytest.mark.parametrize(
    "words",
    [
        [ONE], [ONE, "a", "b"], [ONE, "--nonsense", "a"], [ONE, "--provider"], [ONE, "--url", "file:///etc", "a"],
        [MANY], [MANY, "a", "b"], [MANY, "--nonsense", "a"], [MANY, "/nowhere"], [MANY, "/"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("shell", [DASH, BUSYBOX])
def test_wrong_usage_is_two_and_shows_the_usage(site: Site, words: list[str], shell: str) -> None:
    code, said = told(site, *words, shell=shell)
    assert code == 2, said
    assert f"usage: {words[0]}" in said
    assert told(site, words[0], "--help", shell=shell)[0] == 0


# --- a folder ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_a_folder_is_imported_as_its_manifest_says(site: Site, stick: Path, shell: str) -> None:
    names = ["one.lic", "两 路.lic", "c,d.lic", "sub/e.lic"]
    (stick / "sub").mkdir()
    for place, name in enumerate(names):
        put(stick, name, f"licence {place}".encode())
    lines = [
        "\ufefffile,provider,device,abilities", f"one.lic,厂家,{DEVICE},FIRE=16,SMOKE=8", "# a note", "",
        '两 路.lic , "A ""B"", Ltd" ,,FIRE=4', '"c,d.lic",P', "sub/e.lic,P,,",
    ]  # fmt: skip
    (stick / "manifest.csv").write_bytes("\r\n".join(lines).encode())
    code, said = told(site, MANY, "--dry-run", stick, shell=shell)
    assert (code, said.splitlines()[-1]) == (
        0, "0 imported, 0 there already, 0 failed, 4 would be imported"
    )  # fmt: skip
    assert licences(site) == []
    code, said = told(site, MANY, stick, shell=shell)
    assert (code, said.splitlines()[-1]) == (0, "4 imported, 0 there already, 0 failed"), said
    found = {one["Provider"]: one for one in licences(site)}
    assert len(licences(site)) == 4
    assert sorted(found) == ['A "B", Ltd', "P", "厂家"]
    auths = [(one["AlgoDefCode"], one["Quota"]) for one in found["厂家"]["AbilityAuths"]]
    assert (auths, found["厂家"]["DeviceID"]) == ([("FIRE", 16), ("SMOKE", 8)], DEVICE)
    code, said = told(site, MANY, stick, shell=shell)
    assert (code, said.splitlines()[-1]) == (0, "0 imported, 4 there already, 0 failed")
    assert len(licences(site)) == 4


@pytest.mark.parametrize("shell", [DASH, BUSYBOX])
def test_lines_that_cannot_be_fail_alone_and_say_why(site: Site, stick: Path, shell: str) -> None:
    put(stick, "good.lic")
    put(stick.parent, "outside.lic", b"secret")
    (stick / "link.lic").symlink_to(stick.parent / "outside.lic")
    lines = {
        "good.lic,P": "imported", "../outside.lic,P": "the file has to lie in the folder",
        f"{stick.parent}/outside.lic,P": "the file has to lie in the folder",
        "sub/../../outside.lic,P": "the file has to lie in the folder",
        "link.lic,P": "the file has to lie in the folder",
        "nowhere.lic,P": "is no file", "good.lic": "provider: is required", ",P": "no file is named",
        "good.lic,P,12": "has to be 20 digits", "good.lic,P,,FIRE": "has to be CODE=NUMBER",
        'good.lic,"P': "the line is no CSV", "good.lic,P,,$(touch /tmp/x)=1": "no imported package has $(touch",
        "-rf,P": "is no file",
    }  # fmt: skip
    (stick / "manifest.csv").write_text("\n".join(lines))
    code, said = told(site, MANY, stick, shell=shell)
    assert code == 1
    rows = said.splitlines()
    for row, reason in zip(rows, lines.values(), strict=False):
        assert reason in row, said
    assert rows[-1] == "1 imported, 1 there already, 11 failed"


@pytest.mark.parametrize("shell", [DASH, BUSYBOX])
def test_killed_in_the_middle_and_run_again_all_are_there_once(site: Site, stick: Path, shell: str) -> None:
    names = [f"{number}.lic" for number in range(60)]
    for name in names:
        put(stick, name, name.encode())
    (stick / "manifest.csv").write_text("".join(f"{name},P,,FIRE=1\n" for name in names))
    running_one = subprocess.Popen(
        [*words_of(shell), str(SCRIPTS / MANY), str(stick)], stdout=subprocess.DEVNULL, start_new_session=True,
        env=environ(site, PATH=path_of(shell, site.data.parent, "curl")),
    )  # fmt: skip
    try:
        wait_until(lambda: len(licences(site)) >= 5, what="the first files to be there")
    finally:
        os.killpg(running_one.pid, signal.SIGKILL)
        running_one.wait(timeout=20)
    assert len(licences(site)) < len(names)
    code, said = told(site, MANY, stick, shell=shell)
    assert code == 0, said
    assert len(licences(site)) == len(names)
    assert sorted(path.name for path in (site.data / "licenses").iterdir()) == sorted(
        sm3_hex(name.encode()) for name in names
    )
