"""scripts/collect-fingerprint.sh: on this machine, on machines of files, and its signature by OpenSSL."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acsmpd import offline
from acsmpd.clock import Clock
from acsmpd.security import sm2
from acsmpd.spec.json_text import decode
from tests.docs.pages import FINGERPRINT, blocks
from tests.support.daemon import ROOT
from tests.support.shells import DASH, SHELLS, path_of, words_of
from tests.support.site import SITE_CODE, Site

SCRIPT = ROOT / "scripts" / "collect-fingerprint.sh"
MEMBERS = [
    "Format", "Version", "Time", "Hostname", "MachineID", "Board", "CPU", "MemoryKiB", "Disks", "Cards", "PCI",
    "Interfaces", "Missing",
]  # fmt: skip
BOARD = {
    "Vendor": "sys_vendor", "Product": "product_name", "Serial": "product_serial", "UUID": "product_uuid",
    "BoardVendor": "board_vendor", "BoardName": "board_name", "BoardSerial": "board_serial",
}  # fmt: skip


def told(
    folder: Path, *words: str | Path, shell: str = DASH, path: str = "", **environment: str
) -> tuple[int, str]:
    """Exit code, and everything that was said."""
    named = {"PATH": path or path_of(shell, folder), **environment}
    done = subprocess.run(
        [*words_of(shell), str(SCRIPT), *map(str, words)],
        capture_output=True,
        timeout=120,
        cwd=folder,
        env=named,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def collected(
    folder: Path, *words: str | Path, shell: str = DASH, path: str = "", members: list[str] = MEMBERS
) -> Any:
    """What the script wrote, having read it by our strict reader too."""
    file = folder / "fingerprint.json"
    file.unlink(missing_ok=True)
    code, said = told(folder, *words, file, shell=shell, path=path)
    assert code == 0, said
    value = decode(file.read_bytes())
    assert list(value) == members
    return value


def put(root: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine of files: a server with a card, a bond, a stick, and things that do not identify."""
    folder = tmp_path / "machine"
    dmi = "sys/class/dmi/id/"
    put(folder, {
        "etc/machine-id": "3d1219c7c4c5404aaa1f6d2a48adfda4\n",
        "proc/sys/kernel/hostname": "盒子-1\n",
        dmi + "sys_vendor": 'ACME "Boards" \\ Co.\n', dmi + "product_name": b"Tab\there\x01\x7f\n",
        dmi + "product_serial": "\n", dmi + "product_uuid": "4c4c4544-0042\n",
        dmi + "board_vendor": b"GBK \xb3\xa7\xbc\xd2\n", dmi + "board_name": "型号 7\n",
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: Hygon C86: 7285\nprocessor\t: 1\nmodel name\t: else\n",
        "proc/meminfo": "MemTotal:       24684092 kB\nMemFree: 1 kB\n",
        "devices/pci0/nvme/nvme0/serial": "S4X1\n", "devices/pci0/nvme/nvme0/model": "SSD 980   \n",
        "devices/pci0/nvme/nvme0n1/wwid": "eui.002538\n", "devices/pci0/nvme/nvme0n1/removable": "0\n",
        "devices/pci0/usb1/1-1/sda/removable": "0\n", "devices/pci0/usb1/1-1/sda/device/serial": "STICK\n",
        "devices/pci0/sdb/removable": "1\n", "devices/pci0/sdb/device/serial": "CARD\n",
        "devices/pci0/sdc/removable": "0\n", "devices/pci0/sdc/device/model": "nameless\n",
        "devices/virtual/loop0/size": "0\n",
        "sys/bus/pci/devices/0000:01:00.0/class": "0x030200\n",
        "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n", "sys/bus/pci/devices/0000:01:00.0/device": "0x2236\n",
        "sys/bus/pci/devices/0000:02:00.0/class": "0x120000\n", "sys/bus/pci/devices/0000:02:00.0/vendor": "0x19e5\n",
        "sys/bus/pci/devices/0000:03:00.0/class": "0x020000\n",
        "sys/class/net/lo/type": "772\n", "sys/class/net/lo/address": "00:00:00:00:00:00\n",
        "sys/class/net/bond0/type": "1\n", "sys/class/net/bond0/address": "aa:00:00:00:00:01\n",
        "sys/class/net/eth0/type": "1\n", "sys/class/net/eth0/address": "aa:00:00:00:00:01\n",
        "sys/class/net/eth0/addr_assign_type": "3\n", "sys/class/net/eth0/device/vendor": "x",
        "sys/class/net/eth0/bonding_slave/perm_hwaddr": "aa:00:00:00:00:02\n",
        "sys/class/net/eth1/type": "1\n", "sys/class/net/eth1/address": "aa:00:00:00:00:03\n",
        "sys/class/net/eth1/addr_assign_type": "1\n", "sys/class/net/eth1/device/vendor": "x",
        "sys/class/net/eth2/type": "1\n", "sys/class/net/eth2/address": "aa:00:00:00:00:04\n",
        "sys/class/net/eth2/addr_assign_type": "0\n", "sys/class/net/eth2/device/vendor": "x",
        "sys/class/net/ib0/type": "32\n", "sys/class/net/ib0/device/vendor": "x",
    })  # fmt: skip
    (folder / "sys/block").mkdir()
    for name, place in {
        "nvme0n1": "pci0/nvme/nvme0n1", "sda": "pci0/usb1/1-1/sda", "sdb": "pci0/sdb", "sdc": "pci0/sdc",
        "loop0": "virtual/loop0",
    }.items():  # fmt: skip
        (folder / "sys/block" / name).symlink_to(f"../../devices/{place}")
    (folder / "devices/pci0/nvme/nvme0n1/device").symlink_to("../nvme0")
    return folder


# --- what is collected -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_a_machine_is_told_as_it_says_it_is(root: Path, tmp_path: Path, shell: str) -> None:
    value = collected(tmp_path, "--unsigned", "--root", root, shell=shell)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", value.pop("Time"))
    assert value == {
        "Format": "acsmpd-fingerprint", "Version": 1, "Hostname": "盒子-1",
        "MachineID": "3d1219c7c4c5404aaa1f6d2a48adfda4",
        "Board": {
            "Vendor": 'ACME "Boards" \\ Co.', "Product": "Tab\there\x01\x7f", "Serial": None,
            "UUID": "4c4c4544-0042", "BoardVendor": "GBK " + "\ufffd" * 4, "BoardName": "型号 7",
            "BoardSerial": None,
        },
        "CPU": {"Architecture": os.uname().machine, "Model": "Hygon C86: 7285", "Count": 2, "Serial": None},
        "MemoryKiB": 24684092,
        "Disks": [
            {"Name": "nvme0n1", "Model": "SSD 980", "Serial": "S4X1", "WWID": "eui.002538"},
            {"Name": "sdc", "Model": "nameless", "Serial": None, "WWID": None},
        ],
        "Cards": [],
        "PCI": [
            {"Bus": "0000:01:00.0", "Class": "0x030200", "Vendor": "0x10de", "Device": "0x2236",
             "SubsystemVendor": None, "SubsystemDevice": None},
            {"Bus": "0000:02:00.0", "Class": "0x120000", "Vendor": "0x19e5", "Device": None,
             "SubsystemVendor": None, "SubsystemDevice": None},
        ],
        "Interfaces": [
            {"Name": "eth0", "MAC": "aa:00:00:00:00:02", "Permanent": True},
            {"Name": "eth1", "MAC": "aa:00:00:00:00:03", "Permanent": False},
            {"Name": "eth2", "MAC": "aa:00:00:00:00:04", "Permanent": True},
        ],
        "Missing": [
            {"Field": "Board.Serial", "Reason": "is empty"},
            {"Field": "Board.BoardSerial", "Reason": "is not there"},
            {"Field": "CPU.Serial", "Reason": "is not there"},
            {"Field": "Disks.sdc", "Reason": "is not there"},
        ],
    }  # fmt: skip


def test_a_board_with_a_device_tree(tmp_path: Path) -> None:
    put(tmp_path / "machine", {
        "proc/device-tree/model": b"Rockchip RK3588\0", "proc/device-tree/serial-number": b"10000000abcd\0",
        "proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\nSerial\t\t: 00ab\n",
        "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA A10\nGPU UUID: \t GPU-12\n",
        "sys/block/mmcblk0/device/cid": "1501\n", "sys/block/mmcblk0/device/name": "BJTD4R\n",
        "sys/block/mmcblk0boot0/device/cid": "1501\n", "sys/block/sr0/device/model": "DVD\n",
    })  # fmt: skip
    value = collected(tmp_path, "--unsigned", "--root", tmp_path / "machine")
    assert (value["Board"]["Product"], value["Board"]["Serial"]) == ("Rockchip RK3588", "10000000abcd")
    assert value["CPU"] | {"Architecture": ""} == {
        "Architecture": "", "Model": "implementer 0x41 part 0xd0b", "Count": 1, "Serial": "00ab",
    }  # fmt: skip
    assert value["Disks"] == [{"Name": "mmcblk0", "Model": "BJTD4R", "Serial": None, "WWID": "1501"}]
    assert value["Cards"] == [{"Bus": "0000:01:00.0", "Name": "NVIDIA A10", "UUID": "GPU-12", "Serial": None}]
    assert value["Hostname"] is None


@pytest.mark.parametrize("shell", SHELLS)
def test_a_machine_that_says_nothing_has_nothing_made_up(tmp_path: Path, shell: str) -> None:
    (tmp_path / "machine").mkdir()
    value = collected(tmp_path, "--unsigned", "--root", tmp_path / "machine", shell=shell)
    empty = {
        name: value[name]
        for name in ("Hostname", "MachineID", "MemoryKiB", "Disks", "Cards", "PCI", "Interfaces")
    }
    assert empty == {
        "Hostname": None, "MachineID": None, "MemoryKiB": None, "Disks": [], "Cards": [], "PCI": [], "Interfaces": []
    }  # fmt: skip
    assert set(value["Board"].values()) == {None}
    assert [one["Field"] for one in value["Missing"]] == [
        "Hostname", "MachineID", *(f"Board.{name}" for name in BOARD), "CPU.Model", "CPU.Serial", "CPU.Count",
        "MemoryKiB",
    ]  # fmt: skip


def put_smi(folder: Path, text: str) -> None:
    """An nvidia-smi that does this."""
    put(folder, {"nvidia-smi": f"#!/bin/sh\n{text}"})
    (folder / "nvidia-smi").chmod(0o755)


@pytest.mark.parametrize("shell", SHELLS)
def test_cards_are_told_by_their_vendors_tool(root: Path, tmp_path: Path, shell: str) -> None:
    put_smi(root / "usr/bin", f"""printf '%s\\n' "$@" > {tmp_path}/asked
        echo '00000000:01:00.0, NVIDIA A10, GPU-5c1f, 1324'
        echo '00000000:02:00.0, NVIDIA "T4", GPU-77aa, [N/A]'""")  # fmt: skip
    value = collected(tmp_path, "--unsigned", "--root", root, shell=shell)
    assert value["Cards"] == [
        {"Bus": "00000000:01:00.0", "Name": "NVIDIA A10", "UUID": "GPU-5c1f", "Serial": "1324"},
        {"Bus": "00000000:02:00.0", "Name": 'NVIDIA "T4"', "UUID": "GPU-77aa", "Serial": None},
    ]
    assert (
        tmp_path / "asked"
    ).read_text() == "--query-gpu=pci.bus_id,name,uuid,serial\n--format=csv,noheader\n"


def test_the_tool_is_found_by_its_name(tmp_path: Path) -> None:
    put_smi(tmp_path / "tools", "echo '00000000:01:00.0, NVIDIA A10, GPU-5c1f, 0'")
    value = collected(tmp_path, "--unsigned", path=f"{tmp_path / 'tools'}:{os.environ['PATH']}")
    assert [card["UUID"] for card in value["Cards"]] == ["GPU-5c1f"]


def test_a_tool_that_fails_is_told_and_the_driver_asked(root: Path, tmp_path: Path) -> None:
    put(root, {"proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: NVIDIA A10\nGPU UUID: GPU-12\n"})
    put_smi(root / "usr/bin", "echo 'NVIDIA-SMI has failed: \"driver\"'; exit 9\n")
    value = collected(tmp_path, "--unsigned", "--root", root)
    assert [one["UUID"] for one in value["Cards"]] == ["GPU-12"]
    said = {"Field": "Cards", "Reason": 'nvidia-smi failed: NVIDIA-SMI has failed: "driver"'}
    assert said in value["Missing"]


TEXTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=7, max_size=7)


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS)
def test_whatever_a_board_says_in_utf_8_is_read_back(tmp_path: Path, shell: str, texts: list[str]) -> None:
    dmi = tmp_path / "machine/sys/class/dmi/id"
    put(dmi, dict(zip(BOARD.values(), texts, strict=True)))
    board = collected(tmp_path, "--unsigned", "--root", tmp_path / "machine", shell=shell)["Board"]
    assert list(board.values()) == [text.strip(" \t\r\n") or None for text in texts]


BAD = [
    b"\x80", b"\xc0\xaf", b"\xc3", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x8f\xbf\xbf",
    b"\xff\xfe", b"\xe4\xb8", b"a\xe4\xb8\xad\xe4b", b"\xf0\x9f\x98\x80\xf0",
]  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(BAD)), min_size=7, max_size=7))
def test_whatever_bytes_a_board_says_make_no_broken_file(
    tmp_path: Path, shell: str, raw: list[bytes]
) -> None:
    dmi = tmp_path / "machine/sys/class/dmi/id"
    put(dmi, dict(zip(BOARD.values(), raw, strict=True)))
    board = collected(tmp_path, "--unsigned", "--root", tmp_path / "machine", shell=shell)["Board"]
    for told_text, content in zip(board.values(), raw, strict=True):
        kept = re.sub("\ufffd+", "", told_text or "")
        assert kept == re.sub(
            "\ufffd+", "", content.replace(b"\0", b"").decode(errors="replace").strip(" \t\r\n")
        )


@pytest.mark.parametrize("shell", SHELLS)
def test_this_machine(tmp_path: Path, shell: str) -> None:
    value = collected(tmp_path, "--unsigned", shell=shell)
    assert value["Hostname"] == os.uname().nodename
    assert value["CPU"]["Count"] == len(re.findall("^processor", Path("/proc/cpuinfo").read_text(), re.M))
    assert value["MemoryKiB"] > 100_000
    physical = sorted(port.name for port in Path("/sys/class/net").iterdir() if (port / "device").exists())
    assert [one["Name"] for one in value["Interfaces"]] == physical
    told_missing = {one["Field"] for one in value["Missing"]}
    assert {f"Board.{name}" for name, said in value["Board"].items() if said is None} <= told_missing


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder in which every user may write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_without_root_what_is_for_root_is_told_missing(root: Path, reachable: Path) -> None:
    machine = reachable / "machine"
    shutil.copytree(root, machine, symlinks=True)
    shutil.copy(SCRIPT, reachable / "collect.sh")
    put(machine, {"sys/class/dmi/id/board_serial": "SECRET\n"})
    (machine / "sys/class/dmi/id/board_serial").chmod(0o400)
    file = reachable / "fingerprint.json"
    done = subprocess.run(
        ["dash", reachable / "collect.sh", "--unsigned", "--root", machine, file], user=65534, group=65534,
        capture_output=True, text=True, timeout=60, cwd="/", extra_groups=[],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    value = decode(file.read_bytes())
    assert value["Board"]["BoardSerial"] is None
    assert {"Field": "Board.BoardSerial", "Reason": "cannot be read by this user"} in value["Missing"]


# --- where it goes -----------------------------------------------------------------------------------------------


def test_it_gets_a_name_of_its_own_and_overwrites_nothing(root: Path, tmp_path: Path) -> None:
    put(root, {"proc/sys/kernel/hostname": "a/../b c\n"})
    code, said = told(tmp_path, "--unsigned", "--root", root)
    [file] = tmp_path.glob("fingerprint-*.json")
    assert re.fullmatch(r"fingerprint-a_\.\._b_c-20\d{6}T\d{6}Z\.json", file.name)
    assert (code, said) == (0, f"written: ./{file.name}, not signed, 4 not found (see Missing)\n")
    before = file.read_bytes()
    code, said = told(tmp_path, "--unsigned", "--root", root, file)
    assert (code, said) == (1, f"failed: {file}: is there already, or cannot be written\n")
    assert file.read_bytes() == before
    assert told(tmp_path, "--unsigned", tmp_path / "no" / "file")[0] == 1


@pytest.mark.parametrize("words", [["--nonsense"], ["a", "b"], ["--root"], ["--root", "/nowhere", "a"]])
def test_wrong_usage_is_two_and_shows_the_usage(tmp_path: Path, words: list[str]) -> None:
    code, said = told(tmp_path, *words)
    assert code == 2, said
    assert "usage: collect-fingerprint.sh" in said
    assert told(tmp_path, "--help")[0] == 0


# --- the signature -----------------------------------------------------------------------------------------------


@pytest.fixture
def box(tmp_path: Path) -> Site:
    """A box with keys; `acsmpd` is its command."""
    site = Site(tmp_path / "data", {})
    offline.init(site.settings, Clock(), "admin", "correct horse battery")
    named = " ".join(f"{name}='{value}'" for name, value in site._environ.items())
    put(tmp_path, {"acsmpd": f'#!/bin/sh\nPYTHONPATH={ROOT} {named} exec {sys.executable} -m acsmpd "$@"\n'})
    (tmp_path / "acsmpd").chmod(0o755)
    return site


def verified(folder: Path) -> bool:
    """By the very commands of the page."""
    [_collect, verify] = blocks(FINGERPRINT.read_text("utf-8"), "sh")
    done = subprocess.run(["sh", "-eu"], input=verify, text=True, cwd=folder, capture_output=True, timeout=60)
    assert (done.stdout == "Verified OK\n") == (done.returncode == 0), done
    return done.returncode == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_openssl_verifies_the_file_by_the_commands_of_the_page(
    box: Site, root: Path, tmp_path: Path, shell: str
) -> None:
    members = [*MEMBERS, "SiteCode", "PublicKey", "Signature"]
    value = collected(tmp_path, "--acsmpd", tmp_path / "acsmpd", "--root", root, shell=shell, members=members)
    assert verified(tmp_path)
    assert value["SiteCode"] == SITE_CODE
    key = sm2.load(box.data / "keys")
    file = tmp_path / "fingerprint.json"
    assert (tmp_path / "public.pem").read_text().replace("\n", "").count(value["PublicKey"]) == 1
    assert sm2.parse_public_key((tmp_path / "public.pem").read_text()) == key.public
    assert key.private.hex().encode() not in file.read_bytes()
    good = file.read_bytes()
    for was, now in (
        (b"S4X1", b"S4X2"),
        (SITE_CODE.encode(), b"1" * 20),
        (b'"Version": 1,\n', b'"Version": 1, \n'),
    ):
        assert was in good
        file.write_bytes(good.replace(was, now))
        assert not verified(tmp_path)
    file.write_bytes(good)
    assert verified(tmp_path)


def test_the_table_of_the_page_tells_every_member_in_order(root: Path, tmp_path: Path) -> None:
    told_members = re.findall(r"^\| `(\w+)` \|", FINGERPRINT.read_text("utf-8"), re.M)
    assert told_members == [*MEMBERS, "SiteCode", "PublicKey", "Signature"]


def test_an_unsigned_file_is_signed_later_and_once(box: Site, root: Path, tmp_path: Path) -> None:
    collected(tmp_path, "--unsigned", "--root", root)
    file = tmp_path / "fingerprint.json"
    sign = [tmp_path / "acsmpd", "license", "sign", file]
    done = subprocess.run(sign, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"signed: {file}\n"), done.stderr
    assert verified(tmp_path)
    before = file.read_bytes()
    done = subprocess.run(sign, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == f"acsmpd: cannot sign {file}: it is signed already; collect a new one\n"
    assert file.read_bytes() == before
    assert json.loads(before)["SiteCode"] == SITE_CODE


def test_without_a_key_or_a_command_nothing_is_written(box: Site, root: Path, tmp_path: Path) -> None:
    (box.data / "keys" / "sm2.key").unlink()
    file = tmp_path / "fingerprint.json"
    code, said = told(tmp_path, "--acsmpd", tmp_path / "acsmpd", "--root", root, file)
    assert code == 1
    assert "cannot read the secret file" in said
    code, said = told(tmp_path, "--acsmpd", "/nowhere/acsmpd", "--root", root, file)
    assert (code, said) == (1, "failed: no acsmpd to sign with: name it by --acsmpd, or use --unsigned\n")
    assert not file.exists()
    assert not (box.data / "keys" / "sm2.key").exists()
