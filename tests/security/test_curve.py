"""The SM2 curve: ranges, ends, bounds."""

from __future__ import annotations

import pytest

from acsmpd.security import curve

pytestmark = pytest.mark.usefixtures("arithmetic")


def test_multiples_lie_on_the_curve_and_the_ends_of_the_range_are_right() -> None:
    assert curve.on_curve(curve.GENERATOR)
    last = curve.multiplied(curve.N - 1, curve.GENERATOR)
    assert last == curve.Point(curve.GENERATOR.x, curve.P - curve.GENERATOR.y)
    assert curve.multiplied(1, curve.GENERATOR) == curve.GENERATOR
    assert curve.on_curve(curve.multiplied(curve.random_factor(), curve.GENERATOR))
    for factor in (0, -1, curve.N, curve.N + 1):
        with pytest.raises(ValueError, match="the factor or the point is out of range"):
            curve.multiplied(factor, curve.GENERATOR)
    with pytest.raises(ValueError, match="the factor or the point is out of range"):
        curve.multiplied(2, curve.Point(curve.GENERATOR.x + curve.P, curve.GENERATOR.y))


def test_factors_are_in_range_and_a_mask_is_bounded() -> None:
    assert all(0 < curve.random_factor() < curve.N - 1 for _ in range(100))
    assert curve.mask(curve.GENERATOR, 0) == b""
    assert curve.mask(curve.GENERATOR, 40)[:7] == curve.mask(curve.GENERATOR, 7)
    with pytest.raises(ValueError, match="SM2 is for short texts here"):
        curve.mask(curve.GENERATOR, 32 * 2**16 + 1)
