"""How requests find their handlers."""

from __future__ import annotations

import pytest

from acsmpd.api.bind import Route
from tests.api.face_setup import the_app


def test_rules_find_requests_and_make_no_urls() -> None:
    rules = list(the_app().url_map.iter_rules())
    assert len(rules) > 100
    for rule in rules:
        assert isinstance(rule, Route)
        with pytest.raises(NotImplementedError, match="no URL is made from /"):
            rule.build(dict.fromkeys(rule.arguments, "1"))
