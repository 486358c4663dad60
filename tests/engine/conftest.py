"""An engine of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.bench import Bench as Works


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    """A platform whose devices are in memory and whose clock stands until it is moved."""
    made = Works(tmp_path / "works")
    yield made
    made.close()
