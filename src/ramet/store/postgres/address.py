"""The address of a PostgreSQL store: a URL of libpq, with the schema and the checkpoints."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from ramet.errors import StoreError

SCHEMES = ("postgresql", "postgres")
# Parameters of the URL that are ours, not libpq's.
SCHEMA, BLOBS = "schema", "blobs"
# Parameters of the URL that are secrets.
SECRETS = ("password", "sslpassword")
# The schema that the tables are in, unless the URL names another.
USUAL_SCHEMA = "ramet"
HIDDEN = "***"
# How any URL begins, and ours with a slip; a single letter is a drive.
_SCHEME = re.compile(r"(?i:[a-z][a-z0-9+.-]+:/+|postgres(ql)?[:/]+)")
# No other names, so that none needs quotes anywhere.
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# Hosts with their ports. What else stands there may be a piece of a password.
_HOST = r"(\[[^\]]*\]|[^:@\[\],]*)(:\d*)?"
_HOSTS = re.compile(f"{_HOST}(,{_HOST})*")
UNREADABLE = (
    "a part of it cannot be read; write special characters of the password as %XX, and also any @ "
    "behind the host"
)
EXAMPLE = "postgresql://user@host:5432/database"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a store is. Its ``repr`` and ``str`` hide the password.

    >>> address = read_address("postgresql://ann:secret@db.example:5432/runs?blobs=/shared/kept")
    >>> address
    Address('postgresql://ann:***@db.example:5432/runs?blobs=/shared/kept')
    >>> address.schema, address.blobs
    ('ramet', '/shared/kept')
    """

    # What libpq connects by, secrets included.
    url: str = field(repr=False)
    # What messages call it.
    name: str
    schema: str = USUAL_SCHEMA
    # Where the checkpoints are, if the URL says so.
    blobs: str | None = None

    @property
    def has_secret(self) -> bool:
        """Whether the URL has a password in it.

        >>> read_address("postgresql://ann:secret@db.example/runs").has_secret
        True
        >>> read_address("postgresql://ann@db.example/runs?schema=team_a").has_secret
        False
        """
        parts = urlsplit(self.url)
        return bool(parts.password) or any(key in SECRETS for key, _ in _named(parts))

    def __repr__(self) -> str:
        return f"Address({self.name!r})"

    def __str__(self) -> str:
        return self.name


def find_address(store: object) -> Address | None:
    """Return the address that a text is; None if it is the path of a file.

    >>> find_address("runs.db")
    >>> find_address("postgresql//localhost/runs")
    Traceback (most recent call last):
        ...
    ramet.errors.StoreError: a store must be the path of a file, or a URL such as \
postgresql://user@host:5432/database, but got one that begins with 'postgresql//'

    Args:
        store: A path, or the text of a URL.
    """
    text = store if isinstance(store, str) else fspath(store) if isinstance(store, PathLike) else ""
    if isinstance(store, str) and text.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        return read_address(text)
    # Not the whole text: it may contain a password.
    if isinstance(text, str) and (begins := _SCHEME.match(text)):
        raise StoreError(
            f"a store must be the path of a file, or a URL such as {EXAMPLE}, but got one that "
            f"begins with {begins.group()!r}"
            + ("; pass the URL as text, not as a Path" if text is not store else "")
        )
    return None


def read_address(url: str) -> Address:
    """Return the address that a URL names.

    >>> read_address("postgresql://ann:a%40b@host/runs?schema=Team")
    Traceback (most recent call last):
        ...
    ramet.errors.StoreError: the schema of a store must be a name of lowercase letters, digits and \
underscores, as in ?schema=team_a, but got 'Team'
    >>> read_address("postgresql://ann:a#b@host/runs")
    Traceback (most recent call last):
        ...
    ramet.errors.StoreError: a PostgreSQL store must be a URL such as \
postgresql://user@host:5432/database, but a part of it cannot be read; write special characters \
of the password as %XX, and also any @ behind the host
    """
    parts = _split(url)
    named = dict(_named(parts))
    schema, blobs = named.pop(SCHEMA, USUAL_SCHEMA), named.pop(BLOBS, None)
    if not _NAME.fullmatch(schema):
        raise StoreError(
            f"the schema of a store must be a name of lowercase letters, digits and underscores, "
            f"as in ?schema=team_a, but got {schema!r}"
        )
    return Address(
        url=_join(parts, urlencode(named, quote_via=quote)),
        name=_hide(parts),
        schema=schema,
        blobs=blobs or None,
    )


def leave_out_secrets(store: str) -> str:
    """Return a store as a command can name it, without its password.

    >>> leave_out_secrets("postgresql://ann:secret@db/runs?sslpassword=secret&schema=team_a")
    'postgresql://ann@db/runs?schema=team_a'
    >>> leave_out_secrets("runs.db")
    'runs.db'

    Args:
        store: The path of a file, or the text of a URL.
    """
    if find_address(store) is None:
        return store
    parts = urlsplit(store)
    user, at, host = parts.netloc.rpartition("@")
    pairs = [pair for pair in parts.query.split("&") if _key(pair) not in SECRETS]
    netloc = f"{user.partition(':')[0]}{at}{host}"
    return _join(parts._replace(netloc=netloc), "&".join(pairs))


def parameters(address: Address, usual: Mapping[str, Any]) -> dict[str, Any]:
    """Return what libpq is given: what the URL names, and the usual values of the rest.

    Args:
        address: The address.
        usual: Values for what the URL does not name.
    """
    from psycopg import ProgrammingError  # noqa: PLC0415 - an extra
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - the same

    try:
        return {**usual, **conninfo_to_dict(address.url)}
    except ProgrammingError as error:
        # Its text quotes the part that it does not understand, which may be the password.
        raise _not_an_address(_without_secrets(str(error), address.url)) from None


def _split(url: str) -> SplitResult:
    """Return the parts of a URL; refuse one that libpq would divide in other places.

    Where a password ends would then be unknown, and so what must be hidden.
    """
    with suppress(ValueError):
        parts = urlsplit(url)
        hosts = parts.netloc.partition("@")[2] if "@" in parts.netloc else parts.netloc
        astray = parts.netloc and "@" in parts.path + parts.query
        if "#" not in url and not astray and _HOSTS.fullmatch(hosts):
            return parts
    # Its text would repeat the part that cannot be read.
    raise _not_an_address(UNREADABLE)


def _named(parts: SplitResult) -> list[tuple[str, str]]:
    """Return the parameters of a URL. To libpq, a plus sign is not a blank."""
    return parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True)


def _hide(parts: SplitResult) -> str:
    """Return a URL without its secrets."""
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    shown = [f"{key}={HIDDEN if key in SECRETS else value}" for key, value in _named(parts)]
    netloc = f"{name}{colon and f':{HIDDEN}'}{at}{host}"
    return _join(parts._replace(netloc=netloc), "&".join(shown))


def _join(parts: SplitResult, query: str) -> str:
    # urlunsplit leaves out the slashes where there is no host.
    return f"{parts.scheme}://{parts.netloc}{parts.path}{query and f'?{query}'}"


def _key(pair: str) -> str:
    return unquote(pair.partition("=")[0])


def _without_secrets(text: str, url: str) -> str:
    parts = urlsplit(url)
    password = parts.netloc.rpartition("@")[0].partition(":")[2]
    named = [value for key, value in _named(parts) if key in SECRETS]
    secrets = [secret for secret in (password, *named) if secret]
    known = {form for secret in secrets for form in (secret, unquote(secret))}
    # With an & in a password that is a parameter, the rest of it looks like another's name.
    vague = "percent" in text or (named and "query parameter" in text)
    if any(form in text for form in known) or (known and vague):
        return UNREADABLE
    return text.strip()


def _not_an_address(why: str) -> StoreError:
    return StoreError(f"a PostgreSQL store must be a URL such as {EXAMPLE}, but {why}")
