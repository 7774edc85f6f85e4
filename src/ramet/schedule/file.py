"""Schedules as files: JSON, which says what it is and of which version."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import msgspec

from ramet import files
from ramet.errors import ScheduleError
from ramet.schedule.pieces import Piece, Source

FORMAT, VERSION = "ramet schedule", 1
# Larger schedules are neither read nor written: some 40,000 turns. JSON of a few bytes can be a
# value of hundreds, and text with one emoji takes four bytes a character.
MOST_BYTES = 16 << 20
MOST_VALUES = 600_000
MOST_BYTES_OF_SPACE = 1 << 20
# Of a format that is not ours, in the error.
MOST_SHOWN_CHARACTERS = 60


class _Header(msgspec.Struct):
    format: str
    version: int


class _Document(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    format: str = FORMAT
    version: int = VERSION
    pieces: tuple[Piece, ...]
    space: msgspec.Raw = msgspec.Raw(b"null")
    source: Source | None = None


def write(
    path: str | PathLike[str],
    pieces: Sequence[Piece],
    space: dict[str, Any] | None,
    source: Source | None,
) -> None:
    """Write a schedule. The file that was there is replaced once the new one is complete."""
    described = msgspec.Raw(msgspec.json.encode(space))
    document = _Document(pieces=tuple(pieces), space=described, source=source)
    data = msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
    if problem := _excess_of_space(described):
        raise ScheduleError(f"{problem}; a schedule with space=None can be saved")
    if problem := _excess(data):
        raise ScheduleError(f"{problem}; schedule.smooth(pieces=100).schedule is smaller")
    files.write(path, data)


def read(
    path: str | PathLike[str],
) -> tuple[tuple[Piece, ...], dict[str, Any] | None, Source | None]:
    """Return the parts of the schedule in a file, or raise ScheduleError."""
    try:
        # A bounded read, not a check of the size: a device has none.
        data = files.read(path, MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ScheduleError(
            f"a schedule must be in a file that can be read, but {error}; "
            f"result.schedule().save(path) or `ramet schedule STORE NAME -o path` writes one"
        ) from error
    if problem := _excess(data):
        raise ScheduleError(f"{problem}, in {path}; save it anew, from the run")
    try:
        header = msgspec.json.decode(data, type=_Header)
        if (header.format, header.version) != (FORMAT, VERSION):
            raise ScheduleError(
                f"files of the format {FORMAT!r}, version {VERSION}, can be read, but {path} is of "
                f"{header.format[:MOST_SHOWN_CHARACTERS]!r}, version {header.version}"
            )
        document = msgspec.json.decode(data, type=_Document)
        if problem := _excess_of_space(document.space):
            raise ScheduleError(f"{problem}, in {path}; set it to null, or save the file anew")
        space = msgspec.json.decode(document.space, type=dict[str, Any] | None)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ScheduleError(
            f"{path} must be a schedule as ramet writes them, but {_lower(error)}; save it anew, "
            f"or mend it by docs/schedules.md"
        ) from error
    return document.pieces, space, document.source


def _excess(data: bytes) -> str | None:
    """Say what a file has too much of, found without decoding it."""
    if len(data) > MOST_BYTES:
        return f"a file of a schedule has at most {MOST_BYTES:,} bytes, but this one has more"
    # A value follows a bracket or a comma; those in text count too, which is no harm.
    values = sum(data.count(mark) for mark in (b",", b"[", b"{"))
    if values > MOST_VALUES:
        return (
            f"a file of a schedule has at most {MOST_VALUES:,} values, but this one has {values:,}"
        )
    return None


def _excess_of_space(described: msgspec.Raw) -> str | None:
    if len(described) > MOST_BYTES_OF_SPACE:
        return (
            f"the space of a schedule has at most {MOST_BYTES_OF_SPACE:,} bytes as JSON, but this "
            f"one has {len(described):,}"
        )
    return None


def _lower(error: Exception) -> str:
    said = str(error)
    return said[:1].lower() + said[1:]
