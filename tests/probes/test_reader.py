"""The parent's end of the card child: deadlines, rubbish, deaths."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acsmpd.clock import Clock
from acsmpd.probes.reader import MAX_LINE_BYTES, CardReader
from tests.probes.conftest import A2, FakeDriver, alive, descriptors
from tests.support.wait import wait_until

Rogue = Callable[[str], CardReader]
HELLO = "import sys\nprint('{\"number\":0}', flush=True)\nsys.stdin.readline()\n"


@pytest.fixture
def rogue(tmp_path: Path) -> Iterator[Rogue]:
    """Readers whose child runs a program of the test's instead of ours."""
    made: list[CardReader] = []

    def make(program: str) -> CardReader:
        package = tmp_path / "acsmpd" / "probes"
        package.mkdir(parents=True, exist_ok=True)
        for folder in (package, package.parent):
            (folder / "__init__.py").touch()
        (package / "child.py").write_text(program)
        made.append(CardReader(Clock(), {"PYTHONPATH": str(tmp_path)}))
        return made[-1]

    yield make
    for reader in made:
        reader.close()


def test_no_library_leaves_no_child() -> None:
    before = descriptors()
    reader = CardReader(Clock(), {"LD_LIBRARY_PATH": "/nonexistent"})
    assert reader.start(20) is False
    assert (reader.pid, reader.running) == (None, False)
    with pytest.raises(ConnectionError, match="is not running"):
        reader.ask(1)
    reader.close()
    assert descriptors() == before


def test_a_question_that_hangs_ends_at_its_deadline(driver: FakeDriver, reader: CardReader) -> None:
    driver.play(A2)
    reader.start(20)
    assert reader.ask(20).cards[0].state == "ok"
    pid = reader.pid
    assert pid is not None
    driver.play(A2, hang="nvmlDeviceGetUtilizationRates")
    with pytest.raises(TimeoutError, match=r"the card driver did not answer within 0\.2 s"):
        reader.ask(0.2)
    reader.kill()
    assert not alive(pid)
    assert not reader.running


def test_a_crash_in_the_library_names_the_signal(driver: FakeDriver, reader: CardReader) -> None:
    driver.play(A2, crash="nvmlDeviceGetUtilizationRates")
    reader.start(20)
    with pytest.raises(ConnectionError, match=r"the card reader ended \(signal 6\)"):
        reader.ask(20)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("print('what?')", "sent something that is no answer"),
        ('print(\'{"number":"x"}\')', "sent something that is no answer"),
        ('print(\'{"number":0}\\n{"number":1}\')', "sent something that is no answer"),
        ("print('{\"number\":7}')", "answered question 7, not 0"),
        ('print(\'{"number":0,"broken":"ImportError: no"}\')', "the card reader failed: ImportError: no"),
        ("import sys\nsys.exit(3)", r"ended \(exit status 3\)"),
    ],
)
def test_a_bad_first_line_is_refused(rogue: Rogue, program: str, message: str) -> None:
    with pytest.raises(ConnectionError, match=message):
        rogue(program).start(20)


def test_a_line_without_end_is_bounded(rogue: Rogue) -> None:
    reader = rogue(HELLO + "while True:\n    sys.stdout.write('x' * 65536)\n")
    reader.start(20)
    with pytest.raises(ConnectionError, match=f"a line of more than {MAX_LINE_BYTES} bytes"):
        reader.ask(20)


def test_an_unknown_state_of_a_card_is_no_answer(rogue: Rogue) -> None:
    card = '{"index":0,"uuid":"u","vendor":"v","type":"t","name_raw":"n","state":"fine"}'
    program = HELLO + f'print(\'{{"number":1,"reading":{{"cards":[{card}]}}}}\', flush=True)\n'
    reader = rogue(program)
    reader.start(20)
    with pytest.raises(ConnectionError, match="Invalid enum value 'fine'"):
        reader.ask(20)


def test_what_fails_in_the_child_is_told(reader: CardReader) -> None:
    reader.start(20)
    child = reader._child
    assert child is not None
    assert child.stdin is not None
    child.stdin.write(b"seven\n")
    with pytest.raises(ConnectionError, match="the card reader failed: ValueError: invalid literal"):
        reader._answer(20)


def test_an_interrupt_ends_the_wait(driver: FakeDriver, reader: CardReader) -> None:
    driver.play(A2, hang="nvmlInitWithFlags")
    reader.start(20)
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            reader.ask(600)
        except OSError as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    reader.interrupt()
    thread.join(10)
    assert [str(error) for error in caught] == ["stopping"]


def test_the_child_gets_no_variable_of_ours(reader: CardReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACSMPD_UPSTREAM_PASSWORD", "secret")
    reader.start(20)
    variables = Path(f"/proc/{reader.pid}/environ").read_bytes()
    assert b"FAKE_NVML_STATE=" in variables
    assert b"secret" not in variables


def test_the_child_dies_with_the_parent_while_the_driver_holds_it(driver: FakeDriver) -> None:
    driver.play(A2, hang="nvmlDeviceGetUtilizationRates")
    program = (
        "import sys, json\n"
        "from acsmpd.clock import Clock\n"
        "from acsmpd.probes.reader import CardReader\n"
        "reader = CardReader(Clock(), json.loads(sys.argv[1]))\n"
        "reader.start(20)\n"
        "print(reader.pid, flush=True)\n"
        "reader.ask(600)\n"
    )
    environment = json.dumps(driver.environment)
    with subprocess.Popen([sys.executable, "-c", program, environment], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: "pause" in _wchan_or_state(pid), what="the child hangs")
        parent.kill()
    wait_until(lambda: not alive(pid), seconds=10, what="the child is gone")


def test_the_child_ends_with_its_input(reader: CardReader) -> None:
    reader.start(20)
    child = reader._child
    assert child is not None
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(10) == 0


def _wchan_or_state(pid: int) -> str:
    """ "pause" once the process sleeps in pause(2) (system call 34 on x86-64, else any sleep will do)."""
    try:
        number = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    except OSError:
        return ""
    return "pause" if number == "34" or os.uname().machine != "x86_64" else number


def test_a_child_that_cannot_be_killed_is_left_behind_and_not_doubled(reader: CardReader) -> None:
    group = Path("/sys/fs/cgroup/freezer") / f"acsmpd-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"needs a writable cgroup v1 freezer, whose members outlive SIGKILL: {error}")
    reader.start(20)
    pid = reader.pid
    assert pid is not None
    try:
        (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
        reader.kill()
        assert alive(pid)
        assert not reader.running
        with pytest.raises(OSError, match=f"process {pid} hangs in the driver and cannot be killed"):
            reader.start(20)
    finally:
        (group / "freezer.state").write_text("THAWED")
        wait_until(lambda: not alive(pid), what="the thawed child dies")
        wait_until(lambda: not (group / "cgroup.procs").read_text(), what="the group is empty")
        group.rmdir()
    assert reader.start(20)
    assert reader.pid != pid
    os.kill(reader.pid or 0, signal.SIGKILL)
