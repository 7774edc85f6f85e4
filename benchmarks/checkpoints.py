"""What keeping a checkpoint costs, against plainly writing and reading as many bytes.

    python -m benchmarks.checkpoints --mb 1 10 100 1000 --json

``save_ratio`` is the time that writing the same bytes to a file takes, over that of a state's way
there: encode, digest and put. Both wait for the disk, and the file's name, in the same way.
``load_ratio`` is the time of ``open().read()`` over that of get, decode and touching every page of
the arrays; get has read every byte for the digest. The page cache is warm in both, since a
benchmark may not drop it: a cold disk would hide what ramet does. ``thaw_ratio`` has the copy that
training may write on in it, which the plain side does not make.
``peak_ratio`` is the most memory that saving and loading took at once beyond the state, over its
size, in a process of its own. That is memory without a file behind it (RssAnon): the page cache is
the kernel's, which takes it back when it needs it. Loading takes a state's size, because a mapped
file would end the process where the disk cannot read it.
``exploit_ms`` is what the commit that ends a synchronous round takes longer when one of two members
copies the other: the decision, and a row that names the other's checkpoint, whatever its size.
Ratios are medians over rounds, in each of which every side has its turn.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from benchmarks.reporting import parser, report
from ramet.blobs import DirectoryBlobs
from ramet.digest import Buffer, digest
from ramet.population import Checkpoint
from ramet.state import decode, encode, thaw

LAYERS = 4
PAGE = 4096


def state(mb: float) -> dict[str, Any]:
    """Return a state of this size: layers with a matrix and a vector each."""
    rng = np.random.default_rng(0)
    rows = int(mb * 1e6 / 4 / LAYERS / 257)
    return {
        "layers": {
            f"layer{number}": {
                "w": rng.random((rows, 256), np.float32),
                "b": rng.random(rows, np.float32),
            }
            for number in range(LAYERS)
        },
        "step": 1000,
    }


def save(blobs: DirectoryBlobs, tree: Any, turn: int = 0) -> str:
    chunks = encode(tree)
    key = Checkpoint(member=0, turn=turn, step=0, digest=digest(chunks)).key
    blobs.put("run", key, chunks)
    return key


def load(blobs: DirectoryBlobs, key: str) -> Any:
    tree = decode(blobs.get("run", key))
    for layer in tree["layers"].values():
        for array in layer.values():
            array.data.cast("B")[::PAGE].tobytes()
    return tree


def write_plainly(path: Path, chunks: list[Buffer]) -> None:
    """Write as DirectoryBlobs does, without a digest, a lock or a second name."""
    with path.open("wb") as file:
        file.writelines(chunks)
        file.flush()
        os.fdatasync(file.fileno())
    descriptor = os.open(path.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def read_plainly(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read()


def rounds(times: int, *sides: Callable[[int], object]) -> list[list[float]]:
    """Return the seconds that each side takes, given the round's number, as they take turns."""
    taken: list[list[float]] = [[] for _ in sides]
    for number in range(times):
        pairs = list(zip(sides, taken, strict=True))
        # In alternating order, because a disk is slower after it was written to.
        for side, seconds in pairs if number % 2 else reversed(pairs):
            began = time.perf_counter()
            side(number)
            seconds.append(time.perf_counter() - began)
    return taken


def ratio(plain: list[float], ours: list[float]) -> float:
    """Return the median over the rounds, which a disk that becomes slower does not distort."""
    return statistics.median(one / other for one, other in zip(plain, ours, strict=True))


def exploit_ms(folder: Path, mb: float, times: int) -> float:
    """Return how much longer the end of a round takes if one member copies the other.

    The one that is copied left a state of this size; the one that copies leaves next to nothing,
    so that saving it does not drown what is measured.
    """
    run = ramet.open(
        ramet.Storage(folder / "runs.db", durability="process"),
        space=ramet.Space(lr=ramet.Uniform(0.0, 1.0)),
        strategy=ramet.PBT(
            population=2, turn_steps=1, synchronous=True, exploit=ramet.BinaryTournament()
        ),
        steps=2 * times + 1,
        mode="max",
        seed=0,
    )
    tree = state(mb)

    def round_taking(*, copies: bool) -> float:
        first, last = run.ask(), run.ask()
        if first is None or last is None:
            raise RuntimeError("a round must have two turns")
        list(first)
        list(last)
        run.tell(first, 1.0, state=tree, applied=["lr"])
        before, began = run.population.copies, time.perf_counter()
        run.tell(last, 0.0 if copies else 1.0, state={"turn": last.number}, applied=["lr"])
        seconds = time.perf_counter() - began
        if run.population.copies - before != copies:
            raise RuntimeError("who scored less must have copied, and nobody else")
        return seconds

    extra = []
    for number in range(times):
        # In alternating order, because old checkpoints are pruned now and then.
        copied_first = number // 2 % 2 == 1
        seconds = {
            copies: round_taking(copies=copies) for copies in (copied_first, not copied_first)
        }
        extra.append(seconds[True] - seconds[False])
    return statistics.median(extra) * 1e3


def anonymous_bytes() -> int:
    """Return the memory of this process that no file is behind."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("peak_ratio needs RssAnon in /proc/self/status, which Linux has")


def peak_ratio(folder: Path, mb: float) -> float:
    """Save and load once while another thread watches; return the peak over the state's size."""
    tree = state(mb)
    before, seen, done = anonymous_bytes(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.0005):
            seen[0] = max(seen[0], anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    blobs = DirectoryBlobs(folder)
    held = load(blobs, save(blobs, tree))
    seen[0] = max(seen[0], anonymous_bytes())
    done.set()
    watcher.join()
    del held
    return max(0, seen[0] - before) / size(tree)


def size(tree: Any) -> int:
    return sum(array.nbytes for layer in tree["layers"].values() for array in layer.values())


def peak_ratio_elsewhere(folder: Path, mb: float) -> float:
    command = [sys.executable, "-m", "benchmarks.checkpoints", "--folder", os.fspath(folder)]
    command += ["--mb", str(mb), "--peak"]
    run = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    return float(run.stdout)


def measure(folder: Path, mb: float, times: int) -> dict[str, object]:
    """Return the figures of a state of this size; each save is a new file, as in a run."""
    tree, blobs, plain = state(mb), DirectoryBlobs(folder), folder / "plain"
    plain.mkdir()
    chunks, key = encode(tree), save(blobs, tree)
    wrote, saved = rounds(
        times,
        lambda number: write_plainly(plain / str(number), chunks),
        lambda number: save(blobs, tree, number),
    )
    read, loaded, thawed = rounds(
        times,
        lambda _: read_plainly(plain / "0"),
        lambda _: load(blobs, key),
        lambda _: thaw(decode(blobs.get("run", key))),
    )
    return {
        "mb": mb,
        "save_ratio": ratio(wrote, saved),
        "load_ratio": ratio(read, loaded),
        "thaw_ratio": ratio(read, thawed),
        "exploit_ms": exploit_ms(folder, mb, min(times, 50)),
        "peak_ratio": peak_ratio_elsewhere(folder, mb),
        "save_ms": statistics.median(saved) * 1e3,
        "load_ms": statistics.median(loaded) * 1e3,
    }


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--mb", type=float, nargs="+", default=[1, 10, 100, 1000])
    made.add_argument("--times", type=int, default=0, help="rounds; by size unless given")
    made.add_argument("--folder", type=Path, help="on the disk to measure; the working directory's")
    made.add_argument("--peak", action="store_true", help="print peak_ratio in this very process")
    return made


def main() -> None:
    chosen = options().parse_args()
    for mb in chosen.mb:
        with tempfile.TemporaryDirectory(dir=chosen.folder or Path.cwd()) as made:
            if chosen.peak:
                print(peak_ratio(Path(made), mb))
                continue
            times = chosen.times or max(7, min(101, int(2000 / mb)))
            report(measure(Path(made), mb, times), as_json=chosen.json)


if __name__ == "__main__":
    main()
