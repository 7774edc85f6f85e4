"""Tables of a run as data frames of pandas and Polars, and as files."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias, get_args

import msgspec

from ramet.errors import UsageError
from ramet.history.frames import Row

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

# Cells that begin so are evaluated by spreadsheets (OWASP: CSV injection), or look escaped.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]


def as_pandas(rows: Sequence[Row], columns: Sequence[str]) -> "pd.DataFrame":
    """Return rows as a pandas data frame."""
    try:
        import pandas as pd  # noqa: PLC0415 - the user's, and slow to import
    except ImportError as error:
        raise _missing("pandas", error) from error
    return pd.DataFrame(rows, columns=list(columns))


def as_polars(rows: Sequence[Row], columns: Sequence[str]) -> "pl.DataFrame":
    """Return rows as a Polars data frame."""
    try:
        import polars as pl  # noqa: PLC0415 - the user's, and slow to import
    except ImportError as error:
        raise _missing("polars", error) from error
    return pl.DataFrame(
        {name: _alike([row[name] for row in rows]) for name in columns}, strict=False
    )


def export(rows: Iterable[Row], columns: Sequence[str], to: BinaryIO, format_: Format) -> None:
    """Write rows to a file. Parquet needs Polars.

    In a CSV file, text that a spreadsheet would take for a formula gets an apostrophe in front. So
    does text that begins with one, so that removing one apostrophe restores the text.
    """
    match format_:
        case "csv":
            text = io.TextIOWrapper(to, encoding="utf-8", newline="", write_through=True)
            writer = csv.DictWriter(text, columns, lineterminator="\n")
            writer.writerow({name: _harmless(name) for name in columns})
            writer.writerows({name: _harmless(it) for name, it in row.items()} for row in rows)
            text.detach()
        case "jsonl":
            to.writelines(msgspec.json.encode(row) + b"\n" for row in rows)
        case "parquet":
            as_polars(list(rows), columns).write_parquet(to)
        case _:
            raise UsageError(
                f"a file's format must be one of {list(get_args(Format))}, but got {format_!r}"
            )


def _harmless(cell: Any) -> Any:
    """Escape a cell that a spreadsheet would evaluate; numbers stay numbers.

    >>> _harmless("=1+1"), _harmless("'tis"), _harmless("flip"), _harmless(-1.5)
    ("'=1+1", "''tis", 'flip', -1.5)
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULAS) else cell


def _alike(values: list[Any]) -> list[Any]:
    """Return values of several types as text, because a column has one type."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or len(kinds) <= 1:
        return values
    return [None if value is None else str(value) for value in values]


def _missing(name: str, error: ImportError) -> UsageError:
    return UsageError(f"this needs {name}, but {error}; run: pip install {name}")
