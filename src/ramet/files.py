"""Files that are replaced once the new one is whole."""

import contextlib
import os
import secrets
from os import PathLike
from pathlib import Path

from ramet.errors import UsageError


def replace(path: str | PathLike[str], data: bytes) -> None:
    """Write a file; whatever was there stays until all of it is written."""
    target = Path(path)
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            # Or a loss of power may leave the name, and none of the bytes.
            os.fsync(file.fileno())
        os.replace(unfinished, target)  # noqa: PTH105 - the same, and here it is what matters
    except OSError as error:
        raise UsageError(
            f"a file must be where one can be written, but {target} cannot: {error.strerror}; name "
            f"another, or make its folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
