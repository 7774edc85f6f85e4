"""The URL of a bucket and a prefix in it, where checkpoints are kept as objects."""

import difflib
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from ramet.errors import StoreError

# What a URL may begin with, and what its bucket is called there.
SCHEMES = {"s3": "bucket", "gs": "bucket", "az": "container"}
FILE = "file"
EXAMPLES = "'s3://bucket/prefix', 'gs://bucket/prefix', 'az://container/prefix' or 'file:///folder'"
# One letter is a drive of Windows.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,20}):(//)?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", re.ASCII | re.IGNORECASE)
_PART = re.compile(r"[\w.=+@,-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """A place in object storage. It holds no credentials, so it can be shown and sent."""

    scheme: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")

    @property
    def container(self) -> str:
        """What this storage calls a bucket."""
        return SCHEMES[self.scheme]


def is_url(text: str) -> bool:
    """Return whether a text begins with a scheme, and so is no path of a folder.

    >>> is_url("s3:bucket"), is_url("runs/here"), is_url("C:/runs")
    (True, False, False)
    """
    return _SCHEME.match(text) is not None


def find_scheme(url: str) -> str:
    """Return what a URL begins with, or raise StoreError if it is none for checkpoints.

    >>> find_scheme("s4://bucket/prefix")
    Traceback (most recent call last):
        ...
    ramet.errors.StoreError: the URL of checkpoints must be like 's3://bucket/prefix', \
'gs://bucket/prefix', 'az://container/prefix' or 'file:///folder', but begins with 's4': did you \
mean 's3://'?
    """
    found = _SCHEME.match(url)
    if found is None:
        raise StoreError(
            f"blobs must be Blobs, such as DirectoryBlobs('checkpoints'), or a URL like "
            f"{EXAMPLES}, but got text without a scheme"
        )
    scheme, known = found[1].lower(), [*SCHEMES, FILE]
    if scheme not in known:
        close = difflib.get_close_matches(scheme, known, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}://'?" if close else "no other storage is known"
        raise StoreError(
            f"the URL of checkpoints must be like {EXAMPLES}, but begins with {found[1]!r}: {hint}"
        )
    if found[2] is None:
        raise StoreError(
            f"the URL of checkpoints must be like {EXAMPLES}, but '{found[1]}:' is not followed by "
            f"two slashes; write '{scheme}://'"
        )
    return scheme


def parse(url: str) -> Address:
    """Return the bucket and the prefix that a URL names.

    >>> str(parse("S3://bucket/runs/"))
    's3://bucket/runs'
    """
    scheme = find_scheme(url)
    split = _split_plain(url, scheme)
    prefix = split.path.strip("/")
    if not _BUCKET.fullmatch(split.netloc):
        raise StoreError(
            f"the URL of checkpoints must name a {SCHEMES[scheme]}, as in "
            f"'{scheme}://name/prefix', but {split.netloc!r} is no name of one"
        )
    if wrong := [part for part in prefix.split("/") if prefix and not _is_plain(part)]:
        raise StoreError(
            f"the prefix of checkpoints must be of letters, digits and . _ - = + @ , between "
            f"single slashes, but one of its parts is {wrong[0]!r}"
        )
    return Address(scheme, split.netloc, prefix)


def _split_plain(url: str, scheme: str) -> SplitResult:
    """Split a URL that has no credentials in it; the error does not repeat them."""
    split = urlsplit(url)
    if "@" in split.netloc or split.query or split.fragment or ":" in split.netloc:
        raise StoreError(
            f"the URL of checkpoints must be a {SCHEMES[scheme]} and a prefix alone, as in "
            f"'{scheme}://name/prefix', but this one has a user, a port, a query or a fragment. "
            f"Give credentials and the endpoint by the environment (docs/object-storage.md), where "
            f"no log and no list of processes shows them"
        )
    return split


def _is_plain(part: str) -> bool:
    return part not in {".", ".."} and _PART.fullmatch(part) is not None
