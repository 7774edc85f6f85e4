"""Measure everything that needs a GPU.

    python -m benchmarks.device --json --out figures
    python -m benchmarks.device --json --out figures --small   # tries the script on a CPU

Each part runs in a process of its own, so that one that fails or hangs costs no other, and writes
each figure to ``device.jsonl`` at once. What parts say goes to ``device.log``. Without a GPU
everything is measured on the CPU.
"""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.device import convolutions, jax_mlp, knee, machine, ppo, sharing, torch_mlp
from benchmarks.device.writing import Part
from benchmarks.reporting import parser

# What is measured, the most important first, and for how long at most.
PARTS: dict[str, tuple[Callable[[Part], None], float]] = {
    "machine": (machine.measure, 20),
    "jax": (jax_mlp.measure, 50),
    "torch": (torch_mlp.measure, 62),
    "sharing": (sharing.measure, 40),
    "jax-convolutions": (functools.partial(convolutions.measure, framework="jax"), 60),
    "torch-convolutions": (functools.partial(convolutions.measure, framework="torch"), 60),
    "ppo": (ppo.measure, 60),
    "knee": (knee.measure, 60),
}
# What a process may take beyond its part's time before it is killed.
GRACE_S = 10.0
# How much longer parts may take where the script is only tried, on any machine.
SLOWER = 4


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--out", type=Path, required=True, help="a folder for the figures")
    options.add_argument("--small", action="store_true", help="measure little, to try the script")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options.add_argument("--limit-s", type=float, default=240, help="of all parts together")
    options.add_argument("--only", choices=PARTS, help="measure one part, in this process")
    chosen = options.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    if chosen.only:
        measure, _ = PARTS[chosen.only]
        limits = {"limit_s": chosen.limit_s, "small": chosen.small, "as_json": chosen.json}
        measure(Part(chosen.only, chosen.out, **limits))
        return
    ends_s = time.monotonic() + chosen.limit_s
    for name in chosen.parts:
        own_s = PARTS[name][1] * (SLOWER if chosen.small else 1)
        limit_s = min(own_s, ends_s - time.monotonic() - GRACE_S)
        part = Part(name, chosen.out, limit_s=limit_s, small=chosen.small, as_json=chosen.json)
        part.measure(functools.partial(in_a_process, name, limit_s, chosen.out), what="process")


def in_a_process(name: str, limit_s: float, out: Path) -> dict[str, object]:
    """Measure a part in a process, and return how that ended."""
    own = ["--only", name, "--limit-s", f"{limit_s:.0f}"]
    command = [sys.executable, "-m", "benchmarks.device", *sys.argv[1:], *own]
    with (out / "device.log").open("a") as log:
        log.write(f"---- {name}\n")
        log.flush()
        # In a session of its own, so that what it started can be ended with it.
        part = subprocess.Popen(command, stderr=log, start_new_session=True)  # noqa: S603 - our own
        try:
            return {"rc": part.wait(max(limit_s, 1) + GRACE_S)}
        except subprocess.TimeoutExpired:
            return {"killed": f"it went on for {GRACE_S:.0f} s after its time"}
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(part.pid, signal.SIGKILL)
            part.wait()


if __name__ == "__main__":
    main()
