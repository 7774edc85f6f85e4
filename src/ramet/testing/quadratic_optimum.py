"""The optimal schedules of the noisy quadratic, computed exactly.

A schedule is an array of learning rates, one for each round of ``turn_steps`` steps. Rates stay
within ``QUADRATIC_SPACE``, like those of strategies.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ramet.strategies.hand_tuned import Cosine
from ramet.testing.quadratic import LEARNING_RATE, Floats, Quadratic

LOWEST, HIGHEST = LEARNING_RATE.low, LEARNING_RATE.high
LOG_RATES = (math.log(LOWEST), math.log(HIGHEST))


def final_loss(task: Quadratic, schedule: Floats, *, turn_steps: int = 48) -> float:
    """Return the expected loss at the end of a schedule."""
    moments = np.ones(task.dim)
    for kept, added in zip(*task.effect(schedule, turn_steps), strict=True):
        moments = kept * moments + added
    return float(task.curvatures @ moments) / 2


def sensitivity(task: Quadratic, schedule: Floats, *, turn_steps: int = 48) -> tuple[float, Floats]:
    """Return the final loss, and its derivative with respect to the logarithm of each rate.

    Rates must be below 2.
    """
    kept, added = task.effect(schedule, turn_steps)
    scaled = np.multiply.outer(schedule, task.curvatures)
    left = 2 - scaled
    kept_slope = -2 * turn_steps * scaled * (1 - scaled) ** (2 * turn_steps - 1)
    added_slope = (
        task.noise / task.curvatures * (2 * scaled * (1 - kept) / left - scaled * kept_slope) / left
    )
    moments = [np.ones(task.dim)]
    for round_ in range(len(schedule)):
        moments.append(kept[round_] * moments[-1] + added[round_])
    # The derivative of the final loss by each moment, from the last round back to the first.
    gains = task.curvatures / 2
    loss = float(gains @ moments[-1])
    slopes = np.empty(len(schedule))
    for round_ in reversed(range(len(schedule))):
        slopes[round_] = gains @ (kept_slope[round_] * moments[round_] + added_slope[round_])
        gains = gains * kept[round_]
    return loss, slopes


def best_schedule(task: Quadratic, *, rounds: int = 40, turn_steps: int = 48) -> Floats:
    """Return the best schedule with one rate for each round."""
    starts = (
        np.geomspace(1.0, 0.01, rounds),
        best_constant(task, rounds=rounds, turn_steps=turn_steps),
        best_cosine(task, rounds=rounds, turn_steps=turn_steps),
    )
    logs = _descend(
        lambda logs: sensitivity(task, np.exp(logs), turn_steps=turn_steps),
        starts=[np.log(start) for start in starts],
        bounds=[LOG_RATES] * rounds,
    )
    return _clip(np.exp(logs))


def best_cosine(
    task: Quadratic, *, rounds: int = 40, turn_steps: int = 48, last: float | None = None
) -> Floats:
    """Return the best half cosine down to a last factor of its peak; None tunes that factor too.

    Each round has the rate at its middle, as with ``HandTuned``.
    """
    cosine = np.array([Cosine()((round_ + 0.5) / rounds) for round_ in range(rounds)])

    def schedule(place: Floats) -> Floats:
        log_peak, last = place
        return _clip(np.exp(log_peak) * (cosine + last * (1 - cosine)))

    def loss(place: Floats) -> tuple[float, Floats]:
        rates, peak = schedule(place), np.exp(place[0])
        found, slopes = sensitivity(task, rates, turn_steps=turn_steps)
        # A rate at a bound stays there.
        slopes = np.where((rates > LOWEST) & (rates < HIGHEST), slopes, 0.0)
        return found, np.array([slopes.sum(), slopes @ (peak * (1 - cosine) / rates)])

    factors = (0.0, 1.0) if last is None else (last, last)
    tuned = _descend(
        loss,
        starts=[np.array([np.log(peak), min(0.05, factors[1])]) for peak in (0.03, 0.3, 1.0)],
        bounds=[LOG_RATES, factors],
    )
    return schedule(tuned)


def best_constant(task: Quadratic, *, rounds: int = 40, turn_steps: int = 48) -> Floats:
    """Return the best constant rate, which is a single greedy choice for all steps."""
    return np.repeat(greedy(task, rounds=1, turn_steps=rounds * turn_steps), rounds)


def greedy(task: Quadratic, *, rounds: int = 40, turn_steps: int = 48) -> Floats:
    """Return the schedule of rates that each leave the least loss at the end of their own round.

    With ``turn_steps=1`` a rate looks ahead a single step.
    """
    moments, chosen = np.ones(task.dim), []
    for _ in range(rounds):
        rate = _least(partial(_losses_after, task, moments, steps=turn_steps))
        kept, added = task.effect(rate, turn_steps)
        moments = kept * moments + added
        chosen.append(rate)
    return np.array(chosen)


def _losses_after(task: Quadratic, moments: Floats, rates: Floats, steps: int) -> Floats:
    kept, added = task.effect(rates, steps)
    return (kept * moments + added) @ task.curvatures / 2


def _least(losses: Callable[[Floats], Floats]) -> float:
    """Return the rate with the least loss, by a search that narrows around the best of a few."""
    low, high = LOG_RATES
    while True:
        logs = np.linspace(low, high, 33)
        best = int(np.argmin(losses(np.exp(logs))))
        low, high = logs[max(best - 1, 0)], logs[min(best + 1, 32)]
        # The loss is flat near its minimum.
        if high - low < 1e-5:  # noqa: PLR2004 - as said
            return float(_clip(np.exp(logs[best])))


def _descend(
    loss: Callable[[Floats], tuple[float, Floats]],
    *,
    starts: Sequence[Floats],
    bounds: Sequence[tuple[float, float]],
) -> Floats:
    """Return the minimum that a descent from any of the starts reaches."""
    # SciPy takes long to import, and only an optimum needs it.
    from scipy.optimize import minimize  # noqa: PLC0415 - as said

    ends = [
        minimize(
            loss,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"ftol": 1e-14, "gtol": 1e-10},
        )
        for start in starts
    ]
    place: Floats = min(ends, key=lambda end: float(end.fun)).x
    return place


def _clip(rates: Floats) -> Floats:
    return np.clip(rates, LOWEST, HIGHEST)
