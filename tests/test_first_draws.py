"""The first draws of many turns are those of their generators."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as some

from ramet.first_draws import first_words
from ramet.randomness import Draws

numbers = some.integers(0, 2**200) | some.integers(0, 2**32) | some.integers(0, 9)


@given(some.lists(some.builds(Draws, seed=numbers, member=numbers, turn=numbers), max_size=9))
def test_the_first_words_are_those_that_each_turns_generator_draws(draws: list[Draws]) -> None:
    drawn = [int(each.training().integers(2**32, dtype=np.uint32)) for each in draws]
    assert first_words(draws).tolist() == drawn


def test_the_turns_of_many_members_draw_in_their_own_order() -> None:
    draws = [Draws(seed=nth % 3, member=nth, turn=99) for nth in range(1_000)]
    drawn = [int(each.training().integers(2**32, dtype=np.uint32)) for each in draws]
    assert first_words(draws).tolist() == drawn
