"""A whole population as one program in PyTorch."""

import math
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch
from torch.func import functional_call, grad

import ramet
import ramet.torch
from ramet.engine.workers import vectorized
from ramet.errors import RametError, StateError, UsageError
from ramet.events import Conditions, Mapped, canonical
from tests.engine.loops import pbt
from tests.engine.scripts import findings_in
from tests.engine.stacked import cut_off, decisions, scores

SPACE = ramet.Space(lr=ramet.LogUniform(1e-3, 0.3), decay=ramet.Uniform(0.0, 0.1))
X = torch.linspace(-1, 1, 96).reshape(24, 4)
Y = torch.sin(3 * X).sum(dim=1, keepdim=True)


class Fit:
    """A small network that fits a curve from batches."""

    def __init__(self, optimizer: Any, device: str = "cpu") -> None:
        self.optimizer = optimizer
        self.x, self.y = X.to(device), Y.to(device)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1)
        )

    def init(self, rng: np.random.Generator) -> Any:
        params = {
            name: torch.tensor(0.3 * rng.normal(size=param.shape), dtype=torch.float32)
            for name, param in self.model.named_parameters()
        }
        return {"params": params, "optimizer": self.optimizer.init(params)}

    def draw(self, rng: np.random.Generator, steps: int) -> Any:
        return {"batch": rng.integers(len(X), size=(steps, 8))}

    def loss(self, params: Any, x: Any, y: Any) -> Any:
        return ((functional_call(self.model, params, (x,)) - y) ** 2).mean()

    def step(self, state: Any, hparams: Mapping[str, Any], drawn: Any) -> Any:
        batch = drawn["batch"]
        slopes = grad(self.loss)(state["params"], self.x[batch], self.y[batch])
        params, optimizer = self.optimizer.update(
            state["params"],
            slopes,
            state["optimizer"],
            lr=hparams["lr"],
            weight_decay=hparams["decay"],
        )
        return {"params": params, "optimizer": optimizer}

    def evaluate(self, state: Any) -> Any:
        return -self.loss(state["params"], self.x, self.y)


STRATEGIES = {
    "pbt": pbt(synchronous=True, evaluate_every=2),
    "fire": ramet.FIRE(turn_steps=8, evaluate_every=1, size=3),
}

VECTORIZED = ramet.Vectorized(chunk=4)


def together(strategy: ramet.Strategy, **settings: Any) -> ramet.Result:
    task = settings.pop("task", None)
    if task is None:
        optimizer = settings.pop("optimizer", ramet.torch.SGD())
        task = ramet.torch.Task(Fit(optimizer), device="cpu")
    engine = ramet.Vectorized(chunk=settings.pop("chunk", 4))
    defaults: dict[str, Any] = {"steps": 32, "mode": "max", "seed": 0, "engine": engine}
    return ramet.run(task, SPACE, strategy, **{**defaults, **settings})


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("optimizer", [ramet.torch.SGD(), ramet.torch.AdamW()])
def test_decisions_are_those_of_members_trained_one_by_one(name: str, optimizer: Any) -> None:
    one_by_one = together(STRATEGIES[name], optimizer=optimizer, engine=None)
    result = together(STRATEGIES[name], optimizer=optimizer)
    assert decisions(result) == decisions(one_by_one)
    assert scores(result.events) == pytest.approx(scores(one_by_one.events), rel=1e-3)


@pytest.mark.slow
def test_decisions_are_those_of_worker_processes(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    processes = together(STRATEGIES["pbt"], engine=None, workers=2, store=store)
    assert decisions(together(STRATEGIES["pbt"])) == decisions(processes)


def test_a_run_keeps_the_number_mapped_at_once_on_any_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, strategy = ramet.torch.Task(Fit(ramet.torch.SGD()), device="cpu"), STRATEGIES["pbt"]
    results = []
    for chunk in (2, 6):
        place: dict[str, Any] = {
            "task": task,
            "chunk": "auto",
            "store": tmp_path / f"{chunk}.db",
            "existing": "extend",
        }
        monkeypatch.setattr("ramet.mapping.chunks.fastest", lambda *_: 2)
        together(strategy, steps=16, **place)
        monkeypatch.setattr("ramet.mapping.chunks.fastest", lambda *_, chunk=chunk: chunk)
        results.append(together(strategy, **place))
    same, other = results
    mapped = [event.mapped for event in other.events if isinstance(event, Conditions)]
    assert mapped[1:] == [Mapped(chunk=2, of=6)]
    assert scores(other.events).tolist() == scores(same.events).tolist()


def conditions(result: ramet.Result) -> list[bool]:
    """Return what is on record about compiling, in the order of the log."""
    mapped = [event.mapped for event in result.events if isinstance(event, Conditions)]
    return [each.compiled for each in mapped if each is not None and each.compiled is not None]


def test_a_run_whose_steps_are_traced_is_the_same_to_the_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = together(STRATEGIES["pbt"])
    monkeypatch.setattr("ramet.torch.ways.TRACE_AFTER_S", 0.0)
    # The faster of two, by whatever clock.
    monkeypatch.setattr(
        "ramet.torch.ways.Ways._seconds", lambda _, trained, *__: isinstance(trained, FunctionType)
    )
    assert canonical(together(STRATEGIES["pbt"]).events) == canonical(plain.events)


@pytest.mark.slow
def test_a_run_whose_steps_are_compiled_says_so_and_keeps_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compiled, auto = (
        ramet.torch.Task(Fit(ramet.torch.SGD()), device="cpu", compile=way)
        for way in (True, "auto")
    )
    results = []
    for name, second in (("compiled", compiled), ("auto", auto)):
        place: dict[str, Any] = {"store": tmp_path / f"{name}.db", "existing": "extend"}
        first = together(STRATEGIES["pbt"], task=compiled, steps=16, **place)
        assert conditions(first) == [True]
        results.append(together(STRATEGIES["pbt"], task=second, **place))
    same, other = results
    assert conditions(other) == [True]
    assert scores(other.events).tolist() == scores(same.events).tolist()
    plain = ramet.torch.Task(Fit(ramet.torch.SGD()), device="cpu", compile=False)
    together(STRATEGIES["pbt"], task=plain, steps=48, **place)
    assert "compile=False, so that sums may be rounded differently" in caplog.text


@pytest.mark.parametrize("told", [2, 5, 9, 17])
@pytest.mark.parametrize("chunk", [4, 6])
def test_a_run_that_was_cut_off_within_a_round_goes_on_to_the_bit(
    told: int, chunk: int, tmp_path: Path
) -> None:
    strategy, store = STRATEGIES["pbt"], tmp_path / "runs.db"
    with cut_off(told):
        together(strategy, chunk=chunk, steps=24, store=store)
    result = together(strategy, chunk=chunk, steps=24, store=store)
    assert canonical(result.events) == canonical(together(strategy, chunk=chunk, steps=24).events)


@pytest.mark.parametrize("chunk", [1, 4, 99, "auto"])
def test_how_many_are_mapped_at_once_changes_nothing(chunk: Any) -> None:
    some, all_ = together(STRATEGIES["pbt"], chunk=chunk), together(STRATEGIES["pbt"], chunk=6)
    assert decisions(some) == decisions(all_)


@pytest.mark.parametrize("engines", [(VECTORIZED, None), (None, VECTORIZED)])
def test_a_run_goes_on_in_the_other_engine(engines: tuple[Any, Any], tmp_path: Path) -> None:
    whole, store = together(STRATEGIES["pbt"]), tmp_path / "runs.db"
    first, second = engines
    together(STRATEGIES["pbt"], engine=first, steps=16, store=store)
    result = together(STRATEGIES["pbt"], engine=second, existing="extend", store=store)
    assert result.population.done
    assert findings_in(store) == []
    before = len(scores(result.events)) // 2
    assert scores(result.events)[:before] == pytest.approx(scores(whole.events)[:before], rel=1e-3)


def test_the_best_can_be_loaded_and_is_what_it_scored() -> None:
    result = together(STRATEGIES["pbt"])
    fit = Fit(ramet.torch.SGD())
    params = {name: torch.tensor(w) for name, w in result.best.load()["params"].items()}
    assert float(-fit.loss(params, X, Y)) == pytest.approx(result.best.score, rel=1e-5)


def test_the_best_state_comes_back_as_the_tensors_that_it_was() -> None:
    result = together(STRATEGIES["pbt"])
    fit = Fit(ramet.torch.SGD())
    task = ramet.torch.Task(fit, device="cpu")
    for snapshot in (result.best, result.final, result.members[3]):
        state = task.as_state(snapshot.load())
        assert float(fit.evaluate(state)) == pytest.approx(snapshot.score, rel=1e-5)
    state["params"]["0.weight"].zero_()
    with pytest.raises(
        StateError, match="a checkpoint must have the structure that the task's init returns"
    ):
        ramet.torch.Task(Fit(ramet.torch.AdamW()), device="cpu").as_state(result.best.load())


def test_a_hyperparameter_that_no_step_reads_is_said(caplog: pytest.LogCaptureFixture) -> None:
    class Ignores(Fit):
        def step(self, state: Any, hparams: Mapping[str, Any], drawn: Any) -> Any:
            return super().step(state, {"lr": hparams["lr"], "decay": 0.0}, drawn)

    task = ramet.torch.Task(Ignores(ramet.torch.SGD()), device="cpu")
    for engine in (VECTORIZED, None):
        caplog.clear()
        together(STRATEGIES["pbt"], task=task, engine=engine, name=str(engine))
        assert "never read ['decay']" in caplog.text


@pytest.mark.parametrize("engine", [VECTORIZED, None])
def test_a_hyperparameter_that_is_no_number_is_named(engine: Any) -> None:
    space = ramet.Space(lr=ramet.LogUniform(1e-3, 0.3), decay=ramet.Choice(["low", "high"]))
    task = ramet.torch.Task(Fit(ramet.torch.SGD()), device="cpu")
    with pytest.raises(UsageError, match=r"must be numbers, but 'decay' may be 'low'"):
        ramet.run(task, space, STRATEGIES["pbt"], steps=8, mode="max", engine=engine)


@pytest.mark.parametrize("functions", [Fit, object(), None])
def test_a_task_without_functions_is_refused(functions: Any) -> None:
    with pytest.raises(UsageError, match="the methods init, draw, step and evaluate"):
        ramet.torch.Task(functions)


@pytest.mark.parametrize("chunk", [0, 2.5, True, "all"])
def test_a_chunk_that_is_none_is_refused(chunk: Any) -> None:
    with pytest.raises(RametError, match="chunk must be a whole number"):
        ramet.Vectorized(chunk=chunk)


@pytest.mark.parametrize(
    ("use", "law"),
    [
        (lambda h: 1 if h["lr"] > 0.1 else 2, r"hyperparameter \['lr'\] is used"),
        (lambda h: h["decay"].item(), r"hyperparameter \['decay'\] is used"),
        (lambda h: np.asarray(h["lr"]), r"hyperparameter \['lr'\] is used"),
        (lambda h: torch.randn(3), "draw all random numbers in draw"),
    ],
)
def test_what_cannot_be_mapped_is_named(use: Any, law: str) -> None:
    class Unmappable(Fit):
        def step(self, state: Any, hparams: Mapping[str, Any], drawn: Any) -> Any:
            use(hparams)
            return super().step(state, hparams, drawn)

    task = ramet.torch.Task(Unmappable(ramet.torch.SGD()), device="cpu")
    with pytest.raises(UsageError, match=law):
        together(STRATEGIES["pbt"], task=task)


@pytest.mark.parametrize("engine", [VECTORIZED, None])
def test_a_state_of_another_shape_is_refused(engine: Any, tmp_path: Path) -> None:
    class Wider(Fit):
        def __init__(self, optimizer: Any) -> None:
            super().__init__(optimizer)
            self.model = torch.nn.Sequential(torch.nn.Linear(4, 7), torch.nn.Linear(7, 1))

    place: dict[str, Any] = {"store": tmp_path / "runs.db", "engine": engine}
    together(STRATEGIES["pbt"], steps=8, **place)
    wider = ramet.torch.Task(Wider(ramet.torch.SGD()), device="cpu")
    with pytest.raises(RametError, match=r"was saved as .* and is .* now"):
        together(STRATEGIES["pbt"], task=wider, steps=16, existing="extend", **place)


def test_parameters_of_a_module_grow_no_graph() -> None:
    class Straight(Fit):
        def init(self, rng: np.random.Generator) -> Any:
            torch.manual_seed(int(rng.integers(99)))
            params = dict(self.model.named_parameters())
            return {"params": params, "optimizer": self.optimizer.init(params)}

    seen: list[bool] = []

    class Looks(Straight):
        def evaluate(self, state: Any) -> Any:
            seen.extend(weights.requires_grad for weights in state["params"].values())
            return super().evaluate(state)

    for engine in (VECTORIZED, None):
        task = ramet.torch.Task(Looks(ramet.torch.SGD()), device="cpu")
        together(STRATEGIES["pbt"], task=task, engine=engine, name=str(engine), steps=8)
    assert seen
    assert not any(seen)


@pytest.mark.parametrize("engine", [VECTORIZED, None])
@pytest.mark.parametrize(
    ("state", "law"),
    [
        ([torch.zeros(2)], "a task's state is of type list"),
        ({"layers": (torch.zeros(2), torch.zeros(2))}, r"state\['layers'\] is of type tuple"),
        (None, "a task's state is of type NoneType"),
    ],
)
def test_a_state_that_is_no_dict_is_refused(state: Any, law: str, engine: Any) -> None:
    class Other(Fit):
        def init(self, rng: np.random.Generator) -> Any:
            return state

    task = ramet.torch.Task(Other(ramet.torch.SGD()), device="cpu")
    with pytest.raises(UsageError, match=law):
        together(STRATEGIES["pbt"], task=task, engine=engine)


@pytest.mark.parametrize("engine", [VECTORIZED, None])
@pytest.mark.parametrize(
    ("drawn", "law"),
    [
        ({"batch": np.zeros((3, 8), int)}, r"a row for each step, 2 here, .* of shape \(3, 8\)"),
        ({"batch": 3}, r"a row for each step, 2 here, .* of shape \(\)"),
        (None, "what a task draws is of type NoneType"),
    ],
)
def test_draws_without_a_row_for_each_step_are_refused(drawn: Any, law: str, engine: Any) -> None:
    class Other(Fit):
        def draw(self, rng: np.random.Generator, steps: int) -> Any:
            return drawn

    task = ramet.torch.Task(Other(ramet.torch.SGD()), device="cpu")
    with pytest.raises(UsageError, match=law):
        together(STRATEGIES["pbt"], task=task, engine=engine)


def test_a_step_may_leave_nothing_to_chance() -> None:
    class Whole(Fit):
        def draw(self, rng: np.random.Generator, steps: int) -> Any:
            return {}

        def step(self, state: Any, hparams: Mapping[str, Any], drawn: Any) -> Any:
            return super().step(state, hparams, {"batch": torch.arange(8)})

    task = ramet.torch.Task(Whole(ramet.torch.SGD()), device="cpu")
    results = [together(STRATEGIES["pbt"], task=task, engine=each) for each in (None, VECTORIZED)]
    assert decisions(results[0]) == decisions(results[1])


@pytest.mark.parametrize(
    ("score", "law"),
    [
        (float, "evaluate must be one that torch.vmap can map"),
        (lambda loss: 0.5, "evaluate must be one that torch.vmap can map"),
        (lambda loss: torch.stack([loss, loss]), r"must return one number, but .* shape \(2,\)"),
    ],
)
def test_an_evaluate_that_returns_no_number_is_refused(score: Any, law: str) -> None:
    class Other(Fit):
        def evaluate(self, state: Any) -> Any:
            return score(super().evaluate(state))

    task = ramet.torch.Task(Other(ramet.torch.SGD()), device="cpu")
    with pytest.raises(UsageError, match=law):
        together(STRATEGIES["pbt"], task=task)


@pytest.mark.parametrize("engine", [VECTORIZED, None])
def test_a_step_that_makes_another_kind_of_state_is_refused(engine: Any) -> None:
    class Doubles(Fit):
        def step(self, state: Any, hparams: Mapping[str, Any], drawn: Any) -> Any:
            now = {**state, "seen": state["seen"].int()}
            return {**super().step(now, hparams, drawn), "seen": state["seen"].double() + 1}

        def init(self, rng: np.random.Generator) -> Any:
            return {**super().init(rng), "seen": torch.zeros((), dtype=torch.int32)}

    task = ramet.torch.Task(Doubles(ramet.torch.SGD()), device="cpu")
    with pytest.raises(UsageError, match=r"state\['seen'\] was int32\(\) and became float64\(\)"):
        together(STRATEGIES["pbt"], task=task, engine=engine)


@pytest.mark.parametrize("chunk", [4, "auto"])
@pytest.mark.parametrize("engine", [VECTORIZED, None])
def test_a_step_that_writes_on_what_it_is_given_is_refused(engine: Any, chunk: Any) -> None:
    class Writes(Fit):
        def step(self, state: Any, hparams: Mapping[str, Any], drawn: Any) -> Any:
            after = super().step(state, hparams, drawn)
            state["params"]["0.bias"].mul_(0.9)
            return after

    task = ramet.torch.Task(Writes(ramet.torch.SGD()), device="cpu")
    engine = engine and ramet.Vectorized(chunk=chunk)
    with pytest.raises(UsageError, match="but it changed a tensor in place; return new ones"):
        together(STRATEGIES["pbt"], task=task, engine=engine)


@pytest.mark.parametrize("engine", [VECTORIZED, None])
@pytest.mark.parametrize(
    ("returned", "law"),
    [
        (lambda after: None, "a task's step returns is of type NoneType"),
        (lambda after: {**after, "loss": 0.5}, r"a task's step returns\['loss'\] is of type float"),
        (lambda after: [after], "a task's step returns is of type list"),
    ],
)
def test_a_step_that_returns_no_tensors_is_refused(returned: Any, law: str, engine: Any) -> None:
    class Other(Fit):
        def step(self, state: Any, hparams: Mapping[str, Any], drawn: Any) -> Any:
            return returned(super().step(state, hparams, drawn))

    task = ramet.torch.Task(Other(ramet.torch.SGD()), device="cpu")
    with pytest.raises(UsageError, match=law):
        together(STRATEGIES["pbt"], task=task, engine=engine)


@pytest.mark.parametrize("engine", [VECTORIZED, None])
def test_gradients_from_elsewhere_are_refused_with_where_to_get_them(engine: Any) -> None:
    class Backward(Fit):
        def step(self, state: Any, hparams: Mapping[str, Any], drawn: Any) -> Any:
            self.loss(state["params"], X, Y).backward()

    task = ramet.torch.Task(Backward(ramet.torch.SGD()), device="cpu")
    with pytest.raises(UsageError, match=r"from torch\.func\.grad, because"):
        together(STRATEGIES["pbt"], task=task, engine=engine)


def test_what_would_raise_unmapped_too_is_raised_as_it_is() -> None:
    class Wrong(Fit):
        def step(self, state: Any, hparams: Mapping[str, Any], drawn: Any) -> Any:
            return state["weights"]

    task = ramet.torch.Task(Wrong(ramet.torch.SGD()), device="cpu")
    with pytest.raises(KeyError, match="weights"):
        together(STRATEGIES["pbt"], task=task)


def test_memory_of_the_machine_may_be_full_too() -> None:
    program = ramet.torch.Task(Fit(ramet.torch.SGD()), device="cpu").program(SPACE)
    full = (
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried"
    )
    for error in (RuntimeError(full), MemoryError(), torch.OutOfMemoryError("CUDA out of memory")):
        assert program.is_full(error)
    assert not program.is_full(RuntimeError("another"))


@pytest.mark.parametrize(
    ("chunk", "most", "law"),
    [
        (6, 2, "6 do not, and 1 would"),
        (6, 4, "6 do not, and 3 would"),
        (6, 0, "not even one member at a time"),
        ("auto", 0, "not even one member at a time"),
    ],
)
def test_what_does_not_fit_is_said_with_what_does(chunk: Any, most: int, law: str) -> None:
    class Greedy(Fit):
        """Takes memory for so many members at once and no more."""

        def step(self, state: Any, hparams: Mapping[str, Any], drawn: Any) -> Any:
            mapped = torch.func.debug_unwrap(hparams["lr"])
            if mapped.numel() > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().step(state, hparams, drawn)

    task = ramet.torch.Task(Greedy(ramet.torch.SGD()), device="cpu")
    with pytest.raises(UsageError, match=law):
        together(STRATEGIES["pbt"], task=task, chunk=chunk)


def test_members_are_not_spread_over_devices() -> None:
    with pytest.raises(UsageError, match="spread over devices by JAX only"):
        together(STRATEGIES["pbt"], engine=ramet.Vectorized(shard=True))


def test_an_array_has_one_more_axis() -> None:
    class Layers(Fit):
        def step(self, state: Any, hparams: Mapping[str, Any], drawn: Any) -> Any:
            rates = hparams["lr"]
            assert rates.shape == (2,)
            return super().step(state, {"lr": rates[0] + rates[1], "decay": 0.0}, drawn)

    space = ramet.Space(lr=ramet.Array(ramet.LogUniform(1e-3, 0.1), 2))
    settings: dict[str, Any] = {"steps": 16, "mode": "max", "seed": 0}
    strategy, task = pbt(synchronous=True), ramet.torch.Task(Layers(ramet.torch.functional.SGD()))
    one_by_one = ramet.run(task, space, strategy, **settings)

    result = ramet.run(task, space, strategy, engine=ramet.Vectorized(chunk=4), **settings)

    assert decisions(result) == decisions(one_by_one)
    assert result.population.unread == ()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("name", STRATEGIES)
def test_what_a_gpu_trains_while_the_last_round_is_written_comes_to_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for least in (math.inf, -1.0):
        monkeypatch.setattr(vectorized, "LEAST_TRAINING", least)
        task = ramet.torch.Task(Fit(ramet.torch.SGD(), "cuda"), device="cuda", compile=False)
        result = together(STRATEGIES[name], task=task, steps=320)
        assert decisions(result)
        # With the digests of all states.
        found.append(canonical(result.events))
    assert found[0] == found[1]
