"""Names of folders and files for runs and their checkpoints."""

import functools

from ramet.digest import digest

# How the names of checkpoints end.
KEPT = ".safetensors"
# Of a folder's name: more than names of runs have, and few enough for any file system.
MOST_CHARACTERS = 100
PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")


@functools.lru_cache(maxsize=256)
def quote(name: str) -> str:
    """Return a name for a folder, which no file system confuses with another by case or dots.

    >>> quote("lm-2"), quote("LM"), quote("../x")
    ('lm-2', '%4c%4d', '%2e%2e%2fx')
    """
    text = name.encode("utf-8", "surrogatepass")
    begins = text[: MOST_CHARACTERS + 1]
    quoted = "".join(chr(byte) if byte in PLAIN else f"%{byte:02x}" for byte in begins)
    return (
        quoted
        if 0 < len(quoted) <= MOST_CHARACTERS
        else f"{quoted[:MOST_CHARACTERS]}%%{digest([text])}"
    )


def quote_for_url(name: str) -> str:
    """Return the same name without percent signs, which clients of object storage escape.

    >>> quote_for_url("lm-2"), quote_for_url("LM")
    ('lm-2', '=4c=4d')
    """
    return quote(name).replace("%", "=")
