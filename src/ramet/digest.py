"""Names bytes by their content."""

from collections.abc import Iterable
from typing import TypeAlias

import xxhash

Buffer: TypeAlias = bytes | memoryview


def digest(chunks: Iterable[Buffer]) -> str:
    """Return a hash of bytes, which does not depend on how they are split into chunks.

    It detects damage, but not forgery, and is as fast as memory.

    >>> digest([b"ab", b"c"]) == digest([b"abc"])
    True
    """
    hashed = xxhash.xxh3_128()
    for chunk in chunks:
        hashed.update(chunk)
    return hashed.hexdigest()
