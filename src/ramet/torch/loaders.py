"""Data loaders: their generators follow a member, and their workers end with its turn."""

import gc
import multiprocessing
from collections.abc import Iterator
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter

from ramet.errors import StateError
from ramet.state import Tree
from ramet.torch.differences import names_differ
from ramet.torch.parts import GeneratorPart, NumpyDraws
from ramet.torch.tensors import Arrays
from ramet.warned import warn_once

# How far an iterator has come: in which pass over the data, and by how many batches.
Mark: TypeAlias = tuple[object, int]
# Where a loader, or a sampler, has the one that it takes indices from.
SOURCES = ("sampler", "batch_sampler")
# In how many turns of a state iterators are looked for, which takes 0.05 s each time.
TURNS_WATCHED = 3
# The iterators of loaders in a state, whose workers were let go at a turn's end.
LET_GO: WeakSet[Any] = WeakSet()


class Loader:
    """A loader's generators. Its place in the data is none of them: a turn begins it anew."""

    kind, may_refuse = "DataLoader", False

    def __init__(self, loader: "DataLoader[Any]", label: str) -> None:
        self._loader, self._label = loader, label
        self.let_go_of_workers()

    def capture(self, arrays: Arrays) -> Tree:
        self.let_go_of_workers()
        return {name: part.capture(arrays) for name, part in self._generators().items()}

    def differences(self, saved: Tree) -> Iterator[str]:
        here = self._generators()
        yield from names_differ(self._label, saved, here)
        for name in [name for name in here if name in saved]:
            yield from here[name].differences(saved[name])

    def restore(self, saved: Tree) -> None:
        self.let_go_of_workers()
        for name, part in self._generators().items():
            part.restore(saved[name])

    def let_go_of_workers(self) -> None:
        """Have workers that persist begin anew, because their draws are in no checkpoint."""
        if (iterator := getattr(self._loader, "_iterator", None)) is not None:
            LET_GO.add(iterator)
            self._loader._iterator = None  # noqa: SLF001 - where PyTorch keeps those that persist

    def _generators(self) -> dict[str, "GeneratorPart | NumpyDraws"]:
        """Return the generators of the loader and its samplers, by where they are."""
        found: dict[str, GeneratorPart | NumpyDraws] = {}
        for path, holder in _sources(self._loader):
            for name, value in vars(holder).items():
                label = f"{self._label}.{path}{name}"
                if isinstance(value, torch.Generator):
                    found[f"{path}{name}"] = GeneratorPart(value, label)
                elif isinstance(value, np.random.Generator):
                    found[f"{path}{name}"] = NumpyDraws(value, label)
        return found


def _sources(loader: object) -> Iterator[tuple[str, object]]:
    """Yield a loader and its samplers, each once, with the path that leads to them."""
    held, seen = [("", loader)], [loader]
    while held:
        path, holder = held.pop(0)
        yield path, holder
        for name in SOURCES:
            source = getattr(holder, name, None)
            if hasattr(source, "__dict__") and not any(source is one for one in seen):
                seen.append(source)
                held.append((f"{path}{name}.", source))


class Watch:
    """Finds iterators over loaders that go on from turn to turn.

    Many states train a single turn. Without workers nothing is looked for until a second begins.
    """

    def __init__(self) -> None:
        self._turns = 0
        self._marks = _marks_of_workers()
        # The passes over the data that were unfinished when the last turn ended.
        self._unfinished: list[object] = []

    def begin_turn(self) -> None:
        """Note where iterators stand behind the first turn of the state."""
        if self._turns == 1:
            self._note(_marks())

    def end_turn(self) -> None:
        """Refuse workers that outlive the turn, and name an iterator that it did not begin."""
        self._turns += 1
        if self._turns > TURNS_WATCHED:
            return
        before = self._marks
        self._marks = _marks_of_workers() if self._turns == 1 else _marks()
        for iterator in [one for one in self._marks if self._marks[one] != before.get(one)]:
            if iterator._persistent_workers and iterator not in LET_GO:  # noqa: SLF001 - there is no other way to know
                raise _outlives()
        if any(self._goes_on(place, before) for place in self._unfinished):
            warn_once(_spans())
        self._note(self._marks)

    def _note(self, marks: "WeakKeyDictionary[Any, Mark]") -> None:
        self._marks = marks
        places = [place for place, _ in marks.values()]
        self._unfinished = [place for place in places if not _is_finished(place)]

    def _goes_on(self, place: object, before: "WeakKeyDictionary[Any, Mark]") -> bool:
        """Say whether a pass over the data went on during the turn."""
        came_to = [mark for mark in self._marks.values() if mark[0] is place]
        return _is_finished(place) or any(mark not in before.values() for mark in came_to)


def _marks_of_workers() -> "WeakKeyDictionary[Any, Mark]":
    """Return how far the iterators have come, if there are any workers that one could have."""
    return _marks() if multiprocessing.active_children() else WeakKeyDictionary()


def _marks() -> "WeakKeyDictionary[Any, Mark]":
    """Return how far the iterators have come."""
    marks: WeakKeyDictionary[Any, Mark] = WeakKeyDictionary()
    for each in gc.get_objects():
        if issubclass(type(each), _BaseDataLoaderIter):
            marks[each] = (each._sampler_iter, each._num_yielded)  # noqa: SLF001 - as above
    return marks


def _is_finished(place: object) -> bool:
    """Say whether a sampler's generator has yielded all that it had."""
    return getattr(place, "gi_frame", ...) is None


def _outlives() -> StateError:
    return StateError(
        "a loader's workers must end with the turn, because what they draw from is in no "
        "checkpoint, but a DataLoader with persistent_workers=True has workers at the end of it; "
        "hand it to the state, which ends them with each turn: ramet.torch.State(model, optimizer, "
        "loader); or build it with persistent_workers=False; or, where a resumed run may differ, "
        "State(..., watch_loaders=False)"
    )


def _spans() -> str:
    return (
        "an iterator over a DataLoader goes on from turn to turn, so that members share its "
        "batches and a resumed run gets others; begin one in each turn: for turn in "
        "session.turns(state): batches = iter(loader)"
    )
