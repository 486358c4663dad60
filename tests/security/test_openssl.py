"""Multiplying by the installed OpenSSL: the same as gmssl, from many threads; not used where it is not trusted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from acsmpd.security import curve, openssl


def gmssl(factor: int, point: curve.Point) -> bytes | None:
    return curve._by_gmssl(factor, point)


def test_both_give_the_same() -> None:
    fast = openssl.multiplier()
    assert fast is not None, "OpenSSL 3 is installed where the tests run"
    for factor in (1, 2, 3, curve.N - 1, curve.N - 2, *(curve.random_factor() for _ in range(20))):
        point = curve.multiplied(curve.random_factor(), curve.GENERATOR)
        assert fast(factor, point.encoded()) == gmssl(factor, point)


def test_many_threads_at_once() -> None:
    factors = [curve.random_factor() for _ in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: curve.multiplied(one, curve.GENERATOR), factors))
    assert found[:10] == [curve.decoded(gmssl(one, curve.GENERATOR) or b"") for one in factors[:10]]
    assert all(curve.on_curve(one) for one in found)


def test_a_point_off_the_curve_never_reaches_it() -> None:
    fast = openssl.multiplier()
    assert fast is not None
    with pytest.raises(ValueError, match="does not take the factor or the point"):
        fast(2, bytes(63) + b"\x01")


@pytest.mark.parametrize("case", ["absent", "no library", "another library", "wrong"])
def test_what_is_not_to_be_trusted_is_not_used(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "libcrypto.so.3"
    damaged.write_bytes(b"\x7fELF and nothing")
    names = {"absent": "libcrypto.so.999", "no library": str(damaged), "another library": "libm.so.6"}
    monkeypatch.setattr(openssl, "LIBRARIES", (names.get(case, "libcrypto.so.3"),))
    if case == "wrong":
        monkeypatch.setattr(openssl, "_TWICE", bytes(64))
    openssl.multiplier.cache_clear()
    try:
        assert openssl.multiplier() is None
        product = curve.multiplied(7, curve.GENERATOR)
        assert product.encoded() == gmssl(7, curve.GENERATOR)
    finally:
        openssl.multiplier.cache_clear()
