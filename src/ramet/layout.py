"""The layout of safetensors: how the first bytes of a file describe the rest.

Eight bytes give the length of a header, the header is JSON, and the bytes of the tensors follow
without holes. https://huggingface.co/docs/safetensors
"""

from typing import NamedTuple

import msgspec

METADATA = "__metadata__"
# Of the number that is the header's length.
FIRST = 8
# In bytes. Safetensors' own library reads none that are longer.
LONGEST_HEADER = 100_000_000


class Tensor(msgspec.Struct, frozen=True):
    """What the header says of a tensor."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


class Header(NamedTuple):
    """What a header says."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    # Of the tensors' bytes.
    length: int


_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])
_metadata = msgspec.json.Decoder(dict[str, str])
_tensor = msgspec.json.Decoder(Tensor)


def header_end(first: bytes, size: int) -> int:
    """Return the offset at which a file's header ends; raise ValueError if it is impossible.

    >>> header_end((56).to_bytes(8, "little"), size=1000)
    64
    """
    length = int.from_bytes(first[:FIRST], "little")
    if FIRST + length > size:
        raise ValueError(f"its header ends at byte {FIRST + length:,}")
    if length > LONGEST_HEADER:
        raise ValueError(f"its header has {length:,} bytes, more than {LONGEST_HEADER:,}")
    return FIRST + length


def read_header(text: bytes) -> Header:
    """Return what a header says; raise ValueError or MsgspecError if it is invalid."""
    parts = _parts.decode(text)
    metadata = _metadata.decode(parts.pop(METADATA, msgspec.Raw(b"{}")))
    tensors = {name: _tensor.decode(part) for name, part in parts.items()}
    return Header(tensors, metadata, _length(tensors))


def check_size(header: Header, length: int) -> None:
    """Raise ValueError unless the tensors are as long as the header says."""
    if header.length != length:
        raise ValueError(f"its tensors have {header.length:,} bytes, but {length:,} are there")


def _length(tensors: dict[str, Tensor]) -> int:
    """Return the number of bytes in all tensors, which must follow each other without gaps."""
    at = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: tensor.data_offsets):
        begin, end = tensor.data_offsets
        if begin != at or end < begin:
            raise ValueError(f"a tensor begins at byte {begin}, but the one before ends at {at}")
        at = end
    return at
