"""Schedules as files: JSON, which says what it is and of which version."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import msgspec

from ramet import files
from ramet.errors import ScheduleError
from ramet.schedule.pieces import Piece, Source

FORMAT, VERSION = "ramet schedule", 1
# Larger files are neither read nor written. It is enough for 500,000 turns.
MOST_BYTES = 64 << 20
# As in a log. JSON may take much more memory than its size once it is decoded.
MOST_BYTES_OF_SPACE = 16 << 20
_LAW = f"a file of a schedule has at most {MOST_BYTES:,} bytes"


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
    if len(data) > MOST_BYTES:
        raise ScheduleError(
            f"{_LAW}, but this one would have {len(data):,}; schedule.smooth(pieces=100).schedule "
            f"is smaller"
        )
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
    if len(data) > MOST_BYTES:
        raise ScheduleError(f"{_LAW}, but {path} has more; save it anew, from the run")
    try:
        header = msgspec.json.decode(data, type=_Header)
        if (header.format, header.version) != (FORMAT, VERSION):
            raise ScheduleError(
                f"files of the format {FORMAT!r}, version {VERSION}, can be read, but {path} is of "
                f"{header.format!r}, version {header.version}"
            )
        document = msgspec.json.decode(data, type=_Document)
        if len(document.space) > MOST_BYTES_OF_SPACE:
            raise ScheduleError(
                f"a space has at most {MOST_BYTES_OF_SPACE:,} bytes, but {path} has more"
            )
        space = msgspec.json.decode(document.space, type=dict[str, Any] | None)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ScheduleError(
            f"{path} must be a schedule as ramet writes them, but {_lower(error)}; save it anew, "
            f"or mend it by docs/schedules.md"
        ) from error
    return document.pieces, space, document.source


def _lower(error: Exception) -> str:
    said = str(error)
    return said[:1].lower() + said[1:]
