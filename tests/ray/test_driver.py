"""The call that follows a run, and the actor that keeps its workers, without a cluster."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from tests.frameworks import framework

framework("ray")

from ray.exceptions import ActorDiedError, ActorUnavailableError

from ramet.engine.processes.reports import Report
from ramet.errors import RunFailed, StoreError
from ramet.ray import driver, keeper
from ramet.ray.crew import Plan
from ramet.ray.driver import MOST_LOST, Driver
from ramet.ray.keeper import Keeper, Outcome, Standing
from ramet.store import MemoryStore
from ramet.testing import FakeClock
from tests.engine.scripts import wait_for

OWN, OTHER = (
    Plan(token=token, workers=2, needs={"CPU": 1}, options={}, home="here", code=None)
    for token in ("own", "other")
)
FAILED = Outcome(Report.of(ZeroDivisionError("of a test")))
DIED, UNAVAILABLE = ActorDiedError(), ActorUnavailableError("of a test", None)


@dataclass
class Follows:
    """A run, and what each request to the actor comes to."""

    answers: list[Standing | Exception]
    # How many turns of the run have ended at each answer.
    turns: Callable[[int], int] = lambda _: 0
    name: str = "run"
    asked: int = 0
    killed: list[object] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return not self.answers

    @property
    def population(self) -> Any:
        return SimpleNamespace(turns=self.turns(self.asked))

    def answer(self, _: object) -> Standing:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Callable[[Follows], Follows]:
    def follow_all(run: Follows) -> Follows:
        actor = SimpleNamespace(standing=SimpleNamespace(remote=lambda: None))
        monkeypatch.setattr(driver.ray, "get", run.answer)
        monkeypatch.setattr(driver.ray, "kill", run.killed.append)
        monkeypatch.setattr(Driver, "_find_or_start", lambda _: actor)
        cast: Any = run
        Driver(cast, MemoryStore(), OWN, b"", clock=FakeClock()).follow(lambda _: None)
        return run

    monkeypatch.setattr(driver, "identify", lambda *_: "the run")
    monkeypatch.setattr(driver, "count_free", lambda _: {"CPU": 0.0})
    return follow_all


def test_an_error_before_the_first_answer_is_raised(follow: Callable[[Follows], Follows]) -> None:
    with pytest.raises(RunFailed, match="ZeroDivisionError: of a test"):
        follow(Follows([Standing(OWN, FAILED), Standing(OWN)]))


def test_an_error_of_workers_that_were_followed_is_raised_whoever_started_them(
    follow: Callable[[Follows], Follows], caplog: pytest.LogCaptureFixture
) -> None:
    answers = [Standing(OTHER), UNAVAILABLE, Standing(OTHER), UNAVAILABLE, Standing(OTHER, FAILED)]
    with pytest.raises(RunFailed, match="ZeroDivisionError: of a test"):
        follow(Follows([*answers, Standing(OWN)]))
    assert caplog.text.count("that another call has started") == 1


def test_workers_of_another_call_that_have_ended_are_replaced_and_their_error_is_quoted(
    follow: Callable[[Follows], Follows], caplog: pytest.LogCaptureFixture
) -> None:
    run = follow(Follows([Standing(OTHER, FAILED), Standing(OWN), Standing(OWN, Outcome())]))
    assert len(run.killed) == 1
    assert "ended with an error: of a test. This call starts others" in caplog.text


def test_losses_count_only_if_no_turn_ends_between_them(
    follow: Callable[[Follows], Follows],
) -> None:
    losses: list[Standing | Exception] = [DIED] * (3 * MOST_LOST)
    follow(Follows(list(losses), turns=lambda asked: asked // (MOST_LOST - 1)))
    with pytest.raises(RunFailed, match=f"live to see a turn end, but {MOST_LOST} in a row"):
        follow(Follows(list(losses), turns=lambda asked: asked // (MOST_LOST + 1)))


def said(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [round(record.__dict__["waited_s"]) for record in caplog.records]


def test_an_actor_that_does_not_answer_is_named_ever_more_rarely(
    follow: Callable[[Follows], Follows], caplog: pytest.LogCaptureFixture
) -> None:
    away: list[Standing | Exception] = [UNAVAILABLE] * 250
    with caplog.at_level(logging.WARNING, "ramet"):
        follow(Follows([*away, Standing(OWN), *away, Standing(OWN, Outcome())]))
    assert said(caplog) == [10, 20, 10, 20]
    assert "has not answered for 10 s: " in caplog.text


def test_workers_that_do_not_begin_are_named_with_what_is_free(
    follow: Callable[[Follows], Follows], caplog: pytest.LogCaptureFixture
) -> None:
    starting = [Standing(OWN, starting=True)] * 450
    with caplog.at_level(logging.WARNING, "ramet"):
        follow(Follows([*starting, Standing(OWN), *starting, Standing(OWN, Outcome())]))
    assert said(caplog) == [10, 20, 40, 10, 20, 40]
    assert "needs 1 CPU on one node, and of this, all nodes together have 0 CPU free" in caplog.text


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The actors that were ended; workers fail before they begin."""
    ended: list[object] = []
    context = SimpleNamespace(current_actor="actor")
    fake = SimpleNamespace(get_runtime_context=lambda: context, kill=ended.append)
    monkeypatch.setattr(keeper, "ray", fake)

    def fail(_: bytes, *, train: bool) -> None:
        raise StoreError(f"away, {train=}")

    monkeypatch.setattr(keeper, "unpack", fail)
    return ended


def test_what_keeps_the_workers_ends_once_the_outcome_was_read(
    killed: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "READ_LINGER_S", 0.0)
    kept = Keeper(OWN)
    outcome = wait_for(lambda: kept.standing().outcome)
    assert outcome.report.message == "away, train=False"
    assert wait_for(lambda: killed) == ["actor"]


def test_an_error_that_no_call_reads_is_logged(
    killed: list[object], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeper, "LINGER_S", 0.0)
    Keeper(OWN)
    assert wait_for(lambda: killed) == ["actor"]
    assert "away, train=False" in caplog.text
