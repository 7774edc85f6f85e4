"""Report: a run as one page to open, print and send, which needs no network."""

from os import PathLike

from ramet import files
from ramet.history import Result
from ramet.report.page import page

__all__ = ["page", "write"]


def write(result: Result, path: str | PathLike[str]) -> int:
    """Write a report of a run, and return its size in bytes.

    A file that was there is replaced once the new one is whole.
    """
    return files.write(path, page(result).encode(errors="replace"))
