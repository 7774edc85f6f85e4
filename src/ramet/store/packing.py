"""Rows of a log: each holds one event as JSON, or several of one commit as a list.

A row has the number of its last event, so the rows behind a number are those that have events
behind it.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec

# Of a row with several events. A reader of one of them decodes all.
MOST_EVENTS, MOST_BYTES = 256, 1 << 20


def pack(events: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield, for each row that holds some of these events, how many these are and its JSON.

    >>> list(pack([b"{}"])), list(pack([b"{}", b"{}"]))
    ([(1, b'{}')], [(2, b'[{},{}]')])
    """
    begin = size = 0
    for end, event in enumerate(events):
        if end > begin and (end - begin == MOST_EVENTS or size + len(event) > MOST_BYTES):
            yield _join(events[begin:end])
            begin, size = end, 0
        size += len(event)
    if events:
        yield _join(events[begin:])


def unpack(data: bytes) -> list[bytes]:
    """Return the JSON of each event of a row.

    Raises:
        msgspec.MsgspecError: It is a list of what is no JSON, or of more than ``pack`` writes.

    >>> unpack(b"{}"), unpack(b"[{},{}]")
    ([b'{}'], [b'{}', b'{}'])
    """
    if not data.startswith(b"["):
        return [data]
    if len(data) > MOST_BYTES + MOST_EVENTS + 1:
        raise msgspec.ValidationError(f"it has {len(data):,} bytes, more than are written")
    return [bytes(event) for event in _lists.decode(data)]


def _join(events: Sequence[bytes]) -> tuple[int, bytes]:
    return len(events), events[0] if len(events) == 1 else b"[%b]" % b",".join(events)


_lists = msgspec.json.Decoder(Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MOST_EVENTS)])
