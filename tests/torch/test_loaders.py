"""Batches of loaders are those of never having stopped, or it is said that they are not."""

import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Sampler

import ramet
import ramet.torch
from ramet.errors import StateError, StateWarning

RATES = ramet.Space(lr=ramet.LogUniform(1e-3, 0.1))

# Later Pythons warn of a fork beside threads, which is how PyTorch starts workers.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Noisy(Dataset[torch.Tensor]):
    """Numbers that a worker draws something to."""

    def __init__(self, length: int = 12) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, nth: int) -> torch.Tensor:
        return nth + torch.rand(())


def shuffled(length: int = 12, **settings: Any) -> "DataLoader[torch.Tensor]":
    return DataLoader(Noisy(length), batch_size=4, shuffle=True, **settings)


def begin_anew(loader: "DataLoader[torch.Tensor]") -> Iterator[torch.Tensor]:
    while True:
        yield from loader


Batches = Callable[["DataLoader[torch.Tensor]"], Iterator[torch.Tensor]]


class Reading:
    """A training whose score is what it read, which may be cut off in the middle."""

    def __init__(
        self,
        make: Callable[[], "DataLoader[torch.Tensor]"],
        *,
        handed_over: bool = True,
        spans: bool = False,
        **settings: Any,
    ) -> None:
        self.make, self.handed_over, self.spans = make, handed_over, spans
        self.settings = settings
        self.cut_off: tuple[int, int] | None = None

    def __call__(self, session: ramet.Session) -> None:
        ramet.torch.seed(session.seed)
        model, loader = nn.Linear(1, 1), self.make()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        others = [loader] if self.handed_over else []
        state = ramet.torch.State(model, optimizer, *others, **self.settings)
        batches = begin_anew(loader)
        for turn in session.turns(state):
            if (turn.member, turn.number) == self.cut_off:
                raise KeyboardInterrupt
            if not self.spans:
                batches = begin_anew(loader)
            read = [next(batches).sum().item() for _ in turn]
            turn.report(sum(read))

    def scores(self, **settings: Any) -> dict[tuple[int, int], float | None]:
        strategy = ramet.PBT(
            population=2, turn_steps=5, synchronous=True, exploit=ramet.Truncation(0.5)
        )
        result = ramet.run(self, RATES, strategy, steps=20, mode="max", seed=0, **settings)
        return {
            (event.member, event.turn): event.points[-1][1]
            for event in result.events
            if isinstance(event, ramet.events.TurnEnded)
        }


def batched(sampler: Any) -> "DataLoader[torch.Tensor]":
    return DataLoader(Noisy(), batch_sampler=BatchSampler(sampler, 4, drop_last=False))


class Drawing(Sampler[int]):
    """A sampler of somebody's own, which draws from a generator of NumPy."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(1)

    def __iter__(self) -> Iterator[int]:
        yield from self.rng.permutation(12).tolist()


class Wrapped(Sampler[list[int]]):
    """A batch sampler around another, as those that share batches among machines are."""

    def __init__(self, batch_sampler: Sampler[list[int]]) -> None:
        self.batch_sampler = batch_sampler

    def __iter__(self) -> Iterator[list[int]]:
        yield from self.batch_sampler


LOADERS: dict[str, Callable[[], "DataLoader[torch.Tensor]"]] = {
    "no workers": shuffled,
    "workers": lambda: shuffled(num_workers=1),
    "workers that persist": lambda: shuffled(num_workers=1, persistent_workers=True),
    "a generator": lambda: shuffled(generator=torch.Generator().manual_seed(1)),
    "a sampler's generator": lambda: DataLoader(
        Noisy(), 4, sampler=RandomSampler(Noisy(), generator=torch.Generator().manual_seed(1))
    ),
    "a generator of a batch sampler's sampler": lambda: batched(
        RandomSampler(Noisy(), generator=torch.Generator().manual_seed(1))
    ),
    "a generator of a wrapped batch sampler": lambda: DataLoader(
        Noisy(), batch_sampler=Wrapped(BatchSampler(Drawing(), 4, drop_last=False))
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("loader", LOADERS)
def test_a_resumed_run_reads_the_batches_that_it_would_have_read(
    loader: str, tmp_path: Path
) -> None:
    reading = Reading(LOADERS[loader])
    straight = reading.scores()

    reading.cut_off = (1, 2)
    with pytest.raises(KeyboardInterrupt):
        reading.scores(store=tmp_path / "runs.db")
    reading.cut_off = None
    assert reading.scores(store=tmp_path / "runs.db") == straight
    assert len(set(straight.values())) > 3


@pytest.mark.slow
def test_workers_that_outlive_a_turn_are_refused_with_the_remedy() -> None:
    reading = Reading(LOADERS["workers that persist"], handed_over=False)
    with pytest.raises(StateError) as raised:
        reading.scores()
    said = str(raised.value)
    assert "a DataLoader with persistent_workers=True has workers at the end" in said
    assert "ramet.torch.State(model, optimizer, loader)" in said
    assert "persistent_workers=False" in said


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"watch_loaders": False}, {"rng": False}])
def test_who_does_not_ask_for_the_same_draws_may_keep_workers(settings: dict[str, Any]) -> None:
    assert Reading(LOADERS["workers that persist"], handed_over=False, **settings).scores()


@pytest.mark.slow
@pytest.mark.parametrize("length", [32, 200])
@pytest.mark.parametrize("persistent", [False, True])
def test_an_iterator_that_goes_on_from_turn_to_turn_is_named(
    length: int, *, persistent: bool
) -> None:
    def make() -> "DataLoader[torch.Tensor]":
        return shuffled(length, num_workers=1, persistent_workers=persistent)

    with pytest.warns(
        StateWarning, match=r"continues from turn to turn.* batches = iter\(loader\)"
    ):
        Reading(make, spans=True).scores()


@pytest.mark.parametrize("length", [32, 200])
def test_an_iterator_without_workers_that_goes_on_is_named_too(length: int) -> None:
    with pytest.warns(StateWarning, match="continues from turn to turn"):
        Reading(lambda: shuffled(length), spans=True, handed_over=False).scores()


def test_it_is_named_when_a_process_trains_two_turns() -> None:
    model, loader = nn.Linear(1, 1), shuffled(200)
    state, batches = ramet.torch.State(model), iter(loader)

    def train_a_turn() -> None:
        state.apply({})
        next(batches)
        state.capture()

    train_a_turn()
    with pytest.warns(StateWarning, match="continues from turn to turn"):
        train_a_turn()


@pytest.mark.parametrize("loader", ["no workers", "a generator"])
def test_a_loader_without_workers_that_is_begun_in_each_turn_is_not_named(loader: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", StateWarning)
        Reading(LOADERS[loader]).scores()


@pytest.mark.slow
@pytest.mark.parametrize("peeks", ["before the state", "before the turn"])
def test_batches_that_were_read_before_the_first_turn_change_none_of_it(peeks: str) -> None:
    def read(*, peeked: bool) -> list[float]:
        loader = LOADERS["workers that persist"]()
        if peeked and peeks == "before the state":
            next(iter(loader))
        state = ramet.torch.State(nn.Linear(1, 1), None, loader)
        if peeked and peeks == "before the turn":
            next(iter(loader))
        ramet.torch.seed(0)
        state.apply({})
        return [batch.sum().item() for batch in loader]

    assert read(peeked=True) == read(peeked=False)


@pytest.mark.slow
def test_a_loader_of_somebody_elses_is_left_alone() -> None:
    others = shuffled(num_workers=1, persistent_workers=True)
    assert len(list(itertools.islice(others, 2))) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error", StateWarning)
        Reading(LOADERS["workers"]).scores()


def test_a_loader_with_another_generator_does_not_fit() -> None:
    def state(loader: str) -> ramet.torch.State:
        model = nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return ramet.torch.State(model, optimizer, LOADERS[loader]())

    saved = state("a generator").capture()
    state("a generator").restore(saved)
    with pytest.raises(StateError, match=r"others\[0\] lacks \['generator'"):
        state("no workers").restore(saved)
