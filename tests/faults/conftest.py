"""What several tests of faults stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fake_cad import FakeCad


@pytest.fixture
def cad() -> Iterator[FakeCad]:
    """A device that does as it is told."""
    with FakeCad() as one:
        yield one
