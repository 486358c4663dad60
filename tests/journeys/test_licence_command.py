"""`acsmpd license`: licence files from the command line, with the daemon running or not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd import faults, offline
from acsmpd.clock import Clock
from acsmpd.security.sm3 import sm3_hex
from tests.support.daemon import ROOT, Daemon, daemon
from tests.support.fake_cad import FakeCad
from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package
from tests.support.site import Site
from tests.support.state import drop_licences
from tests.support.wait import wait_until

DEVICE = "11010000005050000001"
NEEDS = {"AUTH_SERVER_ADDR": ""}
TWO_MB = 2 * 1024 * 1024


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon in a process of its own."""
    with daemon(tmp_path_factory.mktemp("site") / "data", local_enabled="false") as one:
        yield one


@pytest.fixture
def site(running: Daemon) -> Daemon:
    """Without any licence."""
    drop_licences(running)
    return running


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "USB 盘"
    folder.mkdir()
    return folder


def told(site: Site, *words: str | Path, cwd: Path = ROOT, **environment: str) -> tuple[int, str]:
    """Exit code, and everything that was said."""
    named = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **site._environ, **environment}
    done = subprocess.run(
        [sys.executable, "-m", "acsmpd", "license", *map(str, words)], capture_output=True, text=True,
        timeout=120, cwd=cwd, env=named,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def shown(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.client.fine("POST", "/ACSMP/License/Search", {})
    return found


def put(folder: Path, name: str, content: bytes = b"a licence") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


# --- one file --------------------------------------------------------------------------------------------------


def test_a_file_is_imported_once_beside_the_daemon_and_brought_up_to_date(site: Daemon, stick: Path) -> None:
    path = put(stick, 'a "b";c,d.lic', content := b"\x00\xff\r\nlicence")
    words = [
        "import", "--provider", "@厂家;a=b", "--device", DEVICE, "--ability", "FIRE-1=16", "--ability", "烟=004",
        "--expire", "2099-12-31 23:59:59", path,
    ]  # fmt: skip
    code, said = told(site, *words)
    [one] = shown(site)
    assert (code, said) == (
        0,
        f"imported: {path} as licence {one['ID']}; no imported package has FIRE-1, 烟; "
        f"no computility {DEVICE} is known\n",
    )
    assert {name: one[name] for name in one if name not in ("ID", "CreatedDate")} == {
        "Provider": "@厂家;a=b", "DeviceID": DEVICE, "ExpireTime": "2099-12-31 23:59:59", "SM3": sm3_hex(content),
        "AbilityAuths": [{"AlgoDefCode": "FIRE-1", "Quota": 16}, {"AlgoDefCode": "烟", "Quota": 4}],
    }  # fmt: skip
    file = site.data / "licenses" / sm3_hex(content)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (content, 0o600)
    code, said = told(
        site, "import", "--provider", "@厂家;a=b", "--device", DEVICE, "--ability", "FIRE-1=8", path
    )
    assert (code, said.partition(" as ")[0]) == (0, f"there already: {path}")
    assert [(one["ID"], one["AbilityAuths"], one.get("ExpireTime")) for one in shown(site)] == [
        (one["ID"], [{"AlgoDefCode": "FIRE-1", "Quota": 8}], "2099-12-31 23:59:59")
    ]


def test_a_dry_run_judges_and_writes_nothing(site: Daemon, stick: Path) -> None:
    path = put(stick, "a.lic")
    assert told(site, "import", "--dry-run", "--provider", "P", path) == (0, f"would be imported: {path}\n")
    assert told(site, "import", "--dry-run", path)[0] == 1
    assert (shown(site), list((site.data / "licenses").iterdir())) == ([], [])


@pytest.mark.parametrize(
    ("words", "content", "reason"),
    [
        (["--provider", "P"], b"", "is empty"),
        (["--provider", "P"], b"x" * (TWO_MB + 1), f"has more than {TWO_MB} bytes"),
        ([], b"x", "$.Provider"),
        (["--provider", " "], b"x", "Provider: must not be empty"),
        (["--provider", "p" * 257], b"x", "$.Provider"),
        (["--provider", "P", "--device", "123"], b"x", "$.DeviceID"),
        (["--provider", "P", "--device", "1101000000505000000x"], b"x", "$.DeviceID"),
        (["--provider", "P", "--ability", "A=-1"], b"x", "ability A=-1: the quota has to be a number"),
        (["--provider", "P", "--ability", "A=many"], b"x", "ability A=many: the quota has to be a number"),
        (["--provider", "P", "--ability", "A"], b"x", "ability A: has to be CODE=NUMBER"),
        (["--provider", "P", "--ability", "A=1", "--ability", "A=2"], b"x", "A stands twice"),
        (["--provider", "P", "--expire", "soon"], b"x", "ExpireTime"),
    ],
)
def test_what_cannot_be_imported_is_refused_with_the_reason(
    site: Daemon, stick: Path, words: list[str], content: bytes, reason: str
) -> None:
    code, said = told(site, "import", *words, put(stick, "a.lic", content))
    assert code == 1, said
    assert said.startswith(("failed: ", "acsmpd: "))
    assert reason in said
    assert shown(site) == []


def test_a_file_that_is_not_there(site: Daemon, stick: Path) -> None:
    path = stick / "a\x1b[2J.lic"
    assert told(site, "import", "--provider", "P", path) == (1, f"failed: {stick}/a?[2J.lic: is no file\n")


@pytest.mark.parametrize(
    "words",
    [
        ["import"], ["import", "a", "b"], ["import", "--nonsense", "a"], ["import", "--provider"],
        ["import", "/"], ["import", "--provider", "P", "/"], ["nonsense"],
    ],
)  # fmt: skip
def test_wrong_usage_is_two_and_says_so(site: Daemon, words: list[str]) -> None:
    code, said = told(site, *words)
    assert code == 2, said
    assert "Usage: " in said or "Error: " in said


def test_wrong_settings_are_two_and_a_folder_that_is_nobodys_is_not_made(site: Daemon, stick: Path) -> None:
    path = put(stick, "a.lic")
    assert told(site, "import", "--provider", "P", path, ACSMPD_SERVER_PORT="none")[0] == 2
    code, said = told(site, "import", "--provider", "P", path, ACSMPD_DATA_DIR=str(stick / "var"))
    assert code == 1
    assert f"{stick / 'var'} is no data directory of an acsmpd" in said
    assert not (stick / "var").exists()


# --- a folder --------------------------------------------------------------------------------------------------


def test_a_folder_is_imported_as_its_manifest_says(site: Daemon, stick: Path) -> None:
    for place, name in enumerate(["one.lic", "两 路.lic", "c,d.lic", "sub/e.lic"]):
        put(stick, name, f"licence {place}".encode())
    lines = [
        "\ufefffile,provider,device,abilities", f"one.lic,厂家,{DEVICE},FIRE=16,SMOKE=8", "# a note", "",
        '两 路.lic , "A ""B"", Ltd" ,,FIRE=4', '"c,d.lic",P', "sub/e.lic,P,,",
    ]  # fmt: skip
    (stick / "manifest.csv").write_bytes("\r\n".join(lines).encode())
    code, said = told(site, "import", "--dry-run", stick)
    assert (code, said.splitlines()[-1]) == (
        0, "0 imported, 0 there already, 0 failed, 4 would be imported"
    )  # fmt: skip
    assert shown(site) == []
    code, said = told(site, "import", stick)
    assert (code, said.splitlines()[-1]) == (0, "4 imported, 0 there already, 0 failed"), said
    found = {one["Provider"]: one for one in shown(site)}
    assert sorted(found) == ['A "B", Ltd', "P", "厂家"]
    assert said.splitlines()[0] == (
        f"imported              2  one.lic  licence {found['厂家']['ID']}; "
        f"no imported package has FIRE, SMOKE; no computility {DEVICE} is known"
    )
    auths = [(one["AlgoDefCode"], one["Quota"]) for one in found["厂家"]["AbilityAuths"]]
    assert (auths, found["厂家"]["DeviceID"]) == ([("FIRE", 16), ("SMOKE", 8)], DEVICE)
    code, said = told(site, "import", stick)
    assert (code, said.splitlines()[-1]) == (0, "0 imported, 4 there already, 0 failed")
    assert len(shown(site)) == 4


def test_lines_that_cannot_be_fail_alone_and_say_why(site: Daemon, stick: Path) -> None:
    put(stick, "good.lic")
    put(stick.parent, "outside.lic", b"secret")
    (stick / "link.lic").symlink_to(stick.parent / "outside.lic")
    lines = {
        "good.lic,P": "imported", "../outside.lic,P": "the file has to lie in the folder",
        f"{stick.parent}/outside.lic,P": "the file has to lie in the folder",
        "link.lic,P": "the file has to lie in the folder", "nowhere.lic,P": "is no file",
        "good.lic": "$.Provider", "good.lic,P,12": "$.DeviceID", "good.lic,P,,A=1,A=1": "A stands twice",
        'good.lic,"P': "the line is no CSV", "good.lic,P,,$(touch /tmp/x)=1": "no imported package has $(touch",
    }  # fmt: skip
    (stick / "manifest.csv").write_text("\n".join(lines))
    code, said = told(site, "import", stick)
    assert code == 1
    rows = said.splitlines()
    for row, reason in zip(rows, lines.values(), strict=False):
        assert reason in row, said
    assert rows[-1] == "1 imported, 1 there already, 8 failed"


def test_killed_in_the_middle_and_run_again_all_are_there_once(site: Daemon, stick: Path) -> None:
    names = [f"{number}.lic" for number in range(300)]
    for name in names:
        put(stick, name, name.encode())
    (stick / "manifest.csv").write_text("".join(f"{name},P,,FIRE=1\n" for name in names))
    process = subprocess.Popen(
        [sys.executable, "-m", "acsmpd", "license", "import", str(stick)], cwd=ROOT, stdout=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], **site._environ},
    )  # fmt: skip
    try:
        wait_until(lambda: len(shown(site)) >= 5, what="the first files to be there")
    finally:
        process.kill()
        process.wait(timeout=20)
    before = len(shown(site))
    assert before < len(names)
    code, said = told(site, "import", stick)
    assert (code, said.splitlines()[-1]) == (
        0, f"{len(names) - before} imported, {before} there already, 0 failed"
    )  # fmt: skip
    assert len(shown(site)) == len(names)
    known = {sm3_hex(name.encode()) for name in names}
    assert {path.name for path in (site.data / "licenses").iterdir() if path.suffix != ".part"} == known


def test_the_daemon_deletes_what_the_command_brings_at_once_and_nothing_is_half_there(
    site: Daemon, stick: Path
) -> None:
    """The same content for two providers: one comes and goes over HTTP, one comes from the stick."""
    put(stick, "a.lic", b"shared")
    (stick / "manifest.csv").write_text("a.lic,stays\n" * 200)
    process = subprocess.Popen(
        [sys.executable, "-m", "acsmpd", "license", "import", str(stick)], cwd=ROOT, stdout=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], **site._environ},
    )  # fmt: skip
    rounds = 0
    while process.poll() is None:
        form = {"Provider": (None, "goes"), "File": ("a", b"shared")}
        number = site.client.fine("POST", "/ACSMP/License", files=form)
        site.client.fine("DELETE", f"/ACSMP/License/{number}")
        rounds += 1
    assert (process.returncode, rounds > 3) == (0, True)
    assert [one["Provider"] for one in shown(site)] == ["stays"]
    assert (site.data / "licenses" / sm3_hex(b"shared")).read_bytes() == b"shared"


# --- who may, whose it is ----------------------------------------------------------------------------------------


def test_the_list_tells_what_there_is(site: Daemon, stick: Path) -> None:
    assert told(site, "list") == (0, "")
    told(site, "import", "--provider", "P", "--ability", "A=1", "--ability", "B=2", "--device", DEVICE,
         put(stick, "a.lic", b"a"))  # fmt: skip
    told(site, "import", "--provider", "厂\t家", "--expire", "2001-01-01 00:00:00", put(stick, "b.lic", b"b"))
    first, second = (one["ID"] for one in shown(site))
    assert told(site, "list") == (
        0,
        f"{first}\tP\t{DEVICE}\tA=1,B=2\t-\t{sm3_hex(b'a')}\n"
        f"{second}\t厂?家\t-\t-\t2001-01-01 00:00:00 (expired)\t{sm3_hex(b'b')}\n",
    )


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="files of other users are root's to make")
def test_what_root_imports_belongs_to_the_user_of_the_daemon(reachable: Path, tmp_path: Path) -> None:
    site = Site(reachable / "data", {})
    offline.init(site.settings, Clock(), "admin", "correct horse battery")
    (site.data / "licenses").rmdir()
    for path in [site.data, *site.data.rglob("*")]:
        os.chown(path, 65534, 65533)
    file = put(tmp_path, "a.lic")  # which only root can read
    assert told(site, "import", "--provider", "P", file)[0] == 0
    (tmp_path / "manifest.csv").write_text("a.lic,Q\n")
    assert told(site, "import", tmp_path)[0] == 0
    assert {(path.stat().st_uid, path.stat().st_gid) for path in site.data.rglob("*")} == {(65534, 65533)}
    assert [path.stat().st_mode & 0o777 for path in (site.data / "licenses").iterdir()] == [0o600]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_a_user_who_is_not_the_daemons_is_refused_in_words(reachable: Path) -> None:
    site = Site(reachable / "data", {})
    offline.init(site.settings, Clock(), "admin", "correct horse battery")
    file = put(reachable, "a.lic")
    os.seteuid(65534)
    try:
        with pytest.raises(faults.Internal, match=r"data as data directory: Permission denied"):
            offline.import_licence(site.settings, Clock(), file, {"Provider": "P"}, dry_run=False)
    finally:
        os.seteuid(0)


def test_without_the_daemon_it_is_there_at_the_next_start(tmp_path: Path) -> None:
    file = put(tmp_path, "a.lic")
    with daemon(tmp_path / "data", local_enabled="false") as site:
        site.stop()
        assert told(site, "import", "--provider", "P", file)[0] == 0
        site.start()
        assert [one["Provider"] for one in shown(site)] == ["P"]
        assert [path.name for path in (site.data / "licenses").iterdir()] == [sm3_hex(b"a licence")]


# --- what the daemon makes of it ----------------------------------------------------------------------------------


def test_a_daemon_that_runs_gives_a_waiting_service_the_new_licence_within_seconds(tmp_path: Path) -> None:
    with daemon(tmp_path / "data", local_enabled="false") as site, FakeCad(DEVICE) as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path, env=NEEDS)).code == 0
        wish = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        assert site.client.post("/ACSMP/AlgoServices/Devices", wish).code == 40901  # needs authorisation
        site.client.fine(
            "POST", "/ACSMP/AuthServer", {"Server": "10.0.0.9:1", "Provider": "ACSMPD", "Default": True}
        )
        cad.refuse(50000, "no licence", operation="install_algo_package")
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices", wish)
        wait_until(lambda: cad.asked("install_algo_package"), what="a load without a licence")
        code, said = told(
            site, "import", "--provider", "ACSMPD", "--ability", f"{CAPABILITY}=4", put(tmp_path, "a.lic")
        )
        assert (code, said.partition(";")[0][:9]) == (0, "imported:")
        cad.behave()
        wait_until(lambda: cad.packages == {PACKAGE_ID: "RUNNING"}, seconds=20, what="the service")
        assert b"LicenseFile" in cad.asked("install_algo_package")[-1].body
        assert site.client.fine("GET", f"/ACSMP/License/Quota/{CAPABILITY}")["QuotaTotal"] == 4
