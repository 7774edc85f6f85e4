"""The knee: the largest population that takes at most twice as long as one member."""

import functools
from collections.abc import Callable
from typing import Any

from benchmarks.device import jax_mlp, ppo, torch_mlp
from benchmarks.device.writing import Part

JAX_STEPS, TORCH_STEPS, PPO_UPDATES = 200, 50, 4
TWICE, MOST = 2.0, 65_536


def measure(part: Part) -> None:
    environment, updates = ppo.find_environment(part), 1 if part.small else PPO_UPDATES
    timed_ppo = functools.partial(ppo_round_s, environment, updates)
    find = functools.partial(find_knee, part, timed_ppo, most=2 if part.small else MOST)
    part.measure(find, net="ppo", environment=environment, framework="jax", needs_s=20)
    steps = (5, 5) if part.small else (JAX_STEPS, TORCH_STEPS)
    for net in ("mlp", "conv"):
        for framework, timed in (
            ("jax", functools.partial(jax_round_s, net, steps[0])),
            ("torch", functools.partial(torch_round_s, net, steps[1])),
        ):
            find = functools.partial(find_knee, part, timed, most=4 if part.small else MOST)
            part.measure(find, net=net, framework=framework, needs_s=8)


def jax_round_s(net: str, steps: int, members: int) -> float:
    return float(jax_mlp.bare_rate(net, members, steps)["round_s"])


def ppo_round_s(environment: str, updates: int, members: int) -> float:
    return float(ppo.bare_rate(environment, members, updates)["round_s"])


def torch_round_s(net: str, steps: int, members: int) -> float:
    return float(torch_mlp.rate(net, members, "graph", steps)["us_per_step"]) * steps / 1e6


def find_knee(part: Part, round_s: Callable[[int], float], *, most: int) -> dict[str, Any]:
    """Return the largest power of two within twice one member's time, and all times."""
    taken_s = {1: round_s(1)}

    def within(members: int) -> bool:
        taken_s[members] = round_s(members)
        return taken_s[members] <= TWICE * taken_s[1]

    knee, members = 1, 4
    while members <= most and part.left_s > 0 and within(members):
        knee, members = members, 4 * members
    # One more power of two lies between the last size within the limit and the first beyond it.
    if members <= most and part.left_s > 0 and within(members // 2):
        knee = members // 2
    return {"knee": knee, "round_s": taken_s}
