"""Paging as the requests ask for it and the answers echo it."""

from __future__ import annotations

from typing import Any

from acsmpd.spec.messages.paging import ApiOrder, ApiPageRequest
from acsmpd.store.rows import MAX_PAGE, Page


def page_of(message: Any) -> Page:
    """The page a request wants, nested or flat; 1 and 10 where it says nothing, at most 1000 a page."""
    asked = getattr(message, "page_request", None)
    number = (asked.page_number if asked else None) or getattr(message, "page_number", None) or 1
    size = (asked.page_size if asked else None) or getattr(message, "page_size", None) or 10
    orders = (asked.order_list if asked else None) or []
    order = tuple((one.property, (one.direction or "asc") == "desc") for one in orders if one.property)
    return Page(min(number, 2**53 // MAX_PAGE), min(size, MAX_PAGE), order)


def echoed(page: Page) -> ApiPageRequest:
    """The paging block of an answer: what was used."""
    orders = [ApiOrder(property=name, direction="desc" if down else "asc") for name, down in page.order]
    return ApiPageRequest(page_number=page.number, page_size=page.size, order_list=orders or None)
