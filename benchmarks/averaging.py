"""What averaging weights costs: steps of an optimizer with an average, and without.

    python -m benchmarks.averaging --megabytes 1 10 100

``step_s`` is a step of AdamW alone, without the gradients. ``average_s`` is what the average adds
to it. ``evaluation_s`` is what it takes to have the averaged weights in the model, and then its own
again.
"""

import time
from collections.abc import Callable
from typing import Any

import torch

import ramet
import ramet.torch
from benchmarks.reporting import parser, report
from benchmarks.torch_state import model

STEPS = 30


def measure(megabytes: int, device: str) -> dict[str, Any]:
    nets = [model(megabytes).to(device) for _ in range(2)]
    optimizers = [torch.optim.AdamW(net.parameters()) for net in nets]
    for net in nets:
        for param in net.parameters():
            param.grad = torch.rand_like(param)
    # The second optimizer is the state's.
    state = ramet.torch.State(nets[1], optimizers[1], average=ramet.PolynomialAverage())

    def evaluate() -> None:
        with state.averaged():
            pass

    step_s, with_average_s, evaluation_s = take_turns(
        optimizers[0].step, optimizers[1].step, evaluate, device=device
    )
    return {
        "megabytes": megabytes,
        "device": device,
        "step_s": step_s,
        "average_s": with_average_s - step_s,
        "evaluation_s": evaluation_s,
    }


def take_turns(*functions: Callable[[], object], device: str) -> list[float]:
    """Return the fewest seconds that each function takes, called in turn."""
    taken_s: list[list[float]] = [[] for _ in functions]
    for _ in range(STEPS):
        for function, own_s in zip(functions, taken_s, strict=True):
            began_s = time.perf_counter()
            function()
            if device != "cpu":
                torch.cuda.synchronize(device)
            own_s.append(time.perf_counter() - began_s)
    return [min(own_s) for own_s in taken_s]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--megabytes", type=int, nargs="+", default=[1, 10, 100])
    options.add_argument("--device", default="cpu")
    chosen = options.parse_args()
    for megabytes in chosen.megabytes:
        report(measure(megabytes, chosen.device), as_json=chosen.json)


if __name__ == "__main__":
    main()
