"""What the journeys share beside a site: a clock that a test may put forward."""

from __future__ import annotations

import pytest

from acsmpd.app import App
from acsmpd.clock import Clock, Moment
from tests.support import site as site_module


class Ahead(Clock):
    """The real clock, but later by what a test says."""

    seconds = 0.0

    def now(self) -> Moment:
        return super().now().later(self.seconds)


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    """Sites of this test run on this clock."""
    clock = Ahead()
    monkeypatch.setattr(site_module, "App", lambda settings: App(settings, clock))
    return clock
