"""README's "A first device", typed as it stands into a shell, with a CAD on the other side."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import README, blocks, section
from tests.support.fake_cad import FakeCad
from tests.support.packaging import make_package
from tests.support.site import SITE_CODE, Site, running

FIRST, SECOND = "11010000005050000001", "11010000005050000002"
END = "--- end of the block"


class Shell:
    """One bash that keeps its variables from block to block."""

    def __init__(self, site: Site, folder: Path) -> None:
        names = {"ACSMPD_DATA_DIR": str(site.data), "ACSMPD_SITE_CODE": SITE_CODE, "PYTHON": sys.executable}
        self._url = site.url
        self._bash = subprocess.Popen(
            ["bash", "-u"], cwd=folder, env={**_plain(), **names}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.type('acsmpd() { "$PYTHON" -m acsmpd "$@"; }\n')

    def type(self, block: str) -> str:
        """What a block prints."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{block.replace('http://127.0.0.1:8750', self._url)}\necho; echo '{END}'\n")
        self._bash.stdin.flush()
        said = ""
        for line in self._bash.stdout:
            if line.rstrip() == END:
                return said
            said += line
        raise AssertionError(f"the shell ended: {said}")

    def close(self) -> None:
        self._bash.communicate(timeout=20)


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ACSMPD_")}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path / "site", enrolment_mode="approval") as one:
        yield one


def test_the_section_works_as_it_is_typed(site: Site, tmp_path: Path) -> None:
    begin, approve, look, preset, deploy, results = blocks(section(README, "A first device"), "sh")
    make_package(tmp_path, file_name="algo.tar")
    with FakeCad(FIRST) as cad, FakeCad(SECOND, password="its-password") as other:
        with contextlib.closing(Shell(site, tmp_path)) as shell:
            assert cad.register(site.url).code == 40302
            assert shell.type(begin).strip() == ""
            claim, approved = shell.type(approve).split("\n")[:2]
            assert '"Username":"cad"' in claim
            assert '"Approved":false' in claim
            assert '"Approved":true' in approved
            assert '"Name":"east gate"' in approved

            assert cad.register(site.url).accepted
            site.until(f"/ACSMP/Computility/{FIRST}", lambda data: data["State"] == "online")
            assert '"State":"online"' in shell.type(look)

            assert f"computility {SECOND} is preset" in shell.type(preset)
            assert other.register(site.url).accepted

            imported, loaded, planned = shell.type(deploy).split("\n")[:3]
            for answer in (imported, loaded, planned):
                assert '"Code":0' in answer, answer
            [running_task] = cad.running_tasks()
            assert cad.send_result(running_task.task_id)[0].accepted

            instances, found = shell.type(results).split("\n")[:2]
            assert '"Status":"RUNNING"' in instances
            assert '"Total":1' in found
            assert '"EventID":"INTRUSION"' in found
