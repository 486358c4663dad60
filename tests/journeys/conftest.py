"""What the journeys share beside a site: a clock that a test may put forward, a computing platform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acsmpd.app import App
from acsmpd.clock import Clock, Moment
from tests.journeys.ccp_setup import enter, image_package
from tests.support import site as site_module
from tests.support.fake_ccp import FakeCcp
from tests.support.site import Site, running


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


@pytest.fixture
def ccp() -> Iterator[FakeCcp]:
    with FakeCcp(engines_listen=True) as one:
        yield one


@pytest.fixture
def ours(tmp_path: Path, ccp: FakeCcp) -> Iterator[Site]:
    """A site that controls tasks on pods; the platform is entered, the package imported."""
    with running(tmp_path / "site", ccp_engine_interface="ours") as site:
        enter(site, ccp)
        assert site.client.upload(image_package(tmp_path)).code == 0
        yield site


@pytest.fixture
def plain(site: Site, ccp: FakeCcp, tmp_path: Path) -> Site:
    """The same without task control."""
    enter(site, ccp)
    assert site.client.upload(image_package(tmp_path)).code == 0
    return site
