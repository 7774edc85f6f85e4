"""How the steps of all members are run: as Python calls them, traced, captured or compiled."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch.func import grad

from ramet.errors import UsageError
from ramet.events import Mapped
from ramet.mapping.chunks import Chunks
from ramet.torch import Task, graphs
from ramet.torch.graphs import Members, Replayed, capture_in_cuda_graph
from ramet.torch.ways import Plain, Ways

X = torch.linspace(-1, 1, 60).reshape(20, 3)
MEMBERS, STEPS = 4, 5


@functools.cache
def data(device: torch.device) -> torch.Tensor:
    """Return the data on a device; copying it there is no part of a step."""
    return X.to(device)


def loss(w: Any, x: Any) -> Any:
    return (torch.tanh(x @ w) ** 2).mean()


def step(state: Any, hparams: Any, drawn: Any) -> Any:
    slope = grad(loss)(state["w"], data(state["w"].device)[drawn["batch"]])
    return {"w": state["w"] - hparams["lr"] * slope, "steps": state["steps"] + 1}


def evaluate(state: Any) -> Any:
    return -loss(state["w"], data(state["w"].device))


class Counted:
    """A program's own functions, with the number of times that it trained."""

    def __init__(self, step: Callable[..., Any] = step) -> None:
        self.step, self.times = step, 0

    def advance(self, chunk: int, *members: Any) -> Any:
        return torch.vmap(self.step, chunk_size=chunk)(*members)

    def evaluate(self, chunk: int, states: Any) -> Any:
        return torch.vmap(evaluate, chunk_size=chunk)(states)

    def train(self, chunk: int, states: Any, hparams: Any, drawn: Any, steps: int) -> Any:
        self.times += 1
        for nth in range(steps):
            states = self.advance(chunk, states, hparams, {"batch": drawn["batch"][:, nth]})
        return states, self.evaluate(chunk, states)

    @property
    def plain(self) -> Plain:
        return Plain(self.train, self.advance, self.evaluate)


class Clock:
    """Seconds that a test lets pass."""

    at_s = 0.0

    def __call__(self) -> float:
        return self.at_s


def members(count: int = MEMBERS, steps: int = STEPS, device: str = "cpu") -> Members:
    rng = torch.Generator().manual_seed(0)
    states = {"w": torch.randn(count, 3, generator=rng), "steps": torch.zeros(count)}
    drawn = {"batch": torch.randint(len(X), (count, steps, 8), generator=rng)}
    hparams = {"lr": torch.linspace(0.01, 0.1, count)}
    parts = (states, hparams, drawn)
    states, hparams, drawn = (
        {name: leaf.to(device) for name, leaf in part.items()} for part in parts
    )
    return states, hparams, drawn


def run_at_once(run: Callable[[], None], _: Callable[[], Any]) -> Callable[[], None]:
    """Capture nothing: kernels run on a CPU whenever they are replayed."""
    return run


def ways_of(counted: Counted, clock: Clock | None = None, **settings: Any) -> Ways:
    chunks = settings.pop("chunks", None) or Chunks(MEMBERS, lambda _: False)
    given: dict[str, Any] = {"compile": False, "device": "cpu", "now": clock or Clock()} | settings
    return Ways(counted.plain, chunks, **given)


def is_same(one: Any, other: Any) -> bool:
    (states, scores), (others, other_scores) = one, other
    return all(torch.equal(states[name], others[name]) for name in states) and torch.equal(
        scores, other_scores
    )


@pytest.mark.parametrize("chunk", [2, 3, 4])
def test_replayed_steps_come_to_the_same_as_plain_ones(chunk: int) -> None:
    counted = Counted()
    expected = counted.train(chunk, *members(), STEPS)
    ways = ways_of(counted, capture=run_at_once)
    assert is_same(ways.train(chunk, members(), STEPS), expected)
    before = counted.times
    assert is_same(ways.train(chunk, members(), STEPS), expected)
    assert counted.times == before


def test_fewer_steps_and_other_numbers_of_members_are_replayed_too() -> None:
    counted = Counted()
    ways = ways_of(counted, capture=run_at_once)
    for count, steps in [(4, 5), (4, 2), (3, 5), (4, 7), (2, 1)]:
        given = members(count, steps)
        expected = counted.train(count, *given, steps)
        assert is_same(ways.train(count, given, steps), expected)


def test_what_is_replayed_writes_on_nothing_that_it_returned_before() -> None:
    ways = ways_of(Counted(), capture=run_at_once)
    states, scores = ways.train(4, members(), STEPS)
    kept = states["w"].clone(), scores.clone()
    ways.train(4, (states, *members()[1:]), STEPS)
    assert torch.equal(states["w"], kept[0])
    assert torch.equal(scores, kept[1])


def test_steps_that_cannot_be_captured_run_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(run: Callable[[], None], rewind: Callable[[], Any]) -> Callable[[], None]:
        raise RuntimeError("operation not permitted when stream is capturing")

    counted = Counted()
    ways = ways_of(counted, capture=refuse)
    expected = counted.train(4, *members(), STEPS)
    for _ in range(2):
        assert is_same(ways.train(4, members(), STEPS), expected)
    assert caplog.text.count("not permitted when stream is capturing") == 1


def test_a_step_that_depends_on_something_else_is_not_replayed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[None] = []

    def counting(state: Any, hparams: Any, drawn: Any) -> Any:
        calls.append(None)
        return step(state, {"lr": hparams["lr"] * len(calls)}, drawn)

    ways_of(Counted(counting), capture=run_at_once).train(4, members(), STEPS)
    assert "depend on more than its state" in caplog.text


def test_on_a_cpu_steps_are_traced_once_a_run_has_lasted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted, clock = Counted(), Clock()
    ways = ways_of(counted, clock)
    monkeypatch.setattr(ways, "_seconds", lambda trained, *_: type(trained).__name__ == "function")
    expected = counted.train(4, *members(), STEPS)
    assert is_same(ways.train(4, members(), STEPS), expected)
    clock.at_s = 60.0
    assert is_same(ways.train(4, members(), STEPS), expected)
    before = counted.times
    assert is_same(ways.train(4, members(), STEPS), expected)
    assert counted.times == before


def test_members_that_are_trained_one_by_one_are_not_traced() -> None:
    counted = Counted()
    ways = ways_of(counted, capture=run_at_once)
    ways.train(1, members(), STEPS)
    assert counted.times == 1


@pytest.mark.parametrize(("compiled_s", "chosen"), [(0.1, True), (0.95, False)])
def test_compiling_is_measured_and_recorded_once_a_run_has_lasted(
    compiled_s: float, *, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[Mapped] = []
    chunks, clock = Chunks(MEMBERS, lambda _: False), Clock()

    def record(new: Mapped) -> list[Mapped]:
        recorded.append(new)
        return recorded

    chunks.keep_to("lm", [Mapped(chunk=MEMBERS)], record)
    ways = ways_of(Counted(), clock, compile="auto", chunks=chunks, capture=run_at_once)
    # Compiling itself is tested below.
    monkeypatch.setattr("torch.compile", lambda program, **_: program)
    taken_s = iter([compiled_s, 1.0])
    monkeypatch.setattr(ways, "_seconds", lambda *_: next(taken_s))
    ways.train(4, members(), STEPS)
    assert recorded == []
    clock.at_s = 60.0
    ways.train(4, members(), STEPS)
    assert recorded == []  # Not within a turn, which would be trained in two ways.
    ways.begin_turn()
    ways.train(4, members(), STEPS)
    assert recorded == [Mapped(chunk=MEMBERS, compiled=chosen)]


def test_a_run_keeps_to_what_it_has_on_record_about_compiling() -> None:
    chunks = Chunks("auto", lambda _: False)
    on_record = [Mapped(chunk=2, of=4), Mapped(chunk=2, of=4, compiled=True)]
    chunks.keep_to("lm", on_record, lambda new: [*on_record, new])
    assert chunks.compiled
    chunks.record_compiled(compiled=False)
    assert chunks.compiled


def test_another_wish_than_what_is_on_record_is_said(caplog: pytest.LogCaptureFixture) -> None:
    chunks = Chunks("auto", lambda _: False)
    chunks.keep_to("lm", [Mapped(chunk=2, of=4, compiled=True)], lambda new: [new])
    chunks.keep_compiled(asked=False)
    assert not chunks.compiled
    assert "sums may be rounded differently" in caplog.text


def test_without_a_compiler_steps_are_not_compiled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(program: Any, **_: Any) -> Any:
        raise RuntimeError("no working C++ compiler")

    monkeypatch.setattr("torch.compile", fail)
    counted, clock = Counted(), Clock()
    chunks = Chunks(MEMBERS, lambda _: False)
    ways = ways_of(counted, clock, compile="auto", chunks=chunks, capture=run_at_once)
    clock.at_s = 60.0
    expected = counted.train(4, *members(), STEPS)
    assert is_same(ways.train(4, members(), STEPS), expected)
    assert chunks.compiled is False
    assert "no working C++ compiler" in caplog.text


@pytest.mark.slow
def test_compiled_steps_come_to_nearly_the_same() -> None:
    counted = Counted()
    chunks = Chunks(MEMBERS, lambda _: False)
    for capture in (None, run_at_once):
        ways = ways_of(counted, compile=True, chunks=chunks, capture=capture)
        ways.train(4, members(), STEPS)
        before = counted.times
        states, scores = ways.train(4, members(), STEPS)
        assert counted.times == before, "it was not compiled"
        expected, expected_scores = counted.train(4, *members(), STEPS)
        torch.testing.assert_close(states, expected)
        torch.testing.assert_close(scores, expected_scores)


def test_how_to_compile_must_be_one_of_three() -> None:
    class Functions:
        init = draw = step = evaluate = staticmethod(lambda *_: {})

    with pytest.raises(UsageError, match="True, False or 'auto'"):
        Task(Functions(), compile="always")


def test_others_go_on_once_many_steps_are_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, given, queued = Counted(), members(steps=9), []
    monkeypatch.setattr(graphs, "HEAD_START", 6)

    def advance(*parts: Any) -> Any:
        return counted.advance(4, *parts)

    def evaluate(states: Any) -> Any:
        return counted.evaluate(4, states)

    def capture(run: Callable[[], None], _: Callable[[], Any]) -> Callable[[], None]:
        def replay() -> None:
            queued.append("step")
            run()

        return replay

    with torch.no_grad():
        replayed = Replayed(advance, evaluate, given, compiled=False, capture=capture)
        replayed(*given, 9, busy=lambda: queued.append("busy"))
    # The last replay is the evaluation.
    assert queued.index("busy") == 6
    assert queued.count("step") == 10


@pytest.mark.parametrize("chunk", [1, 4])
def test_others_go_on_while_python_runs_each_step(chunk: int) -> None:
    counted, seen = Counted(), []
    ways = ways_of(counted)
    ways.begin_turn(lambda: seen.append(counted.times))
    ways.train(chunk, members(), STEPS)
    assert seen[0] == 0


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@needs_cuda
# PyTorch warns of its own code, which it imports when it compiles first.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("compiled", [False, True])
def test_steps_in_a_cuda_graph_come_to_the_same(*, compiled: bool) -> None:
    counted, given = Counted(), members(device="cuda")

    def advance(*parts: Any) -> Any:
        return counted.advance(4, *parts)

    def score(states: Mapping[str, torch.Tensor]) -> Any:
        return counted.evaluate(4, states)

    with torch.no_grad():
        expected, expected_scores = counted.train(4, *given, STEPS)
        capture: Any = capture_in_cuda_graph
        replayed = Replayed(advance, score, given, compiled=compiled, capture=capture)
        for _ in range(2):
            states, scores = replayed(*given, STEPS)
            torch.testing.assert_close(states, expected)
            torch.testing.assert_close(scores, expected_scores)


@needs_cuda
def test_a_step_that_copies_from_the_host_comes_to_the_same_on_a_gpu() -> None:
    def copying(state: Any, hparams: Any, drawn: Any) -> Any:
        copied = torch.from_numpy(np.ones(3, np.float32)).to(state["w"].device)
        return step({**state, "w": state["w"] * copied}, hparams, drawn)

    counted, given = Counted(copying), members(device="cuda")
    with torch.no_grad():
        expected = counted.train(4, *given, STEPS)
        ways = ways_of(counted, device="cuda")
        states, _ = ways.train(4, given, STEPS)
        torch.testing.assert_close(states, expected[0])
