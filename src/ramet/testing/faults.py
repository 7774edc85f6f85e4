"""Stores and blobs that fail on purpose."""

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from ramet.blobs import Blobs
from ramet.clock import Clock
from ramet.digest import Buffer
from ramet.errors import StoreFull

T = TypeVar("T")


def flaky(target: T, *, every: int) -> T:
    """Return a store or blobs of which every nth call raises OSError and does nothing.

    >>> from ramet.blobs import MemoryBlobs
    >>> blobs = flaky(MemoryBlobs(), every=2)
    >>> blobs.sizes("lm")
    {}
    >>> blobs.sizes("lm")
    Traceback (most recent call last):
        ...
    OSError: [Errno 5] call 2, sizes, fails, as one in 2 does
    """
    return _around(target, _EveryNth(every))


def slow(target: T, *, seconds: float, clock: Clock) -> T:
    """Return a store or blobs of which each call first sleeps."""
    return _around(target, _Wait(seconds, clock))


def full(blobs: T) -> T:
    """Return blobs on a full disk: checkpoints can be read and deleted, but not put."""
    return _around(blobs, _refuse_put)


def corrupting(blobs: Blobs, *, at: int, how: Literal["cut", "flip"] = "cut") -> Blobs:
    """Return blobs that damage the bytes of one put: cut off in the middle, or a bit flipped.

    Args:
        blobs: Where the bytes are kept.
        at: Which put is damaged, counted from 1.
        how: Whether the bytes are cut off or a bit is flipped.
    """
    return cast("Blobs", _Torn(blobs, at, how))


def _around(target: T, before: Callable[[str], None]) -> T:
    return cast("T", _Around(target, before))


@dataclass
class _Around:
    """Does something before each call of another object."""

    _target: Any
    _before: Callable[[str], None]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Asked for by pickle, before there is a target.
            raise AttributeError(name)
        found = getattr(self._target, name)
        if not callable(found):
            return found

        def call(*args: Any, **named: Any) -> Any:
            self._before(name)
            return found(*args, **named)

        return call


@dataclass
class _EveryNth:
    every: int
    calls: int = 0

    def __call__(self, name: str) -> None:
        self.calls += 1
        if self.calls % self.every == 0:
            raise OSError(
                errno.EIO, f"call {self.calls}, {name}, fails, as one in {self.every} does"
            )


@dataclass
class _Wait:
    seconds: float
    clock: Clock

    def __call__(self, _: str) -> None:
        self.clock.sleep(self.seconds)


def _refuse_put(name: str) -> None:
    if name == "put":
        raise StoreFull("a checkpoint must fit where it is kept, but nothing does; free space")


@dataclass
class _Torn:
    _target: Blobs
    _at: int
    _how: Literal["cut", "flip"]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._target, name)

    def put(self, run: str, key: str, chunks: Sequence[Buffer]) -> None:
        self._at -= 1
        if self._at == 0:
            data = bytearray().join(chunks)
            middle = len(data) // 2
            if self._how == "flip":
                data[middle] ^= 1
            else:
                del data[middle:]
            chunks = [bytes(data)]
        self._target.put(run, key, chunks)
