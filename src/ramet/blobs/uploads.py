"""Uploads in parts that killed writers left on S3: they cost money, and no list shows them.

The client cannot list them, so these two requests are signed here (AWS Signature Version 4), with
credentials of the environment. Without these, a rule of the bucket does the same
(docs/object-storage.md).
"""

import hashlib
import hmac
import http.client
import os
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from ramet.blobs.address import Address
from ramet.blobs.connecting import find_endpoint

# Age after which no writer is at work on an upload any more.
ABANDONED_S = 24 * 3600.0
TIMEOUT_S = 20.0
MOST_BYTES = 1 << 22
_UPLOAD = re.compile(r"<Upload>.*?</Upload>", re.DOTALL)
_FIELD = r"<{0}>([^<&]+)</{0}>"
NOTHING = hashlib.sha256(b"").hexdigest()


def abort_abandoned(address: Address, folder: str) -> int:
    """Abort uploads under a folder that began more than a day ago; return how many there were.

    Nothing depends on it, so a server that refuses it is left alone.

    Args:
        address: The bucket.
        folder: The path of the folder, with the address's prefix in front.
    """
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if address.scheme != "s3" or not key or not secret:
        return 0
    try:
        found = list(_find_abandoned(_ask("GET", address, "", {"uploads": "", "prefix": folder})))
        for path, upload in found:
            _ask("DELETE", address, path, {"uploadId": upload})
    except (OSError, http.client.HTTPException, ValueError):
        return 0
    return len(found)


def _find_abandoned(listed: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the number of each old upload."""
    for upload in _UPLOAD.findall(listed):
        fields = [re.search(_FIELD.format(name), upload) for name in ("Key", "UploadId")]
        begun = re.search(_FIELD.format("Initiated"), upload)
        if begun is None or None in fields:
            continue
        age_s = time.time() - datetime.fromisoformat(begun[1]).timestamp()
        if age_s > ABANDONED_S:
            path, number = (field[1] for field in fields if field)
            yield path, number


def _ask(method: str, address: Address, path: str, query: Mapping[str, str]) -> str:
    """Send a request that is signed; return the answer, or raise OSError unless it is a success."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    split = urlsplit(find_endpoint() or f"https://s3.{region}.amazonaws.com")
    target = quote(f"{split.path.rstrip('/')}/{address.bucket}" + (f"/{path}" if path else ""))
    asked = "&".join(
        f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query)
    )
    headers = _sign(method, split.netloc, target, asked, region)
    kind = http.client.HTTPSConnection if split.scheme == "https" else http.client.HTTPConnection
    connection = kind(split.netloc, timeout=TIMEOUT_S)
    try:
        connection.request(method, f"{target}?{asked}", headers=headers)
        answer = connection.getresponse()
        data = answer.read(MOST_BYTES)
    finally:
        connection.close()
    if answer.status >= http.client.MULTIPLE_CHOICES:
        raise OSError(f"HTTP status {answer.status}")
    return data.decode("utf-8", "replace")


def _sign(method: str, host: str, target: str, asked: str, region: str) -> dict[str, str]:
    """Return the headers that sign a request without a body."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": host, "x-amz-content-sha256": NOTHING, "x-amz-date": now}
    if token := os.environ.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = token
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = f"{method}\n{target}\n{asked}\n{lines}\n{names}\n{NOTHING}"
    scope = [now[:8], region, "s3", "aws4_request"]
    hashed = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", now, "/".join(scope), hashed])
    signed = f"AWS4{os.environ['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in (*scope, text):
        signed = hmac.digest(signed, part.encode(), "sha256")
    credential = "/".join([os.environ["AWS_ACCESS_KEY_ID"], *scope])
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signed.hex()}"
    )
    return headers
