"""What every subject uses: the empty answer, paging, sorting."""

from __future__ import annotations

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.scalars import Positive, SortDirection, Text64


class EmptyResponse(Envelope, kw_only=True):
    """Table A.2 (Part 4 G.5). Code and Message, nothing else."""


class ApiOrder(Message, kw_only=True):
    """Table A.9. No values of Direction are printed; we take asc and desc in any case."""

    property: Text64 | None = None
    direction: SortDirection | None = None


class ApiPageRequest(Message, kw_only=True):
    """Table A.8. Both numbers may be absent: 1 and 10 are meant then, as A.7 prints for the whole."""

    page_number: Positive | None = None
    page_size: Positive | None = None
    order_list: list[ApiOrder] | None = None
