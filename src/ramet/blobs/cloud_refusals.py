"""Errors for object storage that does not do what it is asked.

What a server answers is never shown: it may repeat the request, credentials and all. Only its
status and its own code for the error are.
"""

import re
from enum import Enum
from http import HTTPStatus

from ramet.blobs.address import Address
from ramet.errors import StoreError, StoreFull, StoreReadOnly

GUIDE = "docs/object-storage.md lists the variables"
# Which variables have the credentials.
VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
BROKE_OFF = "the connection broke off, or the answer could not be read"
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
# Where clients look for credentials that the environment does not have.
_METADATA = ("/latest/api/token", "/latest/meta-data", "/computeMetadata/", "/metadata/identity")
_TOO_LITTLE = ("Account must be specified", "MissingAccount", "No credentials", "MissingKey")
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound", "NoSuchContainer"}
_REFUSED = {
    "AuthenticationFailed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidAuthenticationInfo",
    "InvalidToken",
    "NoAuthenticationInformation",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_ELSEWHERE = {"AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"}
# Statuses of a server that is busy, or is not well for now.
_PASSING = {408, 429, 500, 502, 503, 504}
_FULL = {"QuotaExceeded", "StorageFull", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}


class Doing(Enum):
    """What was asked of the storage."""

    READ = "reading", "read objects"
    WRITE = "writing", "write objects"
    LIST = "listing", "list objects"
    DELETE = "deleting", "delete objects"

    @property
    def verb(self) -> str:
        """The word for it in a sentence."""
        return self.value[0]

    def right(self, address: Address) -> str:
        """Return the permission that it takes, with its name in this storage."""
        return f"{self.value[1]} ({RIGHTS[address.scheme][self]})"


# What each storage calls the permissions.
RIGHTS = {
    "s3": {
        Doing.READ: "s3:GetObject",
        Doing.WRITE: "s3:PutObject",
        Doing.LIST: "s3:ListBucket",
        Doing.DELETE: "s3:DeleteObject",
    },
    "gs": {
        Doing.READ: "storage.objects.get",
        Doing.WRITE: "storage.objects.create",
        Doing.LIST: "storage.objects.list",
        Doing.DELETE: "storage.objects.delete",
    },
    "az": dict.fromkeys(Doing, "the role Storage Blob Data Contributor has it"),
}


def code_of(error: BaseException) -> str | None:
    found = _CODE.search(str(error))
    return found[1] if found else None


def status_of(error: BaseException) -> int | None:
    found = _STATUS.search(str(error))
    return int(found[1]) if found else None


def broke_off(error: BaseException) -> bool:
    """Say whether an answer broke off, or could not be read, which the client tries once only."""
    return status_of(error) is None and _describe_connection(str(error)) == BROKE_OFF


def is_passing(error: BaseException) -> bool:
    """Say whether the same request may succeed later."""
    if any(part in str(error) for part in _METADATA):
        return False
    if (status := status_of(error)) is None:
        return _describe_connection(str(error)) != BROKE_OFF
    return status in _PASSING


def lacks_conditions(error: BaseException) -> bool:
    """Say whether the storage cannot write on the condition that there is no such object."""
    return (
        status_of(error) == HTTPStatus.NOT_IMPLEMENTED
        or code_of(error) == "NotImplemented"
        or type(error).__name__ == "NotSupportedError"
    )


def lacks_bucket(error: BaseException) -> bool:
    return code_of(error) in _NO_BUCKET or "bucket does not exist" in str(error)


def explain(error: BaseException, doing: Doing, address: Address, patience_s: float) -> StoreError:
    """Return the error for a request that failed; it repeats nothing that may be secret.

    Args:
        error: What the client raised.
        doing: What was asked.
        address: Where.
        patience_s: How long the client has tried.
    """
    where = f"{doing.verb} checkpoints in {address} failed"
    return (
        _find_wrong_place(error, where, address)
        or _find_wrong_credentials(error, where, address)
        or _find_no_right(error, where, doing.right(address), doing)
        or StoreError(
            f"object storage must do what it is asked, but {where} although it was tried for up to "
            f"{patience_s:g} s: {describe(error)}. Nothing is lost: see to the network, the "
            f"endpoint and the storage, and run again, which goes on from the last checkpoints"
        )
    )


def _find_wrong_place(error: BaseException, where: str, address: Address) -> StoreError | None:
    if lacks_bucket(error):
        return StoreError(
            f"checkpoints must be in a {address.container} that exists, but {where}: there is no "
            f"{address.bucket!r}; create it, correct its name, or see to the endpoint"
        )
    if code_of(error) in _ELSEWHERE or "incorrectly configured region" in str(error):
        return StoreError(
            f"requests must go to the region of the {address.container}, but {where}: "
            f"{address.bucket!r} is in another one; set AWS_REGION"
        )
    return None


def _find_wrong_credentials(
    error: BaseException, where: str, address: Address
) -> StoreError | None:
    code, names = code_of(error), VARIABLES[address.scheme]
    if any(part in str(error) for part in (*_METADATA, *_TOO_LITTLE)):
        return StoreError(
            f"object storage must be given credentials, but {where}: this process has none; set "
            f"{names} in the environment of every worker ({GUIDE})"
        )
    if code == "RequestTimeTooSkewed":
        return StoreError(
            f"this machine's clock must be right to within minutes, but {where}: the storage "
            f"says that it is not ({code}); set the clock"
        )
    if code in _REFUSED or status_of(error) == HTTPStatus.UNAUTHORIZED:
        return StoreError(
            f"object storage must accept the credentials, but {where}: it does not "
            f"({describe(error)}); correct {names}, or renew them if they have expired ({GUIDE})"
        )
    return None


def _find_no_right(error: BaseException, where: str, right: str, doing: Doing) -> StoreError | None:
    if code_of(error) in _FULL or status_of(error) == HTTPStatus.INSUFFICIENT_STORAGE:
        return StoreFull(
            f"a checkpoint must fit where it is kept, but {where}: there is no room "
            f"({describe(error)}); free space there and run again, which goes on from the last "
            f"checkpoints"
        )
    if status_of(error) != HTTPStatus.FORBIDDEN:
        return None
    kind = StoreError if doing in {Doing.READ, Doing.LIST} else StoreReadOnly
    return kind(
        f"the credentials must be allowed to {right}, but {where}: permission denied "
        f"({describe(error)}); give them this permission, or use others"
    )


def refuse_settings(error: BaseException, address: Address) -> StoreError:
    where = f"connecting to {address} failed"
    return _find_wrong_credentials(error, where, address) or StoreError(
        f"the environment must have settings for object storage that its client accepts, but "
        f"{where}: one of them cannot be ({type(error).__name__}); see to the endpoint, the region "
        f"and the other variables of this storage ({GUIDE})"
    )


def of_another(run: str, where: str) -> StoreError:
    return StoreError(
        f"a store and its checkpoints must belong together, but {where} has checkpoints of another "
        f"run that is also called {run!r}. Nothing was written: name another prefix or another "
        f"run, or the store that this prefix belongs to. If that run was overwritten by this one "
        f"(existing='overwrite') and that was cut short, overwrite it once more"
    )


def describe(error: BaseException) -> str:
    """Return the status and the code that a server answered, and no more of it."""
    status, code = status_of(error), code_of(error)
    said = [f"HTTP status {status}"] if status else []
    said += [code] if code else []
    return ", ".join(said) or _describe_connection(str(error))


def _describe_connection(text: str) -> str:
    if "kind: Connect" in text or "error sending request" in text:
        return "it cannot be reached"
    if "kind: Timeout" in text or "timed out" in text:
        return "it took too long"
    return BROKE_OFF
