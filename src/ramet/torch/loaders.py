"""Data loaders as parts of a state. Their generators are saved, their workers end with a turn."""

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

# The position of an iterator: its pass over the data, and how many batches it yielded.
Mark: TypeAlias = tuple[object, int]
# Attributes of loaders and samplers for the sampler that they take indices from.
SOURCES = ("sampler", "batch_sampler")
# The number of turns of a state in which iterators are searched for; a search takes 0.05 s.
TURNS_WATCHED = 3
# Iterators of loaders in a state that were dropped, with their workers, when a turn ended.
LET_GO: WeakSet[Any] = WeakSet()


class Loader:
    """A loader's generators. Its position in the data is not saved: each turn starts over."""

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
        """Restart persistent workers, because a checkpoint cannot hold what they draw from."""
        if (iterator := getattr(self._loader, "_iterator", None)) is not None:
            LET_GO.add(iterator)
            self._loader._iterator = None  # noqa: SLF001 - where PyTorch keeps persistent workers

    def _generators(self) -> dict[str, "GeneratorPart | NumpyDraws"]:
        """Return the generators of the loader and its samplers, by their paths."""
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
    """Yield a loader and its samplers, each once, with their paths."""
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
    """Finds iterators over loaders that continue from one turn to the next.

    Many states train only one turn. Unless there are workers, the search starts with the second.
    """

    def __init__(self) -> None:
        self._turns = 0
        self._marks = _marks_of_workers()
        # Passes over the data that were unfinished when the last turn ended.
        self._unfinished: list[object] = []

    def begin_turn(self) -> None:
        """Note the positions of iterators after the first turn of the state."""
        if self._turns == 1:
            self._note(_marks())

    def end_turn(self) -> None:
        """Refuse workers that outlive the turn, and warn of an iterator from an earlier turn."""
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
        """Say whether a pass over the data continued during the turn."""
        came_to = [mark for mark in self._marks.values() if mark[0] is place]
        return _is_finished(place) or any(mark not in before.values() for mark in came_to)


def _marks_of_workers() -> "WeakKeyDictionary[Any, Mark]":
    """Return the positions of iterators if there are processes that could be workers."""
    return _marks() if multiprocessing.active_children() else WeakKeyDictionary()


def _marks() -> "WeakKeyDictionary[Any, Mark]":
    """Return the positions of iterators over loaders."""
    marks: WeakKeyDictionary[Any, Mark] = WeakKeyDictionary()
    for each in gc.get_objects():
        if issubclass(type(each), _BaseDataLoaderIter):
            marks[each] = (each._sampler_iter, each._num_yielded)  # noqa: SLF001 - as above
    return marks


def _is_finished(place: object) -> bool:
    """Say whether a sampler's generator is exhausted."""
    return getattr(place, "gi_frame", ...) is None


def _outlives() -> StateError:
    return StateError(
        "a loader's workers must end with the turn, because a checkpoint cannot hold what they "
        "draw from, but a DataLoader with persistent_workers=True has workers at the end of it; "
        "pass it to the state, which ends them with each turn: ramet.torch.State(model, optimizer, "
        "loader); or build it with persistent_workers=False; or, where a resumed run may differ, "
        "State(..., watch_loaders=False)"
    )


def _spans() -> str:
    return (
        "an iterator over a DataLoader continues from turn to turn, so members share its "
        "batches and a resumed run gets other batches; make one in each turn: for turn in "
        "session.turns(state): batches = iter(loader)"
    )
