"""A fake CAD with the real driver before it, over the real wire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fake_cad import FakeCad
from tests.support.fake_stage import PackageFiles, Site, site_before
from tests.wire.servers import serving


@pytest.fixture
def files() -> Iterator[PackageFiles]:
    held = PackageFiles()
    with serving(held.script) as server:
        held.server = server
        yield held


@pytest.fixture
def fake() -> Iterator[FakeCad]:
    with FakeCad() as device:
        yield device


@pytest.fixture
def site(fake: FakeCad) -> Iterator[Site]:
    with site_before(fake) as one:
        yield one


@pytest.fixture
def loaded(site: Site, files: PackageFiles) -> Site:
    """A site whose device has the package loaded."""
    site.deliver(files)
    return site
