"""The fuzzer finds nothing in what ramet reads, and everything in what goes wrong."""

import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.fuzz.targets import TARGETS
from benchmarks.fuzz.watching import Plan, fuzz
from tests import hostile

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux limits and measures the memory of a process so"
)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_files_that_were_changed_are_refused_and_nothing_else_happens(target: str) -> None:
    tally = fuzz(target, TARGETS[target], Plan(seed=0, trials=300, limit_s=60.0))

    assert tally.said == []
    assert tally.trials == 300


@pytest.mark.slow
def test_an_error_of_ours_is_no_fault() -> None:
    assert fuzz("refusing", hostile.refusing, Plan(seed=0, trials=5)).faults == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "count", "said"),
    [
        (hostile.raising, "crashes", "KeyError"),
        (hostile.greedy, "crashes", "MemoryError"),
        (hostile.dying, "crashes", "ended its process"),
        (hostile.unpickling, "escapes", "pickle.find_class"),
        (hostile.evaluating, "escapes", "compile"),
        (hostile.reaching_elsewhere, "escapes", "open .*elsewhere"),
    ],
)
def test_what_goes_wrong_is_counted_by_its_kind_and_told_with_its_trial(
    target: Callable[..., Any], count: str, said: str
) -> None:
    tally = fuzz("hostile", target, Plan(seed=7, first=3, trials=2))

    assert getattr(tally, count) >= 2
    assert tally.trials == 2
    # The number makes it again.
    assert "hostile: trial 3 of seed 7" in tally.said[0]
    assert re.search(said, "\n".join(tally.said))


@pytest.mark.slow
def test_a_trial_without_end_is_counted_and_the_next_one_is_tried() -> None:
    tally = fuzz("hostile", hostile.hanging, Plan(seed=0, trials=2, limit_s=1.0))

    assert (tally.hangs, tally.trials) == (2, 2)


@pytest.mark.slow
def test_however_much_is_reported_no_trial_waits_until_it_is_read() -> None:
    tally = fuzz("hostile", hostile.talkative, Plan(seed=0, trials=5, limit_s=20.0))

    assert (tally.hangs, tally.crashes, tally.trials) == (0, 5, 5)
