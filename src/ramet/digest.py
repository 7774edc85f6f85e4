"""The name that bytes have by their content."""

from collections.abc import Iterable
from typing import TypeAlias

import xxhash

Buffer: TypeAlias = bytes | memoryview


def digest(chunks: Iterable[Buffer]) -> str:
    """Return a name that tells bytes from all others, however they are cut.

    It guards against damage, not against forgery, and hashes as fast as memory is read.

    >>> digest([b"ab", b"c"]) == digest([b"abc"])
    True
    """
    hashed = xxhash.xxh3_128()
    for chunk in chunks:
        hashed.update(chunk)
    return hashed.hexdigest()
