"""A worker at SIGTERM: it ends its turn within the time of grace, or gives it back."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet.engine.workers import notice
from ramet.engine.workers.notice import Terminated
from ramet.errors import StrategyError, UsageError
from tests.engine.loops import SPACE, pbt

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to handle")


# The turns of a run of 5 members with 8 steps each.
LAST = 10


def ask_to_leave() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def trained(
    store: Path, during: Callable[[ramet.Turn], object], *, grace_s: float, steps: int = 8
) -> ramet.history.Result:
    """Train with something that happens in each turn; return the result if the run ends."""

    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            list(turn)
            during(turn)
            turn.report(turn.hparams["lr"] + turn.hparams["decay"])

    engine = ramet.Inline(grace_s=grace_s)
    strategy = pbt(population=5, synchronous=True)
    return ramet.run(
        train, SPACE, strategy, steps=steps, mode="max", seed=0, store=store, engine=engine
    )


def seats(store: Path) -> set[str | None]:
    return {seat.worker for seat in ramet.places.existing(store).store.seats("run")}


def turns(store: Path) -> int:
    return ramet.history.load(store).population.turns


def test_a_turn_that_ends_in_time_is_committed(store: Path) -> None:
    seen: list[int] = []

    def during(turn: ramet.Turn) -> None:
        seen.append(turn.member)
        if len(seen) == 3:
            ask_to_leave()

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated, match="no turn that ended is lost"):
        trained(store, during, grace_s=60.0)
    assert signal.getsignal(signal.SIGTERM) == before
    assert (len(seen), turns(store), seats(store)) == (3, 3, {None})
    # Nothing but a pause: the run goes on to the end that it would have had.
    alone = trained(store.with_name("other.db"), lambda _: None, grace_s=60.0)
    went_on = trained(store, lambda _: None, grace_s=60.0)
    assert ramet.events.canonical(went_on.events) == ramet.events.canonical(alone.events)


def test_a_turn_that_takes_longer_is_given_back(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def during(_: ramet.Turn) -> None:
        ask_to_leave()
        time.sleep(60.0)

    with pytest.raises(Terminated):
        trained(store, during, grace_s=0.1)
    assert (turns(store), seats(store)) == (0, {None})
    assert "did not end within 0.1 s of SIGTERM and is given back" in caplog.text


@pytest.mark.parametrize(("grace_s", "signals"), [(0.0, 1), (1000.0, 2), (1000.0, 5)])
def test_without_grace_or_at_a_second_signal_it_is_given_back_at_once(
    store: Path, grace_s: float, signals: int
) -> None:
    def during(_: ramet.Turn) -> None:
        try:
            for _ in range(signals):
                ask_to_leave()
                time.sleep(0.0)
        finally:
            # Leaving is under way, and more signals do not interrupt it.
            ask_to_leave()
            time.sleep(0.0)

    with pytest.raises(Terminated):
        trained(store, during, grace_s=grace_s)
    assert (turns(store), seats(store)) == (0, {None})


def test_a_worker_that_waits_leaves_at_once(store: Path) -> None:
    run = ramet.open(
        store,
        space=SPACE,
        strategy=pbt(population=5, synchronous=True),
        steps=8,
        mode="max",
        seed=0,
    )
    held = [run.ask() for _ in range(5)]
    assert None not in held
    asks = threading.Timer(0.1, ask_to_leave)
    asks.start()
    with pytest.raises(Terminated):
        trained(store, lambda _: None, grace_s=1000.0)
    asks.join()
    assert seats(store) == {run.worker}
    run.release_all()


def test_a_worker_that_lost_its_turn_and_waits_leaves_at_once(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    strategy = pbt(population=5, synchronous=True)
    run = ramet.open(store, space=SPACE, strategy=strategy, steps=8, mode="max", seed=0)
    held = [run.ask() for _ in range(4)]
    asks = threading.Timer(0.3, ask_to_leave)

    def during(_: ramet.Turn) -> None:
        (worker,) = seats(store) - {run.worker}
        assert worker is not None
        run.disown(worker)
        held.append(run.ask())
        asks.start()

    with pytest.raises(Terminated):
        trained(store, during, grace_s=1.0)
    asks.join()
    assert None not in held
    assert "no longer holds member" in caplog.text
    assert "did not end within" not in caplog.text
    run.release_all()


def test_the_signal_starts_no_thread_and_none_is_left(store: Path) -> None:
    started: list[set[threading.Thread]] = []

    def during(_: ramet.Turn) -> None:
        before = set(threading.enumerate())
        ask_to_leave()
        time.sleep(0.0)
        started.append(set(threading.enumerate()) - before)

    with pytest.raises(Terminated):
        trained(store, during, grace_s=60.0)
    assert started == [set()]
    assert "ramet-grace" not in {thread.name for thread in threading.enumerate()}


def test_a_turn_that_was_interrupted_while_it_logged_is_given_back(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slept: list[bool] = []

    def during(_: ramet.Turn) -> None:
        with caplog.handler.lock or contextlib.nullcontext():
            ask_to_leave()
            time.sleep(3.0)
            slept.append(True)

    with pytest.raises(Terminated):
        trained(store, during, grace_s=0.1)
    assert (turns(store), slept) == (0, [])
    assert "did not end within 0.1 s of SIGTERM and is given back" in caplog.text


def test_a_process_that_the_training_forked_ends_as_without_a_worker(store: Path) -> None:
    codes: list[int] = []

    def during(_: ramet.Turn) -> None:
        if codes:
            return
        child = os.fork()
        if not child:
            ask_to_leave()
            time.sleep(5.0)
            os._exit(0)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    assert trained(store, during, grace_s=60.0).population.done
    assert codes == [-signal.SIGTERM]


def test_a_run_that_is_over_with_the_turn_just_ends(store: Path) -> None:
    seen: list[int] = []

    def during(turn: ramet.Turn) -> None:
        seen.append(turn.member)
        if len(seen) == LAST:
            ask_to_leave()

    result = trained(store, during, grace_s=60.0)
    assert result.population.done
    assert result.population.turns == LAST


@pytest.mark.parametrize("ends", [SystemExit(1), KeyboardInterrupt()])
def test_a_loop_that_makes_something_else_of_the_interrupt_has_left_as_well(
    store: Path, ends: BaseException
) -> None:
    def during(_: ramet.Turn) -> None:
        ask_to_leave()
        try:
            time.sleep(60.0)
        except Terminated:
            raise ends from None

    with pytest.raises(KeyboardInterrupt):
        trained(store, during, grace_s=0.05)
    assert seats(store) == {None}


def test_training_that_does_not_hear_ends_with_its_process_and_holds_nothing(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[Any] = []
    forced = threading.Event()

    def leave(code: int) -> None:
        left.append((code, seats(store)))
        forced.set()

    monkeypatch.setattr(notice, "FORCE_S", 0.1)
    monkeypatch.setattr(notice.os, "_exit", leave)

    def during(_: ramet.Turn) -> None:
        ask_to_leave()
        while not forced.is_set():
            try:
                forced.wait(60.0)
            except KeyboardInterrupt:
                continue
        # The process is gone by now.
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(store, during, grace_s=0.05)
    assert left == [(143, {None})]


@pytest.mark.parametrize("grace_s", [-1.0, float("nan"), "5", True])
def test_a_grace_that_is_no_time_is_refused(grace_s: Any) -> None:
    with pytest.raises(StrategyError, match="grace_s must be 0 seconds or more"):
        ramet.Inline(grace_s=grace_s)


def test_a_grace_outside_of_the_main_thread_is_refused(store: Path) -> None:
    raised: list[BaseException] = []

    def call() -> None:
        try:
            trained(store, lambda _: None, grace_s=1.0)
        except UsageError as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert "must train in the main thread" in str(raised[0])
