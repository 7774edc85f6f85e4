"""Report: a run as one page to open, print and send, which needs no network."""

from os import PathLike

from ramet import files
from ramet.history import Result
from ramet.report.page import page

__all__ = ["page", "write"]


def write(result: Result, path: str | PathLike[str]) -> None:
    """Write a report of a run; whatever was there is replaced once the new one is whole."""
    files.replace(path, page(result).encode(errors="replace"))
