"""Where an iteration of IPBT begins: values drawn at random, and values that a model proposes."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from ramet.space import Hparams, Space
from ramet.strategies.axes import axes_of, rows_of
from ramet.strategies.gaussian_process import FEWEST_ROWS
from ramet.strategies.standard import standardize
from ramet.strategies.surrogate import Points, fit

Floats: TypeAlias = NDArray[np.float64]

# A model chooses the most promising of as many draws.
DRAWN = 128
# How many standard deviations are added to a prediction.
OPTIMISM = 2.0


class Founder(msgspec.Struct, frozen=True, kw_only=True):
    """A member that began an iteration, and how far it came."""

    # The values that it began with.
    hparams: Hparams
    # The number of the iteration.
    iteration: int
    # The best score of it and of the members that descend from it; None if they had no finite one.
    best: float | None = None


def propose_beginnings(
    space: Space, founders: Sequence[Founder], rng: np.random.Generator
) -> Iterator[Hparams]:
    """Yield values that members may begin an iteration with, the most promising first.

    A Gaussian process is fitted to the founders of all iterations before: to their best scores, by
    the values that they began with and by their iteration, older ones counting less. While there
    are too few founders with a score, values are drawn as those of first members are.

    Args:
        space: The space of the hyperparameters.
        founders: The members that began the iterations before.
        rng: Draw from this generator only.
    """
    axes = axes_of(space)
    known = [founder for founder in founders if founder.best is not None]
    if not axes or len(known) < FEWEST_ROWS:
        while True:
            yield space.sample(rng)
    now = max(founder.iteration for founder in known) + 1
    times = np.array([founder.iteration / now for founder in known])
    rows = rows_of(axes, [founder.hparams for founder in known])
    scores = np.array([founder.best for founder in known], np.float64)
    # Sums of the largest floats would overflow.
    scores /= float(np.abs(scores).max()) or 1.0
    model = fit(Points(times, rows), standardize(scores))
    while True:
        drawn = [space.sample(rng) for _ in range(DRAWN)]
        points = Points(np.ones(DRAWN), rows_of(axes, drawn))
        means, deviations = model.predict(points)
        chosen = int(np.argmax(means + OPTIMISM * deviations))
        yield drawn[chosen]
        # The next member looks elsewhere.
        model.add(points.at(chosen))
