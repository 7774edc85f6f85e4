"""PyTorch: the mapped step of a population eager, traced, in a CUDA graph, and compiled in one.

Batches are drawn on the device, from keys.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import vectorized
from benchmarks.device.writing import Part, seconds
from benchmarks.nets import InTorch

# Steps of a measurement, and of a turn of a whole run.
STEPS, TURN_STEPS = 200, 1_000
# Rounds of a whole run that are timed at least.
ROUNDS = 20
# How each step is run, and how many a graph holds.
WAYS = ("graph", "graph of 10", "compiled graph", "compiled graph of 10", "eager", "traced")
WAYS_CONV = ("graph", "compiled graph", "eager")


def measure(part: Part) -> None:
    many = [4] if part.small else [1_024, 32]
    steps = 10 if part.small else STEPS
    for compiled, members in itertools.product((True, False), many):
        graph = "compiled graph" if compiled else "graph"
        _measure_ways(part, "mlp", members, steps, [graph])
        run = functools.partial(through_ramet, members, compiled=compiled, small=part.small)
        how = "ramet, compiled" if compiled else "ramet"
        part.measure(run, net="mlp", members=members, how=how, needs_s=18)
    _measure_ways(part, "mlp", 1, steps, WAYS)
    for members in many:
        _measure_ways(part, "mlp", members, steps, WAYS)
    for members in (*many, 1):
        _measure_ways(part, "conv", members, steps, WAYS_CONV)


def _measure_ways(part: Part, net: str, members: int, steps: int, ways: Sequence[str]) -> None:
    for how in ways:
        part.measure(
            functools.partial(rate, net, members, how, steps),
            net=net,
            members=members,
            how=how,
            needs_s=15 if how.startswith("compiled") else 8,
        )


def device() -> str:
    import torch  # noqa: PLC0415 - only where it is measured

    return "cuda" if torch.cuda.is_available() else "cpu"


def population(net: str, members: int, steps: int) -> tuple[Any, Any, Any]:
    """Return the states of members, their hyperparameters and what they draw."""
    import torch  # noqa: PLC0415 - as above
    from torch.utils._pytree import tree_map  # noqa: PLC0415 - as above

    functions, on = InTorch(net, device(), keyed=True), device()
    rngs = [np.random.default_rng(member) for member in range(members)]

    def stacked(trees: list[Any]) -> Any:
        return tree_map(lambda *each: torch.stack(each).to(on), *trees)

    states = stacked([functions.init(rng) for rng in rngs])
    drawn = stacked(
        [tree_map(torch.as_tensor, functions.draw(rng, steps)) for rng in rngs],
    )
    lr, decay = torch.linspace(1e-3, 0.1, members), torch.linspace(1e-6, 1e-2, members)
    return states, {"lr": lr.to(on), "weight_decay": decay.to(on)}, drawn


def rate(net: str, members: int, how: str, steps: int) -> dict[str, Any]:
    """Return the steps a second of all members, and how far weights are from those of eager."""
    import torch  # noqa: PLC0415 - as above

    from ramet.torch.graphs import Replayed, capture_in_cuda_graph  # noqa: PLC0415 - as above

    functions, own = InTorch(net, device(), keyed=True), population(net, members, steps)
    step, evaluate = torch.vmap(functions.step), torch.vmap(functions.evaluate)
    each = 10 if how.endswith("of 10") else 1

    def capture(run: Any, rewind: Any) -> Any:
        def run_each() -> None:
            for _ in range(each):
                run()

        if device() == "cuda" and "graph" in how:
            return capture_in_cuda_graph(run_each, rewind)
        return run_each

    def eager(states: Any, hparams: Any, drawn: Any, times: int) -> Any:
        for nth in range(times):
            states = step(states, hparams, {"key": drawn["key"][:, nth]})
        return states, evaluate(states)

    with torch.no_grad():
        few = min(10, steps)
        expected = eager(*own, few)[0]
        trained: Any = eager
        if how != "eager":
            compiled = how.startswith("compiled")
            trained = Replayed(step, evaluate, own, compiled=compiled, capture=capture)
        got = trained(*own, few // each)[0]
        off = max(
            float((got["params"][name] - weight).abs().max())
            for name, weight in expected["params"].items()
        )
        taken_s = seconds(lambda: trained(*own, steps // each)[1].sum().item(), lambda score: score)
    return {
        "steps_per_s": members * steps / taken_s,
        "us_per_step": 1e6 * taken_s / steps,
        "off_after_few_steps": off,
    }


def through_ramet(members: int, *, compiled: bool, small: bool) -> dict[str, Any]:
    """Return the steps a second of a whole run, and what drawing a step's batches takes."""
    import ramet.torch  # noqa: PLC0415 - as above

    vectorized.TURN_STEPS["torch", "mlp"] = turn_steps = 10 if small else TURN_STEPS
    vectorized.TIMED["torch", "mlp"] = 10 if small else 6_000
    functions = InTorch("mlp", device(), keyed=True)
    steps_per_s, outside = vectorized.rate_together(
        ramet.torch.Task(functions, compile=compiled),
        ("torch", "mlp"),
        members,
        least_rounds=ROUNDS,
    )
    rng = np.random.default_rng(0)
    draw_s = seconds(lambda: functions.draw(rng, turn_steps), lambda drawn: drawn)
    return {
        "steps_per_s": steps_per_s,
        "outside_share": outside,
        "draw_us_per_step": 1e6 * draw_s * members / turn_steps,
    }
