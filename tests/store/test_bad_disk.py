"""The database on a disk that fails to sync, or is full where SQLite says something else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from acsmpd import faults
from acsmpd.store.database import Store
from tests.store.test_database import put, value
from tests.support.disks import failing, fill


@pytest.mark.parametrize("durable", [True, False])
def test_after_a_failed_sync_everything_is_written_once_more(
    store: Store, tmp_path: Path, durable: bool
) -> None:
    """The system forgets what it could not sync and says of the next sync that all is well."""
    put(store, "before", "brisk", durable=False)
    with failing(os.getpid(), "fdatasync", "EIO"):
        with pytest.raises(faults.Internal, match=r"the disk failed \(disk I/O error\)"):
            put(store, "never")
        assert store.trouble == "cannot write to the database: the disk failed (disk I/O error)"
        assert value(store) is None
        with pytest.raises(faults.Internal, match="cannot write to the database"):
            put(store, "never", durable=durable)
    put(store, "after", durable=durable)
    assert store.trouble == ""
    assert without_log(store, tmp_path / "one.db", "brisk") == "before"
    put(store, "more")
    assert without_log(store, tmp_path / "two.db", "n") is None  # of a disk that is well the log is trusted


def without_log(store: Store, copy: Path, name: str) -> object:
    """What is on the disk for good: the log's pages may not be."""
    shutil.copyfile(store.path, copy)
    alone = Store(copy).open()
    try:
        return value(alone, name)
    finally:
        alone.close()


def test_a_full_disk_is_told_where_sqlite_says_something_else(small_disk: Path) -> None:
    path = small_disk / "acsmpd.db"
    store = Store(path).open()
    put(store, 1)
    store.close()
    filler = fill(small_disk)
    with pytest.raises(faults.NoSpace, match=f"cannot open the database {path}: the disk is full"):
        Store(path).open()
    filler.unlink()
    store = Store(path).open()
    assert value(store) == 1
    store.close()
