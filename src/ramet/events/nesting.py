"""How deep JSON is nested, found without recursion."""

_OTHERS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_AS_LISTS = bytes.maketrans(b"{}", b"[]")


def deeper_than(data: bytes, levels: int) -> bool:
    r"""Say whether JSON is nested deeper than this.

    >>> deeper_than(b'{"a": [[], {}], "b": "[[["}', 3), deeper_than(b'{"a": [[], {}]}', 2)
    (False, True)
    """
    if len(data) <= 2 * levels or data.count(b"[") + data.count(b"{") <= levels:
        return False
    # Without escapes, every quotation mark begins or ends a string, so each second part is one.
    plain = data.replace(rb"\\", b"").replace(rb"\"", b"")
    brackets = b"".join(plain.split(b'"')[::2]).translate(_AS_LISTS, _OTHERS)
    for _ in range(levels):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
