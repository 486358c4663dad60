"""What lies in the data directory is the daemon's own, whatever the umask; and what it tells strangers of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from acsmpd import offline
from tests.support.daemon import daemon
from tests.support.site import Site, running


@pytest.fixture(autouse=True)
def lax() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """Files that group or others may reach."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]


def test_the_database_a_command_makes_is_its_own(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", {})
    with offline.opened(site.settings) as store, store.write() as tx:
        tx.sql("SELECT 1")
        names = {path.name for path in site.data.glob("acsmpd.db*")}
        assert names == {"acsmpd.db", "acsmpd.db-wal", "acsmpd.db-shm"}
        assert open_to_others(site.data) == []
    assert os.umask(0o022) == 0o022  # the caller's is as it was


def test_every_file_of_the_daemon_is_its_own(tmp_path: Path) -> None:
    with daemon(tmp_path / "site", local_enabled="false") as site:
        assert (site.data / "lock").stat().st_mode & 0o777 == 0o600
        assert open_to_others(site.data) == []


def test_a_stranger_learns_that_the_disk_is_full_and_no_more(tmp_path: Path) -> None:
    with running(tmp_path / "site", local_enabled="false", data_min_free_bytes=str(2**50)) as site:
        answer = requests.get(f"{site.url}/readyz", timeout=10)
    assert answer.status_code == 503
    assert "the data disk is nearly full" in answer.json()["Faults"]
    assert str(tmp_path) not in answer.text
    assert not any(sign.isdigit() for sign in answer.text)


def test_our_own_listener_is_the_address_its_name_stands_for(tmp_path: Path) -> None:
    with running(tmp_path / "site", local_enabled="false", server_host="localhost") as site:
        assert site.app is not None
        assert site.app._own_listeners() == [("127.0.0.1", site.app.port)]
