"""bin.remote_uri of an image: what it names, and what is no reference at all."""

from __future__ import annotations

import pytest

from acsmpd.faults import FacilityRefused, InvalidPackage, NotAllowed
from acsmpd.runtime.reference import reference, registry_judge
from acsmpd.security.egress import EgressPolicy

DIGEST = "sha256:" + "0f" * 32


@pytest.mark.parametrize(
    ("text", "whole", "host", "port"),
    [
        ("registry:5000/provider-human:1.0.0", "registry:5000/provider-human:1.0.0", "registry", 5000),
        ("registry.site.cn/a/b/c:1", "registry.site.cn/a/b/c:1", "registry.site.cn", 443),
        ("localhost/a", "localhost/a:latest", "localhost", 443),
        ("[fd00::1]:5000/a:1", "[fd00::1]:5000/a:1", "fd00::1", 5000),
        ("busybox", "docker.io/library/busybox:latest", "registry-1.docker.io", 443),
        ("busybox:1", "docker.io/library/busybox:1", "registry-1.docker.io", 443),
        ("me/a:1", "docker.io/me/a:1", "registry-1.docker.io", 443),
        ("docker.io/me/a:1", "docker.io/me/a:1", "registry-1.docker.io", 443),
        (f"10.0.0.9:5000/a@{DIGEST}", f"10.0.0.9:5000/a@{DIGEST}", "10.0.0.9", 5000),
    ],
)
def test_a_reference_is_taken_apart(text: str, whole: str, host: str, port: int) -> None:
    found = reference(text)
    assert (found.text, found.host, found.port) == (whole, host, port)
    assert found.pinned == ("@" in text)


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "http://registry:5000/a:1", "registry:5000/", "registry:5000/A:1", "registry:5000/a:", "a b",
        "registry:5000/../a:1", "registry:5000//a", "registry:0/a:1", "registry:99999/a:1", "registry:x/a:1",
        "registry:5000/a@sha256:12", f"registry:5000/a@md5:{'0' * 32}", "registry:5000/a?x=1", "-.x/a", "a/" * 200,
        "registry:5000/a:1\n", "registry:5000/a%2f..:1", "user@registry:5000/a:1", f"registry:5000/a:{'t' * 129}",
    ],
)  # fmt: skip
def test_the_rest_is_no_valid_package(text: str) -> None:
    with pytest.raises(InvalidPackage, match="is no reference to an image"):
        reference(text)


def test_a_registry_is_judged_by_every_address_it_has() -> None:
    with pytest.raises(NotAllowed, match=r"127\.0\.0\.1:5000.*loopback"):
        registry_judge(EgressPolicy([]))("localhost", 5000)
    registry_judge(EgressPolicy(["127.0.0.1:5000"]))("localhost", 5000)
    with pytest.raises(NotAllowed, match="metadata"):
        registry_judge(EgressPolicy([]))("169.254.169.254", 80)
    with pytest.raises(FacilityRefused, match="not known here"):
        registry_judge(EgressPolicy([]))("nowhere.invalid", 443)
