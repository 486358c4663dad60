"""Licence files and their rows, with several at them at once: threads, processes, and one that dies."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from acsmpd import faults
from acsmpd.licensing import files, intake
from acsmpd.licensing.intake import Licence, judged, take_in
from acsmpd.security.sm3 import sm3_hex
from acsmpd.store import licences
from acsmpd.store.database import Store
from tests.support.daemon import ROOT
from tests.support.wait import wait_until

UTC = ZoneInfo("UTC")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    one = Store(tmp_path / "acsmpd.db").open()
    yield one
    one.close()


def licence(content: bytes = b"a licence", provider: str = "P", **more: object) -> Licence:
    return judged(content, {"Provider": provider, **more}, UTC)


def took(store: Store, one: Licence) -> intake.Taken:
    return take_in(store, store.path.parent, one, 1_000, min_free_bytes=0)


def names(store: Store) -> list[str]:
    return sorted(path.name for path in (store.path.parent / "licenses").iterdir())


def held_elsewhere(data: Path, then: str) -> subprocess.Popen[str]:
    """Another process that holds the folder, says so, and goes on with `then` once it is told to."""
    program = f"""
        import sys
        from pathlib import Path
        from acsmpd.licensing import files
        data = Path(sys.argv[1])
        with files.held(data) as folder:
            print("held", flush=True)
            sys.stdin.readline()
            {then}
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(data)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_licence_is_taken_in_once_and_brought_up_to_date(store: Store) -> None:
    first = took(store, licence(AbilityAuths=[{"AlgoDefCode": "A", "Quota": 1}]))
    again = took(
        store,
        licence(AbilityAuths=[{"AlgoDefCode": "A", "Quota": 2}], ExpireTime="2099-12-31 23:59:59"),
    )
    assert (first.was_there, again.was_there, again.number) == (False, True, first.number)
    assert again.said == ("it was there already", "no imported package has A")
    with store.read() as tx:
        [row] = licences.rows(tx)
    assert (row["abilities"], row["expire_ms"]) == ({"A": 2}, 4_102_444_799_000)
    assert took(store, licence(provider="Q")).number != first.number
    assert names(store) == [sm3_hex(b"a licence")]


def test_a_file_that_was_damaged_is_whole_again_after_an_import(store: Store) -> None:
    took(store, licence())
    path = store.path.parent / "licenses" / sm3_hex(b"a licence")
    path.write_bytes(b"A licence")
    took(store, licence())
    assert path.read_bytes() == b"a licence"
    assert path.stat().st_mode & 0o777 == 0o600


def test_words_that_are_no_utf_8_are_refused() -> None:
    with pytest.raises(faults.InvalidField, match="no UTF-8"):
        licence(provider="\udcff")


def test_a_full_disk_takes_no_licence(store: Store) -> None:
    with pytest.raises(faults.NoSpace):
        take_in(store, store.path.parent, licence(), 1_000, min_free_bytes=2**62)
    with store.read() as tx:
        assert licences.rows(tx) == []
    assert names(store) == []


def test_a_sweep_leaves_the_file_that_somebody_is_just_bringing(store: Store) -> None:
    data = store.path.parent
    sweeping = threading.Thread(target=files.sweep, args=(store, data))
    with files.held(data) as folder:
        files.keep(folder, sm3_hex(b"new"), b"new", 0)
        (folder / ".half.part").write_bytes(b"half")
        sweeping.start()
        with store.write() as tx:
            licences.add(
                tx, provider="P", device="", sm3=sm3_hex(b"new"), created_ms=1, abilities=None, expire_ms=None,
                path=f"licenses/{sm3_hex(b'new')}", size=3,
            )  # fmt: skip
    sweeping.join(timeout=20)
    assert names(store) == [sm3_hex(b"new")]


def test_another_process_that_holds_the_folder_is_waited_for(store: Store) -> None:
    data = store.path.parent
    other = held_elsewhere(data, "(folder / 'theirs').write_bytes(b'x')")
    seen: list[bool] = []

    def bring() -> None:
        took(store, licence())
        seen.append((data / "licenses" / "theirs").exists())

    bringing = threading.Thread(target=bring)
    bringing.start()
    assert other.stdin is not None
    other.communicate("\n", timeout=20)
    bringing.join(timeout=20)
    assert seen == [True]


def test_one_that_holds_the_folder_for_ever_is_told_in_words(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "HELD_SECONDS", 0.2)
    other = held_elsewhere(store.path.parent, "pass")
    other.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(
            faults.Internal, match=r"another program has held .*licenses for more than 0\.2 s"
        ):
            took(store, licence())
    finally:
        other.kill()  # which lets go of it
        other.communicate(timeout=20)
    assert took(store, licence()).was_there is False


BRINGER = """
    import os, signal, sys
    from pathlib import Path
    from zoneinfo import ZoneInfo
    from acsmpd.licensing import files, intake
    from acsmpd.store import licences
    from acsmpd.store.database import Store
    data, provider, goes = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "goes"
    store = Store(data / "acsmpd.db").open()
    one = intake.judged(b"shared", {"Provider": provider}, ZoneInfo("UTC"))
    for _ in range(25):
        number = intake.take_in(store, data, one, 1, min_free_bytes=0).number
        assert (data / "licenses" / one.sm3).read_bytes() == b"shared" or goes
        if goes:
            with files.held(data):
                with store.write() as tx:
                    licences.end(tx, number, 0)
                    is_loose = f"licenses/{one.sm3}" not in licences.paths(tx)
                if is_loose:
                    files.drop(data, f"licenses/{one.sm3}")
    store.close()
"""


def test_processes_that_bring_and_delete_the_same_content_lose_no_file(store: Store) -> None:
    data = store.path.parent
    words = [("p1", "goes"), ("p2", "goes"), ("p3", "stays")]
    processes = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(BRINGER), str(data), *one], cwd=ROOT)
        for one in words
    ]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    with store.read() as tx:
        [row] = licences.rows(tx)
    assert (row["provider"], names(store)) == ("p3", [sm3_hex(b"shared")])
    assert (data / row["path"]).read_bytes() == b"shared"


def test_one_that_dies_between_file_and_row_leaves_nothing_in_the_way(store: Store) -> None:
    data = store.path.parent
    dying = "os.kill(os.getpid(), signal.SIGKILL)"
    program = textwrap.dedent(BRINGER).replace("for _ in", f"intake._entered = lambda *_: {dying}\nfor _ in")
    process = subprocess.Popen([sys.executable, "-c", program, str(data), "P", "stays"], cwd=ROOT)
    wait_until(lambda: process.poll() is not None, seconds=30, what="its end")
    assert process.returncode == -signal.SIGKILL
    assert names(store) == [sm3_hex(b"shared")]
    files.sweep(store, data)
    assert names(store) == []
    assert took(store, licence(b"shared")).was_there is False
    assert names(store) == [sm3_hex(b"shared")]
