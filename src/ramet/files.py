"""Files that are replaced once the new one is whole."""

import os
import secrets
from os import PathLike
from pathlib import Path


def replace(path: str | PathLike[str], data: bytes) -> None:
    """Write a file; whatever was there stays until all of it is written."""
    target = Path(path)
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, target)  # noqa: PTH105 - the same, and here it is what matters
    finally:
        unfinished.unlink(missing_ok=True)
