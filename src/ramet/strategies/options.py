"""Unordered choices that members explore by what past turns gained with each option."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, groupby

import numpy as np

from ramet.domains import Choice, Value
from ramet.population import PastTurn
from ramet.strategies import bandit
from ramet.strategies.axes import places_of
from ramet.strategies.standard import LARGEST, changes_of


def learn_chances(
    choices: dict[str, Choice], past: Sequence[PastTurn], budget: int
) -> dict[str, list[float]]:
    """Return how likely each option of unordered choices should be drawn, from what turns gained.

    Turns that end at the same step are a round. What each gained for a step counts from 0 to 1.

    Args:
        choices: The unordered choices by name.
        past: Turns that began and ended with a score, the oldest first.
        budget: The steps of a run.
    """
    rewards = ((changes_of(past) + LARGEST) / (2 * LARGEST)).tolist() if choices else []
    horizon = max(1, round(budget / past[-1].steps)) if past else 1
    places = places_of(choices, [turn.hparams for turn in past]).tolist()
    rows = list(zip(past, places, rewards, strict=False))
    ends = [list(its) for _, its in groupby(rows, key=lambda row: row[0].step + row[0].steps)]

    def find_rounds(at: int) -> Iterator[list[bandit.Choice]]:
        """Yield the choices of each round in which some member had the hyperparameter."""
        for its in ends:
            tried = [bandit.Choice(places[at], reward) for _, places, reward in its]
            if there := [choice for choice in tried if choice.option >= 0]:
                yield there

    return {
        name: bandit.learn(list(find_rounds(at)), len(domain.options), horizon)
        for at, (name, domain) in enumerate(choices.items())
    }


def draw_options(
    choices: Mapping[str, Choice], chances: Mapping[str, Sequence[float]], rng: np.random.Generator
) -> dict[str, Value]:
    """Draw an option of each unordered choice.

    Args:
        choices: The unordered choices by name.
        chances: How likely each of their options is.
        rng: Draw from this generator only.
    """
    drawn: dict[str, Value] = {}
    for name, domain in choices.items():
        below = list(accumulate(chances[name]))
        at = rng.random() * below[-1]
        drawn[name] = domain.options[sum(at >= bound for bound in below[:-1])]
    return drawn
