"""Packages that are no good: each refused in words, and nothing of it is left anywhere."""

from __future__ import annotations

import gzip
import http.server
import io
import itertools
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.fake_cad import FakeCad
from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package, md5_of
from tests.support.site import Answer, Site, running
from tests.support.state import records, refused, unchanged
from tests.support.wait import wait_until

OTHER_ID = "1101000000502000000120261121120000000002"
IMPORT = "/ACSMP/AlgoFilePackages"
ZEROS = bytes(512)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all refusals: none of them may change it."""
    with running(tmp_path_factory.mktemp("site")) as one:
        yield one


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that takes small packages only."""
    limits = {"packages_max_bytes": "200000", "packages_max_unpacked_bytes": "3000000"}
    with running(tmp_path_factory.mktemp("tight"), **limits) as one:
        yield one


def ability(code: str) -> dict[str, Any]:
    return {"code": code, "task_types": ["VIDEO_REALTIME"], "event_ids": ["FIRE"]}


def description(**more: Any) -> str:
    base = {
        "id": PACKAGE_ID, "name": "bad", "version": "1.0.0", "provider": "ACSMPD",
        "bin": {"type": "artifact", "local_uri": "bin"},
        "abilities": [ability("BAD-1")],
        "algo_runtime": {"cmd": ["./run.sh"]},
    }  # fmt: skip
    return yaml.safe_dump({**base, **more})


def whole(*more: tuple[tarfile.TarInfo, bytes], text: str | None = None) -> bytes:
    """A tar of a good package and these members."""
    out = io.BytesIO()
    files = {"algo.yaml": (text or description()).encode(), "bin/run.sh": b"#!/bin/sh\n"}
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for entry, content in more:
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def file(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    return entry, content


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry, b""


def header(name: str, size: bytes = b"00000000000\0") -> bytes:
    """A header block with exactly this size field and a right checksum."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def many_members(count: int) -> bytes:
    """A tar of so many empty files; the digits of a name go into its checksum alone."""
    template = bytearray(header("m000000"))
    known = int(template[148:154], 8)
    blocks = []
    for number in range(count):
        digits = b"%06d" % number
        template[1:7] = digits
        template[148:154] = b"%06o" % (known + sum(digits) - 6 * ord("0"))
        blocks.append(bytes(template))
    return b"".join(blocks) + 2 * ZEROS


def yaml_bomb() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return whole(text="\n".join([*lines, f'id: "{PACKAGE_ID}"', "name: *a9"]))


def upload(site: Site, content: bytes, name: str = "bad.tar", **fields: str) -> Answer:
    return site.client.ask("POST", IMPORT, files={"File": (name, content)}, data=fields)


NEGATIVE = b"\xff" * 11 + b"\x00"  # base 256: -256
BAD: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "not-a-tar": (lambda: b"PK\x03\x04" + b"x" * 2000, ("bad.tar", "not a tar archive")),
    "empty": (lambda: b"", ("bad.tar", "empty")),
    "truncated-in-a-member": (lambda: whole(file("bin/big", b"y" * 9000))[:4096], ("bad.tar", "truncated")),
    "truncated-before-its-end": (lambda: whole()[:2048], ("bad.tar", "truncated", "end mark")),
    "gzip-cut-off": (lambda: gzip.compress(whole())[:-40], ("bad.tar", "truncated")),
    "no-algo-yaml": (
        lambda: many_members(3),
        ("bad.tar", "no algo.yaml at its top or in its single top folder"),
    ),
    "yaml-bomb": (yaml_bomb, ("bad.tar", "algo.yaml", "line 1", "anchors and aliases are not accepted")),
    "yaml-damaged": (lambda: whole(text="name: [unclosed"), ("bad.tar", "algo.yaml", "not valid YAML")),
    "yaml-object": (
        lambda: whole(text=description().replace("name: bad", "name: !!python/object/apply:os.system [x]")),
        ("bad.tar", "algo.yaml: name", "a text is expected"),
    ),
    "no-version": (
        lambda: whole(text=description(version=None)),
        ("bad.tar", "algo.yaml: version: required, but missing"),
    ),
    "capability-twice": (
        lambda: whole(text=description(abilities=[ability("A"), ability("A")])),
        ("bad.tar", "abilities[1].code", "A stands twice"),
    ),
    "parent-folder": (lambda: whole(file("../evil")), ("bad.tar", "../evil", "leaves the package")),
    "parent-inside": (lambda: whole(file("bin/../../evil")), ("bin/../../evil", "leaves the package")),
    "absolute": (lambda: whole(file("/etc/evil")), ("bad.tar", "/etc/evil", "an absolute path")),
    "link-out": (
        lambda: whole(special("bin/out", tarfile.SYMTYPE, "../../etc")),
        ("bad.tar", "bin/out", "a link that leaves its folder: ../../etc"),
    ),
    "link-absolute": (
        lambda: whole(special("bin/out", tarfile.SYMTYPE, "/etc/passwd")),
        ("bin/out", "a link that leaves its folder: /etc/passwd"),
    ),
    "link-out-of-the-program": (
        lambda: whole(special("bin/out", tarfile.SYMTYPE, "../algo.yaml")),
        ("bin/out", "a link that leaves its folder"),
    ),
    "hard-link": (
        lambda: whole(special("bin/hard", tarfile.LNKTYPE, "/etc/shadow")),
        ("bin/hard", "a hard link"),
    ),
    "device": (lambda: whole(special("bin/sda", tarfile.BLKTYPE)), ("bin/sda", "a block device")),
    "100000-members": (
        lambda: gzip.compress(many_members(100_000), 1),
        ("bad.tar", "more than 20000 members"),
    ),
    "bomb-by-ratio": (
        lambda: gzip.compress(whole(file("bin/zeros", bytes(30_000_000))), 1),
        ("bad.tar", "unpacks to more than 200 times its size"),
    ),
    "negative-size": (
        lambda: header("algo.yaml", NEGATIVE) + ZEROS * 4,
        ("bad.tar", "negative size"),
    ),
    "size-past-the-end": (
        lambda: header("algo.yaml", b"77777777777\0") + ZEROS * 4,
        ("bad.tar", "truncated"),
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_package_is_42202_with_its_reason_and_leaves_nothing(site: Site, what: str) -> None:
    content, words = BAD[what]
    with unchanged(site):
        refused(upload(site, content()), 422, 42202, *words)


def test_the_words_of_a_bad_package_fit_on_one_line_and_leave_no_escape_sequence(site: Site) -> None:
    with unchanged(site):
        answer = upload(site, whole(file("../\x1b[31m" + "é" * 300)), name="b\x1b[2J.tar")
    refused(answer, 422, 42202)
    assert answer.message.isprintable()
    assert len(answer.message) <= 1024


def test_a_wrong_md5_is_42201_and_names_both(site: Site, tmp_path: Path) -> None:
    path = make_package(tmp_path)
    given = "0" * 32
    with unchanged(site):
        refused(site.client.upload(path, MD5=given), 422, 42201, md5_of(path), given)
        # also when it comes after the file
        parts = [("File", (path.name, path.read_bytes())), ("MD5", (None, given))]
        refused(site.client.ask("POST", IMPORT, files=parts), 422, 42201, md5_of(path), given)
        refused(site.client.upload(path, MD5="abc"), 400, 40001, "MD5", "32 hexadecimal digits")


def test_the_right_md5_in_capitals_is_fine(tmp_path: Path) -> None:
    with running(tmp_path / "site") as site:
        path = make_package(tmp_path)
        assert site.client.upload(path, MD5=md5_of(path).upper()).code == 0


def typed(media: str, content: bytes) -> dict[str, Any]:
    return {"data": content, "headers": {"Content-Type": media}}


BOTH = {"files": {"File": ("a.tar", b"x")}, "data": {"Url": "http://10.0.0.1/a.tar"}}
LONG = "http://10.0.0.1/" + "a" * 300
WRONG: dict[str, tuple[dict[str, Any], int, tuple[str, ...]]] = {
    "both": (BOTH, 40001, ("File and Url",)),
    "neither-form": ({"files": {"MD5": (None, "0" * 32)}}, 40002, ("exactly one of File and Url", "neither")),
    "neither": ({"json": {}}, 40002, ("exactly one of File and Url", "neither")),
    "empty-url": ({"json": {"Url": ""}}, 40002, ("exactly one of File and Url",)),
    "url-number": ({"json": {"Url": 5}}, 40001, ("$.Url", "must be a string", "not an integer")),
    "long-url": ({"json": {"Url": LONG}}, 40001, ("$.Url", "longer than 256 characters")),
    "bad-md5": ({"json": {"Url": LONG[:30], "MD5": "zz"}}, 40001, ("$.MD5", "32 hexadecimal digits")),
    "two-files": ({"files": [("File", ("a", b"x")), ("File", ("b", b"x"))]}, 40001, ("File: given twice",)),
    "xml": (typed("text/xml", b"<xml/>"), 41501, ("text/xml", "multipart/form-data")),
    "half-json": (typed("application/json", b"{"), 40000, ("not JSON",)),
    "cut-form": (typed("multipart/form-data; boundary=x", b"--x\r\n"), 40001, ("multipart form",)),
    "no-boundary": (typed("multipart/form-data", b"x"), 40001, ("boundary",)),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_import_that_says_the_wrong_things(site: Site, what: str) -> None:
    ask, code, words = WRONG[what]
    more = dict(ask)
    body = more.pop("json", None)
    with unchanged(site):
        refused(site.client.ask("POST", IMPORT, body, **more), code // 100, code, *words)


# --- sizes -------------------------------------------------------------------------------------------


def test_a_package_over_the_cap_is_41301_before_it_is_taken(tight: Site) -> None:
    with unchanged(tight):
        announced = upload(tight, bytes(3_000_000))
    refused(announced, 413, 41301, "at most")


def test_a_package_a_little_over_the_cap_is_41301_naming_the_setting(tight: Site) -> None:
    """The form around it may take a MiB: what counts is the file."""
    with unchanged(tight):
        refused(upload(tight, bytes(200_001)), 413, 41301, "200000 bytes", "packages.max_bytes")


def test_a_chunked_package_over_the_cap_is_41301(tight: Site) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="File"; filename="a.tar"\r\n\r\n'
        yield from itertools.repeat(bytes(65536), 64)

    with unchanged(tight):
        answer = tight.client.ask(
            "POST", IMPORT, data=pieces(), headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
    # The server counts the body, the intake counts the file in it: whichever is first says so.
    refused(answer, 413, 41301)
    assert "packages.max_bytes" in answer.message or "bytes this row takes" in answer.message


def test_a_bomb_over_the_limit_is_41301(tight: Site) -> None:
    content = whole(file("bin/zeros", bytes(4_000_000)))
    with unchanged(tight):
        refused(
            upload(tight, gzip.compress(content)), 413, 41301, "bad.tar", "unpacks to more than 3000000 bytes"
        )


def test_an_upload_whose_sender_goes_leaves_nothing(site: Site) -> None:
    with unchanged(site):
        with socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2])), timeout=10) as line:
            head = (
                f"POST {IMPORT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.key}\r\n"
                "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 900000\r\n\r\n"
                '--b\r\nContent-Disposition: form-data; name="File"; filename="a.tar"\r\n\r\n'
            )
            line.sendall(head.encode() + bytes(300_000))
            parts = site.data / "packages" / "incoming"
            wait_until(lambda: list(parts.iterdir()), seconds=5, what="the upload begun")
        wait_until(lambda: not list(parts.iterdir()), seconds=5, what="the half file removed")


# --- what is there already -------------------------------------------------------------------------------


@contextmanager
def serving(site: Site, folder: Path) -> Iterator[tuple[FakeCad, str]]:
    """A CAD on which a service of the sample package runs; and the service's ID."""
    with FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(folder)).code == 0
        service = site.client.fine(
            "POST",
            "/ACSMP/AlgoServices/Devices?Wait=20",
            {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code},
        )
        site.until(
            f"/ACSMP/AlgoServices/Devices/{cad.code}/{service}", lambda data: data["Status"] == "RUNNING"
        )
        yield cad, service


def test_nothing_is_overwritten_under_a_running_service(tmp_path: Path) -> None:
    with running(tmp_path / "site") as site, serving(site, tmp_path / "a") as (cad, service):
        same = make_package(tmp_path / "b", version="2.0.0")
        taking = make_package(tmp_path / "c", package_id=OTHER_ID, name="other", provider="ELSE")
        with unchanged(site):
            words = ("cannot import package", "algorithm services run of it", f"{service} on {cad.code}")
            refused(site.client.upload(same), 409, 40901, PACKAGE_ID, *words)
            refused(site.client.upload(taking), 409, 40901, OTHER_ID, *words)
        assert cad.packages == {PACKAGE_ID: "RUNNING"}

        unload = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        assert site.client.post("/ACSMP/AlgoServices/Devices/UnInstall?Wait=20", unload).code == 0
        wait_until(lambda: cad.packages[PACKAGE_ID] == "STOPPED", what="unloaded")
        wait_until(
            lambda: site.client.upload(same).code == 0, seconds=5, what="overwritten without a service"
        )
        assert site.client.fine("GET", f"{IMPORT}/{PACKAGE_ID}")["AlgoFilePackageVersion"] == "2.0.0"


def test_a_capability_moves_to_another_package_and_a_new_provider_is_an_alarm(tmp_path: Path) -> None:
    with running(tmp_path / "site") as site:
        both = make_package(tmp_path / "a", codes=(CAPABILITY, "STAYS"))
        assert site.client.upload(both).code == 0
        same = make_package(tmp_path / "b", package_id=OTHER_ID, version="2.0.0")
        assert site.client.upload(same).code == 0
        moved = site.client.fine("GET", f"/ACSMP/AlgoDef/{CAPABILITY}")
        assert (moved["Source"], moved["Version"]) == (OTHER_ID, "2.0.0")
        assert site.client.fine("GET", "/ACSMP/AlgoDef/STAYS")["Source"] == PACKAGE_ID
        assert site.client.fine("POST", "/ACSMP/Alarms/Search", {})["Total"] == 0

        third = OTHER_ID[:-1] + "3"
        assert site.client.upload(make_package(tmp_path / "c", package_id=third, provider="ELSE")).code == 0
        assert site.client.fine("GET", f"/ACSMP/AlgoDef/{CAPABILITY}")["Source"] == third
        page = site.client.fine("POST", "/ACSMP/Alarms/Search", {"Kind": "capability_moved"})
        [alarm] = page["PageContent"]
        assert alarm["Subject"] == CAPABILITY
        for text in ("ACSMPD", "ELSE", OTHER_ID, third):
            assert text in alarm["Text"]


def test_overwriting_leaves_one_file_and_a_failed_one_the_old(tmp_path: Path) -> None:
    with running(tmp_path / "site") as site:
        assert site.client.upload(make_package(tmp_path / "a")).code == 0
        with unchanged(site):
            broken = upload(site, whole(file("../evil")), name=f"{PACKAGE_ID}_V1.0.0.tar")
            refused(broken, 422, 42202, "../evil")
        assert site.client.upload(make_package(tmp_path / "b", version="2.0.0", codes=("NEW",))).code == 0
        tars = [name for name, size in records(site)["files"] if size >= 0]
        assert len(tars) == 1
        assert tars[0].startswith(PACKAGE_ID)
        refused(site.client.get(f"/ACSMP/AlgoDef/{CAPABILITY}"), 404, 40401, CAPABILITY)


# --- by address ------------------------------------------------------------------------------------------


class Source:
    """A web server with one file, a redirect and a lie."""

    def __init__(self, content: bytes, elsewhere: str) -> None:
        self.asked: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()
        source = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                source.asked.append(self.path)
                source.go_on.wait(10)
                if self.path.startswith("/away"):
                    self.send_response(302)
                    self.send_header("Location", elsewhere)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(404 if self.path.startswith("/none") else 200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> Source:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def inner(tmp_path: Path) -> Iterator[Source]:
    """What must not be reached: another loopback port with a good package."""
    with Source(make_package(tmp_path / "inner").read_bytes(), "") as one:
        yield one


def test_a_url_that_leads_to_loopback_is_40301(tmp_path: Path, inner: Source) -> None:
    target = f"http://127.0.0.1:{inner.port}/package.tar"
    with Source(b"not a package", target) as outer:
        with running(tmp_path / "site", egress_allow=f"127.0.0.1:{outer.port}") as site, unchanged(site):
            redirected = site.client.post(IMPORT, {"Url": f"http://127.0.0.1:{outer.port}/away"})
            refused(redirected, 403, 40301, f"127.0.0.1:{inner.port}", "loopback", "egress.allow")
            for host in ("127.0.0.1", "localhost", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "127.1"):
                direct = site.client.post(IMPORT, {"Url": f"http://{host}:{inner.port}/package.tar"})
                refused(direct, 403, 40301, str(inner.port), "loopback", "egress.allow")
            refused(
                site.client.post(IMPORT, {"Url": "http://169.254.169.254/latest"}),
                403,
                40301,
                "169.254.169.254",
            )
            refused(
                site.client.post(IMPORT, {"Url": "file:///etc/passwd"}), 403, 40301, "only http and https"
            )
            refused(site.client.post(IMPORT, {"Url": "http://u:secret@10.0.0.1/a"}), 403, 40301, "user name")
            fetched = site.client.post(IMPORT, {"Url": f"http://127.0.0.1:{outer.port}/p.tar"})
            refused(fetched, 422, 42202, "p.tar", "not a tar archive")
            refused(
                site.client.post(IMPORT, {"Url": f"http://127.0.0.1:{outer.port}/none"}),
                502,
                50201,
                "HTTP 404",
            )
        assert inner.asked == []
        assert outer.asked == ["/away", "/p.tar", "/none"]


def test_a_form_with_a_url_is_judged_alike(tmp_path: Path, inner: Source) -> None:
    with running(tmp_path / "site", egress_allow="10.0.0.9:80") as site, unchanged(site):
        form = {"Url": (None, f"http://127.0.0.1:{inner.port}/p.tar")}
        refused(site.client.ask("POST", IMPORT, files=form), 403, 40301, "loopback")
    assert inner.asked == []


def test_a_url_import_with_a_wrong_md5_or_too_large_a_file_leaves_nothing(
    tmp_path: Path, inner: Source
) -> None:
    url = f"http://127.0.0.1:{inner.port}/p.tar"
    with running(tmp_path / "site", packages_max_bytes="5000") as site, unchanged(site):
        refused(site.client.post(IMPORT, {"Url": url}), 413, 41301, "larger than 5000 bytes")
    with running(tmp_path / "wide") as site:
        with unchanged(site):
            refused(site.client.post(IMPORT, {"Url": url, "MD5": "1" * 32}), 422, 42201, "1" * 32)
        taken = site.client.fine("POST", IMPORT, {"Url": url})
        assert taken["AlgoFilePackageID"] == PACKAGE_ID


def test_an_import_that_takes_long_is_50401_naming_where_to_look_and_goes_on(
    tmp_path: Path, inner: Source
) -> None:
    inner.go_on.clear()
    with running(tmp_path / "site", packages_url_wait_seconds="1") as site:
        with unchanged(site, but=("files",)):
            answer = site.client.post(IMPORT, {"Url": f"http://127.0.0.1:{inner.port}/p.tar"})
            refused(answer, 504, 50401, "still being fetched", "see /ACSMP/PackageImports/")
        where = answer.message.rpartition("see ")[2]
        assert site.client.fine("GET", where)["Status"] == "RUNNING"
        inner.go_on.set()
        done = site.until(where, lambda data: data["Status"] != "RUNNING")
        assert (done["Status"], done["AlgoFilePackageID"]) == ("DONE", PACKAGE_ID)
        assert site.client.get(f"{IMPORT}/{PACKAGE_ID}").code == 0


def test_the_ask_of_a_refused_import_tells_why(tmp_path: Path, inner: Source) -> None:
    with running(tmp_path / "site") as site:
        refused(site.client.post(IMPORT, {"Url": f"http://127.0.0.1:{inner.port}/none/p.tar"}), 502, 50201)
        assert site.app is not None
        with site.app.store.read() as tx:
            [(ask_id,)] = tx.sql("SELECT id FROM ask")
        shown = site.client.fine("GET", f"/ACSMP/PackageImports/{ask_id}")
        assert (shown["Status"], shown["Received"]) == ("FAILED", 0)
        assert "HTTP 404" in shown["Message"]
        refused(site.client.get("/ACSMP/PackageImports/nothing"), 404, 40401, "no import nothing")
