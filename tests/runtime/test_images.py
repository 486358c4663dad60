"""Images in a real dockerd and a real Podman: brought, pinned, and nothing of anybody else touched."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from acsmpd.clock import Clock
from acsmpd.faults import Fault, InvalidPackage, NoAnswerInTime, NoSpace, NotAllowed
from acsmpd.packages.archive import judge
from acsmpd.packages.bytestream import DEFAULTS
from acsmpd.runtime.images import Images, ImageSettings
from acsmpd.runtime.reference import registry_judge
from acsmpd.runtime.sockets import Sockets
from acsmpd.security.egress import EgressPolicy
from tests.support.container_engines import KINDS, ON_DOCKERD, ContainerEngine, container_engine
from tests.support.images import image_package, small_tar
from tests.support.packaging import PACKAGE_ID
from tests.support.registry import Registry, registry

MARK = b"a program of somebody"
OWNER = "0123456789ab"
ONE, TWO = "1" * 32, "2" * 32
MINE = f"localhost/acsmpd-{OWNER}/{PACKAGE_ID}"


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest) -> Iterator[ContainerEngine]:
    with container_engine(request.param) as one:
        yield one


@pytest.fixture
def engine(running: ContainerEngine) -> Iterator[ContainerEngine]:
    yield running
    running.clear()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("registry")) as one:
        yield one


def images_of(
    engine: ContainerEngine,
    *,
    spare: int = 1 << 20,
    seconds: float = 60.0,
    allow: tuple[str, ...] = ("127.0.0.1:*",),
) -> Images:
    settings = ImageSettings(min_free_bytes=spare, timeout_seconds=seconds)
    judging = registry_judge(EgressPolicy(allow))
    sockets = Sockets(str(engine.socket), Clock(), 15.0)
    return Images(sockets, OWNER, settings, DEFAULTS, judging, Clock())


def bring(images: Images, package: Path, md5: str = ONE) -> str:
    return images.bring(PACKAGE_ID, md5, package, judge(package).manifest)


@functools.cache
def engine_tar() -> tuple[Path, str]:
    path = Path(tempfile.mkdtemp(prefix="acsmpd-image-")) / "engine.tar"
    return path, small_tar(path, "somebody/engine:1", MARK)


def theirs(engine: ContainerEngine, tmp_path: Path, tag: str) -> str:
    """Another image of somebody else, with this name; its id."""
    tar = tmp_path / "theirs.tar"
    image_id = small_tar(tar, tag, b"theirs")
    engine.load(tar)
    return image_id


def named(engine: ContainerEngine, tag: str) -> str | None:
    """The id a name stands for; Podman puts localhost/ before one without a registry."""
    return engine.tags().get(tag) or engine.tags().get(f"localhost/{tag}")


def test_a_loaded_image_has_our_name_alone_and_goes_with_it(engine: ContainerEngine, tmp_path: Path) -> None:
    """The archive asks for a name that another image has: it keeps it."""
    tar, image_id = engine_tar()
    other = theirs(engine, tmp_path, "somebody/engine:1")
    images = images_of(engine)
    assert bring(images, image_package(tmp_path, tar=tar)) == image_id
    assert engine.tags()[f"{MINE}:{ONE}"] == image_id
    assert named(engine, "somebody/engine:1") == other
    assert len(engine.tags()) == 2
    assert images.keep({(PACKAGE_ID, ONE)})
    assert f"{MINE}:{ONE}" in engine.tags()
    assert images.keep(())
    assert [one["Id"].removeprefix("sha256:") for one in engine.images()] == [other.removeprefix("sha256:")]


def test_an_image_that_is_there_already_is_used_as_it_is_and_stays(
    engine: ContainerEngine, tmp_path: Path
) -> None:
    tar, image_id = engine_tar()
    engine.load(tar)
    before = engine.tags()
    images = images_of(engine)
    assert bring(images, image_package(tmp_path, tar=tar)) == image_id
    assert engine.tags() == before
    assert images.keep(())
    assert engine.tags() == before


@ON_DOCKERD
def test_two_packages_with_one_image_share_it_until_the_last_goes(
    engine: ContainerEngine, tmp_path: Path
) -> None:
    tar, image_id = engine_tar()
    images = images_of(engine)
    package = image_package(tmp_path, tar=tar)
    assert {bring(images, package, ONE), bring(images, package, TWO)} == {image_id}
    assert images.keep({(PACKAGE_ID, TWO)})
    assert engine.tags() == {f"{MINE}:{TWO}": image_id}
    assert images.keep(())
    assert engine.images() == []


def test_an_image_in_use_stays_until_nobody_uses_it(engine: ContainerEngine, tmp_path: Path) -> None:
    images = images_of(engine)
    bring(images, image_package(tmp_path, tar=engine_tar()[0]))
    held = engine.make("somebody-s", f"{MINE}:{ONE}", "/app/program")
    assert not images.keep(())
    assert f"{MINE}:{ONE}" in engine.tags()
    engine.api.ask("DELETE", f"/containers/{held}", force="true")
    assert images.keep(())
    assert engine.images() == []


def test_a_pulled_image_is_pinned_and_its_name_is_given_back(
    engine: ContainerEngine, hub: Registry, tmp_path: Path
) -> None:
    tar, image_id = engine_tar()
    digest = hub.put(tar, "site/engine", "1")
    images = images_of(engine)
    for number, tag in enumerate((":1", f"@{digest}")):
        package = image_package(tmp_path / str(number), remote_uri=f"{hub.host}/site/engine{tag}")
        assert bring(images, package) == image_id
        assert engine.tags() == {f"{MINE}:{ONE}": image_id}
        assert images.keep(())
        assert engine.images() == []


def test_a_name_that_is_there_is_used_and_never_pulled_over(
    engine: ContainerEngine, hub: Registry, tmp_path: Path
) -> None:
    hub.put(engine_tar()[0], "site/other", "1")
    other = theirs(engine, tmp_path, f"{hub.host}/site/other:1")
    images = images_of(engine)
    assert bring(images, image_package(tmp_path, remote_uri=f"{hub.host}/site/other:1")) == other
    assert images.keep(())
    assert engine.tags() == {f"{hub.host}/site/other:1": other}


@ON_DOCKERD
def test_the_image_in_the_package_comes_before_the_registry(engine: ContainerEngine, tmp_path: Path) -> None:
    tar, image_id = engine_tar()
    package = image_package(tmp_path, tar=tar, remote_uri="nowhere.invalid/a:1")
    assert bring(images_of(engine), package) == image_id


@ON_DOCKERD
@pytest.mark.parametrize(
    ("remote_uri", "allow", "kind", "words"),
    [
        ("127.0.0.1:1/a:1", (), NotAllowed, r"127\.0\.0\.1:1"),
        ("169.254.169.254/a:1", (), NotAllowed, "metadata"),
        ("nowhere.invalid/a:1", (), Fault, "not known here"),
        ("127.0.0.1:1/a:1", ("127.0.0.1:*",), Fault, "refused"),
        ("HUB/site/gone:1", ("127.0.0.1:*",), Fault, "site/gone"),
        ("HUB/site/gone@sha256:" + "0" * 64, ("127.0.0.1:*",), Fault, "site/gone|manifest"),
        ("http://x/a:1", (), InvalidPackage, "is no reference"),
    ],
)
def test_what_cannot_be_pulled_is_told_and_leaves_nothing(
    engine: ContainerEngine, hub: Registry, tmp_path: Path, remote_uri: str, allow: tuple[str, ...],
    kind: type[Fault], words: str,
) -> None:  # fmt: skip
    package = image_package(tmp_path, remote_uri=remote_uri.replace("HUB", hub.host))
    with pytest.raises(kind, match=words):
        bring(images_of(engine, allow=allow), package)
    assert engine.images() == []


@ON_DOCKERD
def test_an_image_that_the_disk_cannot_take_is_not_begun(engine: ContainerEngine, tmp_path: Path) -> None:
    """The layer is larger than what may still be taken, whatever others write on this disk meanwhile."""
    tar, spare = tmp_path / "large.tar", shutil.disk_usage(engine.folder).free - 20_000_000
    small_tar(tar, "large:1", bytes(200_000_000))
    package = image_package(tmp_path, tar=tar)
    with pytest.raises(NoSpace, match=r"runtime\.image_min_free_bytes"):
        bring(images_of(engine, spare=spare), package)
    with pytest.raises(NoSpace):
        bring(images_of(engine, spare=1 << 49), image_package(tmp_path / "r", remote_uri="127.0.0.1:1/a:1"))
    assert engine.images() == []


def test_an_image_with_another_layer_than_it_says_is_not_taken(
    engine: ContainerEngine, tmp_path: Path
) -> None:
    tar = tmp_path / "image"
    tar.write_bytes(engine_tar()[0].read_bytes().replace(MARK, MARK.upper()))
    with pytest.raises(Fault) as caught:
        bring(images_of(engine), image_package(tmp_path, tar=tar))
    assert str(engine.socket) in caught.value.message
    assert engine.tags() == {}


@ON_DOCKERD
def test_an_engine_that_hangs_holds_nobody_up_for_long(engine: ContainerEngine, tmp_path: Path) -> None:
    images = Images(
        Sockets(str(engine.socket), Clock(), 0.5), OWNER, ImageSettings(min_free_bytes=1, timeout_seconds=0.5),
        DEFAULTS, lambda _host, _port: None, Clock(),
    )  # fmt: skip
    engine.hang()
    try:
        with pytest.raises((NoAnswerInTime, Fault), match="no answer in time"):
            bring(images, image_package(tmp_path, tar=engine_tar()[0]))
        with pytest.raises(Fault, match="no answer in time"):
            images.keep(())
    finally:
        engine.go_on()
