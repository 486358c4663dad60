from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory closed to others, with something in it that no engine may read.

    Not below pytest's own folder: that one is closed to other accounts higher up, which hides what we test.
    """
    with tempfile.TemporaryDirectory(prefix="acsmpd-test-") as name:
        folder = Path(name)
        (folder / "secret").write_text("top", encoding="utf-8")
        yield folder
