"""What a store keeps of how a run stands, so that looking at it reads little of a long log."""

import functools
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import ramet
from ramet.blobs import MemoryBlobs
from ramet.cli.view import View
from ramet.digest import digest
from ramet.events import AnyEvent, Copied, Extended, Logged, TurnEnded, fold
from ramet.history import Result
from ramet.history.following import Overview
from ramet.points import Curve
from ramet.population import Population
from ramet.replica import Replica
from ramet.store import MemoryStore, SQLiteStore, Standing, Store, summary
from ramet.testing.store_steps import claim, opening
from tests.engine.loops import SPACE, Descent, pbt
from tests.store.soundness import wrong_with
from tests.values import logs

# Events between two summaries, here.
FEW = 7


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have stores sum up after few events."""
    monkeypatch.setattr(summary, "EVERY", FEW)
    monkeypatch.setattr(summary, "EVERY_PER_MEMBER", 1)


def logged(events: list[AnyEvent]) -> list[Logged]:
    return [Logged(number=n, at=0.0, worker="w", event=event) for n, event in enumerate(events)]


def without_curves(population: Population) -> Population:
    """Return what a summary holds of a population."""
    members = (replace(it, curve=Curve(), inherited=0, data=None, past=()) for it in population)
    return replace(population, members=tuple(members), data=None)


def copies(events: list[AnyEvent]) -> Counter[int]:
    """Return how many copies each member made."""
    return Counter(event.member for event in events if isinstance(event, Copied))


@given(logs(), st.data())
def test_a_summary_read_on_is_what_the_whole_log_leads_to(
    events: list[AnyEvent], data: st.DataObject
) -> None:
    log, (opening, *_) = logged(events), events
    run = opening.name
    cut = data.draw(st.integers(1, len(log)))
    tally = summary.Tally(run, summary.decode(summary.encode(summary.summarize(log[:cut], run))))
    tally.read(log[cut:])
    found = tally.summary()
    assert found == summary.sum_up(fold(events), last=log[-1].number, run=run)
    assert found.population == without_curves(fold(events))
    assert {it.id: it.copies for it in found.population if it.copies} == copies(events)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(
    ("strategy", "settings"),
    [
        (pbt(), {}),
        (pbt(synchronous=True), {"mode": "min"}),
        (pbt(synchronous=True), {"target": -0.5}),
        (ramet.RandomSearch(population=3, turn_steps=4), {}),
        (ramet.FIRE(turn_steps=4, evaluate_every=1, subpopulations=3, size=4), {}),
    ],
    ids=["asynchronous", "synchronous", "target", "random", "fire"],
)
@pytest.mark.parametrize("seed", range(2))
def test_status_is_what_the_log_says(
    strategy: ramet.Strategy, settings: dict[str, Any], seed: int, tmp_path: Path
) -> None:
    store = SQLiteStore(tmp_path / "runs.db", durability="process")
    settings = {"mode": "max", "steps": 40, "seed": seed, **settings}
    result = ramet.run(
        Descent(),
        SPACE,
        strategy,
        store=ramet.Storage(store, blobs=MemoryBlobs()),
        name="it",
        **settings,
    )
    known = store.summary("it")
    assert known is not None
    assert len(result.log) - known.last <= 2 * max(FEW, len(result.population))
    assert View(store, "it").figures() == View(_without_summaries(result), "it").figures()
    assert View(store, "it").rows() == View(_without_summaries(result), "it").rows()
    assert without_curves(Overview(store, "it").population) == without_curves(result.population)
    assert wrong_with(store) == []


class _Interrupted(SQLiteStore):
    """A store in which another worker commits right before a worker that has read the log."""

    others: ClassVar[list[Callable[[], object]]] = []

    def commit(self, *args: Any, **named: Any) -> int:
        if self.others:
            self.others.pop()()
        return super().commit(*args, **named)


@pytest.mark.usefixtures("often")
def test_what_another_worker_wrote_meanwhile_is_not_left_out_of_a_summary(tmp_path: Path) -> None:
    store = _Interrupted(tmp_path / "runs.db", durability="process")
    kept = ramet.Storage(store, blobs=MemoryBlobs())
    settings: dict[str, Any] = {"space": SPACE, "strategy": pbt(), "steps": 80, "mode": "max"}
    one, other = (ramet.open(kept, worker=name, **settings) for name in ("one", "other"))
    summed = set()
    while turns := [(run, turn) for run in (one, other) if (turn := run.ask()) is not None]:
        told = [functools.partial(_train, run, turn) for run, turn in turns]
        store.others[:] = told[1:]
        told[0]()
        assert wrong_with(store) == []
        known = store.summary("run")
        summed.add(None if known is None else known.last)
    assert len(summed) > 3


def _train(run: ramet.Run, turn: ramet.Turn) -> None:
    state = {"x": float(sum(1 for _ in turn) + turn.number)}
    run.tell(turn, state["x"], state=state)


class _Unsummed:
    """A store that keeps no summaries."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def summary(self, run: str) -> None:
        del run


def _without_summaries(result: Result) -> Any:
    return _Unsummed(result.store)


def trained(store: Store, turns: int, *, first: int = 0) -> None:
    """End turns of a run of one member."""
    begun = store.open_run(opening(members=1, steps=100_000), worker="w")
    replica = Replica(fold([begun, *(logged.event for logged in store.events("lm", 0))]))
    for turn in range(first, first + turns):
        step = 10 * (turn + 1)
        ended = TurnEnded(
            member=0, turn=turn, trained=step, step=step, points=((step, 0.5),), digest="d"
        )
        key = ended.checkpoint.key
        stands = Standing(
            member=0, trained=step, step=step, turn=turn + 1, score=0.5, checkpoint=key
        )
        replica.apply(ended)
        store.commit(claim(store), [ended], [stands], population=lambda _: replica.population)


def events_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many events it takes to see how a run stands."""
    read: list[Logged] = []
    events = SQLiteStore.events

    def noted(store: SQLiteStore, *args: Any, **named: Any) -> list[Logged]:
        news = events(store, *args, **named)
        read.extend(news)
        return news

    with monkeypatch.context() as patch:
        patch.setattr(SQLiteStore, "events", noted)
        assert View(SQLiteStore(path), "lm").figures()["turns"] > 0
    return len(read)


@pytest.mark.usefixtures("often")
def test_status_reads_no_more_of_a_log_that_is_ten_times_as_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for turns in (30, 303):
        trained(SQLiteStore(tmp_path / f"{turns}.db", durability="process"), turns)
        assert 0 < events_read(tmp_path / f"{turns}.db", monkeypatch) < FEW


@pytest.mark.usefixtures("often")
def test_a_summary_is_as_large_whatever_the_log(tmp_path: Path) -> None:
    sizes = []
    for turns in (30, 300):
        store = SQLiteStore(tmp_path / f"{turns}.db", durability="process")
        trained(store, turns)
        found = store.summary("lm")
        assert found is not None
        sizes.append(len(summary.encode(found)))
    assert sizes[1] < sizes[0] + 20


def test_a_log_without_a_summary_is_read_page_by_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ramet.history.following.PAGE_EVENTS", 3)
    asked = []
    store = MemoryStore()
    trained(store, 20)
    events = store.events

    def noted(run: str, after: int = -1, *, most: int | None = None) -> list[Logged]:
        asked.append(most)
        return events(run, after, most=most)

    monkeypatch.setattr(store, "events", noted)
    assert Overview(store, "lm").population.turns == 20
    assert asked == [3] * 8


@pytest.mark.usefixtures("often")
def test_a_store_from_before_summaries_catches_up_as_its_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    store = SQLiteStore(path)
    trained(store, 100)
    _execute(path, "DELETE FROM summaries")
    assert store.summary("lm") is None
    assert Overview(store, "lm").population.turns == 100
    trained(store, 60, first=100)
    known = store.summary("lm")
    assert known is not None
    assert known.last >= 160 - 2 * FEW
    assert wrong_with(store) == []


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE OR IGNORE summaries SET summary = x'00'",
        "UPDATE OR IGNORE summaries SET summary = 7",
        "UPDATE OR IGNORE summaries SET digest = NULL || 'x'",
        "UPDATE OR IGNORE summaries SET digest = x'00'",
        "UPDATE summaries SET summary = substr(summary, 2)",
    ],
)
def test_a_damaged_summary_is_not_believed(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "runs.db"
    trained(SQLiteStore(path), 20)
    _execute(path, damage)
    store = SQLiteStore(path)
    assert View(store, "lm").figures()["turns"] == 20


@pytest.mark.usefixtures("often")
def test_the_doctor_finds_a_summary_that_is_damaged_or_says_something_else(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    store = SQLiteStore(path)
    trained(store, 20)
    assert _about_summaries(store) == []
    known = store.summary("lm")
    assert known is not None
    data = _edited(known, lambda it: it["population"].update(turns=3))
    _execute(path, "UPDATE summaries SET summary = ?", data)
    (line,) = _about_summaries(store)
    assert "the summary of run 'lm' cannot be read" in line
    _execute(path, "UPDATE summaries SET digest = ?", ramet.digest.digest([data]))
    (line,) = _about_summaries(store)
    assert line == f"the summary of events 0 to {known.last} is not what these lead to"


def _every_member(**fields: Any) -> Callable[[Any], object]:
    return lambda it: [member.update(fields) for member in it["population"]["members"]]


def _population(**fields: Any) -> Callable[[Any], object]:
    return lambda it: it["population"].update(fields)


def _space(name: str, kind: str, low: float, high: float) -> dict[str, Any]:
    domain = {"type": kind, "low": low, "high": high, "start": None, "explore": None}
    return {"names": [name], "domains": {name: domain}}


def _confirmation(member: int = 0, turn: int = 0, fresh: Sequence[float] = ()) -> dict[str, Any]:
    kept = {"member": member, "turn": turn, "step": 1, "digest": "d"}
    return {"times": 2, "candidates": [{"score": 0.5, "checkpoint": kept, "fresh": fresh}]}


# What no log of the run leads to. Each has the digest of what it says.
FORGED: dict[str, Callable[[Any], object]] = {
    "other run": lambda it: it.update(run="other"),
    "last before the log": lambda it: it.update(last=-5),
    "last behind the log": lambda it: it.update(last=10**6),
    "no members": _population(members=[]),
    "twice the members": lambda it: _population(members=it["population"]["members"] * 2)(it),
    "member of another id": _every_member(id=77),
    "member of a negative id": _every_member(id=-9),
    "other hyperparameters": _every_member(hparams={"zz": "text"}),
    "hyperparameters outside": _every_member(hparams={"lr": 1e9}),
    "more trained than the budget": _every_member(trained=10**9),
    "negative attempts": _every_member(attempts=-4),
    "turns not ended": _every_member(turn=0),
    "a curve of no use": _every_member(curve={"steps": [1, 2], "scores": [1.0]}),
    "other group": _every_member(group=7),
    "a checkpoint of no member": _every_member(
        checkpoint={"member": 9, "turn": 0, "step": 1, "digest": "d"}
    ),
    "many turns": _population(turns=10**9),
    "negative copies": _population(copies=-3),
    "no budget": _population(steps=0),
    "no space": _population(space={}),
    "a space of large numbers": _population(space=_space("lr", "LogUniform", 1, 10**400)),
    "other space": _population(space=_space("a", "Uniform", 0.0, 1.0)),
    "other ties": _population(ties="latest"),
    "unread names": _population(unread=["zz"]),
    "notes": _population(data=[1]),
    "evaluations of no turn": _population(confirmation=_confirmation(turn=10**6)),
    "evaluations of no member": _population(confirmation=_confirmation(member=9)),
    "more evaluations than asked for": _population(confirmation=_confirmation(fresh=[1.0] * 3)),
    "no evaluations": _population(confirmation=_confirmation() | {"times": 0}),
    "copies that do not add up": _every_member(copies=5),
    "a negative number of copies": _every_member(copies=-1),
}


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("forgery", FORGED)
def test_a_summary_of_what_cannot_be_is_not_used(tmp_path: Path, forgery: str) -> None:
    store = SQLiteStore(tmp_path / "runs.db", durability="process")
    trained(store, 20)
    before = View(store, "lm").figures(), View(store, "lm").rows()
    _forge(store, FORGED[forgery])
    assert store.summary("lm") is None
    assert (View(store, "lm").figures(), View(store, "lm").rows()) == before
    (line,) = _about_summaries(store)
    assert "the summary of run 'lm' cannot be read" in line
    trained(store, FEW, first=20)
    assert _about_summaries(store) == []


@pytest.mark.usefixtures("often")
def test_a_log_that_does_not_go_on_from_the_summary_is_read_from_its_beginning(
    tmp_path: Path,
) -> None:
    store = SQLiteStore(tmp_path / "runs.db", durability="process")
    trained(store, 20)
    before = View(store, "lm").figures()
    _forge(store, _every_member(turn=30))
    assert store.summary("lm") is not None
    assert View(store, "lm").figures() == before
    trained(store, FEW, first=20)
    known = store.summary("lm")
    assert known is not None
    assert known == summary.summarize(store.events("lm", most=known.last + 1), "lm")


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("forgery", [lambda it: it.update(v=999), lambda it: it.pop("v")])
def test_a_summary_of_another_version_is_neither_used_nor_damage(
    tmp_path: Path, forgery: Callable[[Any], object]
) -> None:
    store = SQLiteStore(tmp_path / "runs.db", durability="process")
    trained(store, 20)
    _forge(store, forgery)
    assert store.summary("lm") is None
    assert _about_summaries(store) == []
    trained(store, FEW, first=20)
    assert store.summary("lm") is not None


@pytest.mark.usefixtures("often")
def test_a_summary_from_before_the_budget_was_raised_is_used(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "runs.db", durability="process")
    trained(store, 20)
    known = store.summary("lm")
    store.append("lm", Extended(steps=200_000), worker="cli", after=20)
    assert known is not None
    assert store.summary("lm") == known
    assert View(store, "lm").figures()["steps"] == 200_000


@pytest.mark.usefixtures("often")
def test_no_fault_in_summing_up_ends_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(known: summary.Summary) -> bytes:
        raise KeyError(known.last)

    monkeypatch.setattr(summary, "encode", raising)
    store = SQLiteStore(tmp_path / "runs.db", durability="process")
    trained(store, 20)
    assert store.summary("lm") is None
    assert View(store, "lm").figures()["turns"] == 20


def _forge(store: SQLiteStore, forgery: Callable[[Any], object]) -> None:
    """Change the summary, and give it the digest of what it then says."""
    known = store.summary("lm")
    assert known is not None
    data = _edited(known, forgery)
    _execute(store.path, "UPDATE summaries SET summary = ?, digest = ?", data, digest([data]))


def _edited(known: summary.Summary, forgery: Callable[[Any], object]) -> bytes:
    what = json.loads(summary.encode(known))
    forgery(what)
    return json.dumps(what).encode()


def _about_summaries(store: SQLiteStore) -> list[str]:
    return [line for line in wrong_with(store) if "summary" in line]


def _execute(path: Path, statement: str, *values: Any) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()
