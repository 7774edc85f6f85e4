"""Connections to object storage, by obstore."""

import os
import re
from datetime import timedelta
from types import ModuleType
from typing import Any

from ramet.blobs.address import Address
from ramet.errors import UsageError

# The first pause before a request is tried again, and the longest; each is drawn up to twice the
# last.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(milliseconds=100), timedelta(seconds=10)
# Of one request, however often pauses are short.
MOST_RETRIES = 1000
# How long a server may say nothing, and how long one request may take in all.
SILENCE, LONGEST_REQUEST = timedelta(seconds=30), timedelta(minutes=30)
_ENDPOINT = re.compile(r"https?://[^\s/?#@]+(/[^\s?#@]*)?")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


def load_client(why: object) -> ModuleType:
    """Return obstore, or say how to install it.

    Args:
        why: What needs it.
    """
    try:
        import obstore  # noqa: PLC0415 - an extra
        import obstore.store  # noqa: PLC0415 - the same
    except ImportError as error:
        raise UsageError(
            f"checkpoints in {why} need obstore, but {error}; install it: "
            f"pip install 'ramet[cloud]'"
        ) from error
    return obstore


def connect(address: Address, patience_s: float) -> Any:
    """Return obstore's store for a bucket; credentials come from the environment alone.

    Args:
        address: The bucket.
        patience_s: Seconds for which a request is tried again and again.
    """
    stores = load_client(address).store
    options: dict[str, Any] = {
        "client_options": {
            "allow_http": _allows_http(),
            "read_timeout": SILENCE,
            "timeout": LONGEST_REQUEST,
        },
        "retry_config": {
            "backoff": {"init_backoff": FIRST_PAUSE, "max_backoff": LONGEST_PAUSE, "base": 2},
            "max_retries": MOST_RETRIES,
            "retry_timeout": timedelta(seconds=patience_s),
        },
    }
    match address.scheme:
        case "s3":
            if endpoint := find_endpoint():
                # The client would panic later.
                if not _ENDPOINT.fullmatch(endpoint):
                    raise ValueError("the endpoint is no URL")
                options["endpoint"] = endpoint
            return stores.S3Store(address.bucket, **options)
        case "gs":
            return stores.GCSStore(address.bucket, **options)
        case _:
            return stores.AzureStore(address.bucket, **options)


def find_endpoint() -> str | None:
    """Return the address of a server that answers like S3, if the environment names one."""
    return next((value for name in ENDPOINTS if (value := os.environ.get(name))), None)


def _allows_http() -> bool:
    """Say whether an endpoint was chosen that is not encrypted, such as one on this machine."""
    azure = os.environ.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in {"1", "true"}
    return (
        azure
        or any(
            value.startswith("http://")
            for name, value in os.environ.items()
            if name in ENDPOINTS or name.startswith(("AZURE_STORAGE_ENDPOINT", "GOOGLE_BASE_URL"))
        )
        or os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true"}
    )
