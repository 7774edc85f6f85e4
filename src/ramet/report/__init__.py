"""Report: a run as one HTML page to open, print and send, which needs no network."""

from os import PathLike

# The first of all that draws, because it names the extra that may be missing.
import ramet.plots  # noqa: F401 - as said
from ramet import files
from ramet.history import Result
from ramet.report.page import page

__all__ = ["page", "write"]


def write(result: Result, path: str | PathLike[str]) -> int:
    """Write a report of a run, and return its size in bytes.

    A file that already exists is replaced once the new one is complete.

    Args:
        result: The run, whether it is over or still going on.
        path: The HTML file to write.
    """
    return files.write(path, page(result).encode(errors="replace"))
