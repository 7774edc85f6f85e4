"""Events as JSON."""

import msgspec

from ramet.errors import CorruptLog, EventTooLarge, UnknownSchema
from ramet.events import nesting
from ramet.events.base import SCHEMA
from ramet.events.log import AnyEvent

# The most bytes that an event takes as JSON. The largest ones that ramet writes open runs: 10,000
# members with 30 hyperparameters take 10 MB. Decoding hostile JSON takes 20 times its size.
MOST_BYTES = 16 * 2**20
# How deep an event may be nested. The deepest ones that ramet writes are nested ten deep.
MOST_DEPTH = 100
# Bytes of a damaged event that its error shows.
EXCERPT_BYTES = 100


def encode(event: AnyEvent) -> bytes:
    """Return an event as JSON, or raise EventTooLarge if readers would refuse it.

    Args:
        event: What happened.
    """
    try:
        data = _encoder.encode(event)
    except RecursionError:
        raise _too_deep(event) from None
    if len(data) > MOST_BYTES:
        raise EventTooLarge(
            f"an event must take at most {MOST_BYTES:,} bytes of the log, but "
            f"{type(event).__name__} takes {len(data):,}. Nothing was written; report fewer "
            f"scores and metrics in a turn, note less, or begin with fewer members"
        )
    if nesting.deeper_than(data, MOST_DEPTH):
        raise _too_deep(event)
    return data


def decode(data: bytes) -> AnyEvent:
    """Return the event that JSON holds, or raise UnknownSchema or CorruptLog.

    Args:
        data: What ``encode`` returned.
    """
    try:
        event = _decoder.decode(data)
    except _NOT_JSON as error:
        _check_schema(data)
        raise CorruptLog(f"an event must be as schema {SCHEMA} has it, but {error}") from error
    if event.v != SCHEMA:
        raise _other_schema(event.v)
    if nesting.deeper_than(data, MOST_DEPTH):
        raise CorruptLog(f"an event must be nested at most {MOST_DEPTH} deep, but is deeper")
    return event


def rename_opening(data: bytes, name: str) -> bytes:
    """Return the first event of a run under another name; all else stays as it was written.

    Args:
        data: What ``encode`` returned.
        name: The new name of the run.
    """
    fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    return _encoder.encode({**fields, "name": name})


def rename_replayed(data: bytes, run: str | None) -> bytes:
    """Return the first event of a replay with another name of the run that it repeats.

    Args:
        data: What ``encode`` returned.
        run: The new name of the run that it repeats; None if there is no such run.
    """
    fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    strategy = msgspec.json.decode(fields["strategy"], type=dict[str, msgspec.Raw])
    return _encoder.encode({**fields, "strategy": {**strategy, "of": run}})


def _check_schema(data: bytes) -> None:
    """Refuse data that is no event, or an event of another schema."""
    try:
        version = _versions.decode(data).v
    except _NOT_JSON as error:
        # Only an excerpt, because a damaged event may be large.
        raise CorruptLog(
            f"an event must be JSON with its schema, but {error}: {data[:EXCERPT_BYTES]!r}"
        ) from error
    if version != SCHEMA:
        raise _other_schema(version)


def _other_schema(version: int) -> UnknownSchema:
    return UnknownSchema(
        f"events of schema {SCHEMA} can be read, but this one is of schema {version}; "
        f"open the run with the version of ramet that wrote it"
    )


def _too_deep(event: AnyEvent) -> EventTooLarge:
    return EventTooLarge(
        f"an event must be nested at most {MOST_DEPTH} deep, but {type(event).__name__} is deeper. "
        f"Nothing was written; keep flatter data in it"
    )


class _Versioned(msgspec.Struct):
    v: int


# msgspec decodes nested JSON by recursion.
_NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_encoder = msgspec.json.Encoder()
_versions = msgspec.json.Decoder(_Versioned)
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
