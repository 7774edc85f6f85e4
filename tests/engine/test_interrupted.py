"""A run that is interrupted at a prompt: its result so far is at hand, and it goes on."""

import pytest

import ramet
from ramet.errors import RunFailed, UsageError
from ramet.events import canonical
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
    with pytest.raises(KeyboardInterrupt, match=r"after 8 turns; ramet.interrupted\(\) has") as why:
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


def test_without_an_interrupt_there_is_nothing_at_hand() -> None:
    with pytest.raises(KeyboardInterrupt):
        ramet.run(Stops(3), SPACE, pbt(), steps=24, mode="max", seed=0)
    ramet.run(Descent(), SPACE, pbt(), steps=24, mode="max", seed=0)
    with pytest.raises(UsageError, match="must be a run that was interrupted"):
        ramet.interrupted()
