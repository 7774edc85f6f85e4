"""A run that is interrupted at a prompt: its result so far is at hand, and it goes on."""

import traceback
from pathlib import Path

import pytest

import ramet
from ramet.errors import RametError, RunFailed, StoreError, UsageError
from ramet.events import canonical
from ramet.history import Result
from tests.engine.loops import SPACE, Descent, pbt


class Stops(Descent):
    """Is interrupted once, in the turn of this number."""

    def __init__(self, after: int) -> None:
        self.left = after

    def evaluate(self, state: dict[str, object]) -> float:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().evaluate(state)


def test_a_run_in_memory_is_at_hand_after_an_interrupt_and_goes_on() -> None:
    task = Stops(9)
    with pytest.raises(
        KeyboardInterrupt, match="after 8 turns; no turn that ended is lost: r"
    ) as why:
        ramet.run(task, SPACE, pbt(), steps=24, mode="max", seed=0)
    assert "store=ramet.interrupted().storage" in str(why.value)
    partial = ramet.interrupted()
    assert partial.population.turns == 8
    assert partial.best.load()["seen"] > 0
    whole = ramet.run(task, SPACE, pbt(), steps=24, mode="max", seed=0, store=partial.storage)
    direct = ramet.run(Descent(), SPACE, pbt(), steps=24, mode="max", seed=0)
    assert canonical(whole.events) == canonical(direct.events)


def test_a_run_in_memory_that_failed_is_at_hand_and_goes_on_once_the_code_is_corrected() -> None:
    class Fails(Descent):
        broken = True

        def evaluate(self, state: dict[str, object]) -> float:
            if self.broken and state["seen"] == 12:
                raise LookupError("no such data")
            return super().evaluate(state)

    task = Fails()
    with pytest.raises(RunFailed):
        ramet.run(task, SPACE, pbt(), steps=24, mode="max", seed=0)
    partial = ramet.interrupted()
    assert partial.population.turns > 0
    task.broken = False
    storage = partial.storage
    assert ramet.run(
        task, SPACE, pbt(), steps=24, mode="max", seed=0, store=storage
    ).population.done


def test_python_shows_the_users_frames_and_the_call_alone() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({}):
            raise LookupError(f"no data for {turn.steps} steps")

    with pytest.raises(RunFailed) as failed:
        ramet.run(train, SPACE, pbt(), steps=24, mode="max", seed=0)
    assert list_frames(failed.value.__cause__) == ["train"]
    assert list_frames(failed.value)[1:] == ["call", "run"]
    with pytest.raises(KeyboardInterrupt) as stopped:
        ramet.run(Stops(9), SPACE, pbt(), steps=24, mode="max", seed=0)
    assert list_frames(stopped.value)[1:] == ["call", "run"]


def list_frames(error: BaseException | None) -> list[str]:
    """Return the names of the functions that an error's traceback shows."""
    assert error is not None
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_without_an_interrupt_there_is_nothing_at_hand() -> None:
    with pytest.raises(KeyboardInterrupt):
        ramet.run(Stops(3), SPACE, pbt(), steps=24, mode="max", seed=0)
    ramet.run(Descent(), SPACE, pbt(), steps=24, mode="max", seed=0)
    with pytest.raises(UsageError, match="must be a run that was interrupted"):
        ramet.interrupted()


def test_a_call_that_is_refused_loses_no_run_in_memory() -> None:
    with pytest.raises(KeyboardInterrupt):
        ramet.run(Stops(9), SPACE, pbt(), steps=24, mode="max", seed=0)
    storage = ramet.interrupted().storage
    with pytest.raises(UsageError):
        ramet.run(Descent(), SPACE, pbt(), steps=24, mode="max", seed=0, engine=7)
    with pytest.raises(RametError, match="seed"):
        ramet.run(Descent(), SPACE, pbt(), steps=24, mode="max", seed=1, store=storage)
    assert ramet.interrupted().population.turns == 8


def test_a_call_that_is_interrupted_before_it_trains_loses_no_run_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        ramet.run(Stops(9), SPACE, pbt(), steps=24, mode="max", seed=0)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ramet.engine.training.describe_pace", stop)
    with pytest.raises(KeyboardInterrupt, match="stopped while no turn was in progress; to go on"):
        ramet.run(Descent(), SPACE, pbt(), steps=24, mode="max", seed=0)
    assert ramet.interrupted().population.turns == 8


def test_an_interrupt_stays_one_if_the_store_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"

    class Removes(Descent):
        def evaluate(self, state: dict[str, object]) -> float:
            for each in tmp_path.glob("runs.db*"):
                if each.is_file():
                    each.unlink()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"store cannot be read: the store .*runs\.db must"):
        ramet.run(Removes(), SPACE, pbt(), steps=24, mode="max", seed=0, store=file)
    with pytest.raises(StoreError):
        ramet.interrupted()


def test_an_interrupt_does_not_wait_until_the_whole_log_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Result, "__init__", None)
        with pytest.raises(KeyboardInterrupt, match="after 8 turns"):
            ramet.run(Stops(9), SPACE, pbt(), steps=24, mode="max", seed=0)
    assert ramet.interrupted().population.turns == 8
