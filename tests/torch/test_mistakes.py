"""The likeliest mistakes are answered with the line that works, before anything is trained."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR

import ramet
from ramet.errors import StateError, StateWarning, UsageError
from ramet.torch import State
from tests.torch.training import Net, sgd

RIGHT = "state = ramet.torch.State(model=model, optimizer=optimizer)"
SPACE = ramet.Space(lr=ramet.LogUniform(0.01, 0.1))


def run_with(make_state: Callable[[nn.Module, torch.optim.Optimizer], Any]) -> None:
    """Run a training function that loops over the turns of such a state."""

    def train(session: ramet.Session) -> None:
        model = nn.Linear(2, 1)
        state = make_state(model, torch.optim.SGD(model.parameters(), lr=0.1))
        for _ in session.turns(state):
            raise AssertionError("a turn was trained")

    ramet.run(train, SPACE, ramet.RandomSearch(population=1, turn_steps=1), steps=1, mode="max")


@pytest.mark.parametrize(
    ("make_state", "found"),
    [
        (lambda model, _: model, "got an object of type Linear; "),
        (lambda _, optimizer: optimizer, "got an object of type SGD; "),
        (lambda model, optimizer: (model, optimizer), "but state[0] is of type Linear; "),
        (lambda model, _: {"step": 0, "model": model}, "but state['model'] is of type Linear; "),
        (lambda _, optimizer: {"optimizer": optimizer}, "but state['optimizer'] is of type SGD; "),
        (lambda model, _: model.state_dict(), "but state['weight'] is of type Tensor; "),
        (
            lambda model, _: {"model": model.state_dict()},
            "but state['model']['weight'] is of type Tensor; ",
        ),
        (lambda _, optimizer: optimizer.state_dict(), "type dict; pass the optimizer itself"),
        (lambda model, _: list(model.parameters()), "but state[0] is of type Parameter; "),
        (ramet.State, "makes none by itself; "),
        (lambda model, _: ramet.Bound({"model": model}), "but state['model'] is of type Linear; "),
    ],
)
def test_objects_of_pytorch_in_place_of_a_state_are_answered_with_the_line_that_works(
    make_state: Callable[[nn.Module, torch.optim.Optimizer], Any], found: str
) -> None:
    with pytest.raises(StateError) as error:
        run_with(make_state)

    assert found in str(error.value)
    assert RIGHT in str(error.value)


@pytest.mark.parametrize(
    ("call", "found", "line"),
    [
        (lambda session, *parts: session.turns(*parts[:2]), "Linear, SGD; ", RIGHT),
        (
            lambda session, *parts: session.turns(*parts),
            "Linear, SGD, StepLR; ",
            "ramet.torch.State(model, optimizer, scheduler)",
        ),
        (
            lambda session, model, optimizer, _: session.turns(model=model, optimizer=optimizer),
            "model=Linear, optimizer=SGD; ",
            RIGHT,
        ),
        (lambda session, *_: session.turns(), "but got nothing; ", RIGHT),
        (
            lambda session, *_: session,
            "write for turn in session.turns(state)",
            "ramet.torch.State",
        ),
    ],
    ids=["two parts", "three parts", "keywords", "nothing", "the session itself"],
)
def test_turns_of_anything_but_one_state_are_answered_at_once(
    call: Callable[..., Any], found: str, line: str
) -> None:
    calls = 0

    def train(session: ramet.Session) -> None:
        nonlocal calls
        calls += 1
        model = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in call(session, model, optimizer, StepLR(optimizer, 1)):
            raise AssertionError("a turn was trained")

    with pytest.raises(UsageError) as error:
        ramet.run(train, SPACE, ramet.RandomSearch(population=1, turn_steps=1), steps=1, mode="max")

    assert found in str(error.value)
    assert line in str(error.value)
    assert calls == 1


def test_the_line_that_works_works() -> None:
    def train(session: ramet.Session) -> None:
        model = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        state = ramet.torch.State(model=model, optimizer=optimizer)
        for turn in session.turns(state):
            for _ in turn:
                loss = model(torch.ones(1, 2)).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if turn.evaluation_due:
                    turn.report(-loss.item())

    run = ramet.run(
        train, SPACE, ramet.RandomSearch(population=2, turn_steps=2), steps=4, mode="max"
    )

    assert run.best.score < 0


def test_a_scheduler_alone_is_answered_with_its_place_in_a_state() -> None:
    with pytest.raises(StateError, match=r"write state = .*State\(model, optimizer, scheduler\)"):
        run_with(lambda _, optimizer: StepLR(optimizer, 1))


def test_a_tensor_that_a_dict_gets_during_the_turn_is_answered_too() -> None:
    state = {"w": 0.0}
    state["w"] = torch.zeros(2)

    with pytest.raises(StateError) as error:
        ramet.state.freeze(state)

    assert "state['w'] is of type Tensor; " in str(error.value)
    assert RIGHT in str(error.value)


def test_objects_of_a_framework_are_recognised_without_importing_it() -> None:
    # In a process of its own, because tests have imported PyTorch.
    code = (
        "import sys, ramet.state\n"
        "Module = type('Module', (), {'__module__': 'torch.nn.modules.module'})\n"
        "try:\n    ramet.state.adapt({'model': type('Net', (Module,), {})()})\n"
        "except ramet.errors.StateError as error:\n    print(error)\n"
        "print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert RIGHT in said.stdout
    assert said.stdout.endswith("False\n")


def parts() -> tuple[Net, torch.optim.Optimizer]:
    model = Net()
    return model, sgd(model.parameters())


MODEL, OPTIMIZER = parts()


@pytest.mark.parametrize(
    ("arguments", "found", "remedy"),
    [
        ([OPTIMIZER], "first part .* of type SGD", RIGHT),
        ([OPTIMIZER, MODEL], "first part .* of type SGD", RIGHT),
        ([{"model": MODEL}], "first part .* of type dict", RIGHT),
        ([MODEL.state_dict()], "first part .* of type OrderedDict", RIGHT),
        ([MODEL, OPTIMIZER.state_dict()], "second part .* of type dict", RIGHT),
        (
            [MODEL, MODEL],
            "second part .* of type Net",
            "State(model, None, other)",
        ),
        (
            [MODEL, StepLR(OPTIMIZER, 1)],
            "second part .* of type StepLR",
            "State(model, optimizer, scheduler)",
        ),
        (
            [MODEL, [OPTIMIZER]],
            "second part .* of type list",
            "State(model, first, second)",
        ),
        (
            [MODEL, OPTIMIZER, {"schedule": StepLR(OPTIMIZER, 1)}],
            r"others\[0\]\['schedule'\], inside a container, is of type StepLR",
            "State(model, optimizer, scheduler)",
        ),
        (
            [MODEL, OPTIMIZER, [torch.zeros(2)]],
            r"others\[0\]\[0\], inside a container, is of type Tensor",
            "State(model, optimizer, other)",
        ),
        (
            [MODEL, OPTIMIZER, 3],
            r"others\[0\] is of type int",
            "leave out what training never changes",
        ),
    ],
)
def test_parts_in_the_wrong_place_are_answered_with_the_right_one(
    arguments: list[Any], found: str, remedy: str
) -> None:
    with pytest.raises(StateError, match=found) as error:
        State(*arguments)

    assert remedy in str(error.value)


def test_a_part_with_a_keyword_is_answered_with_its_place() -> None:
    model, optimizer = parts()

    with pytest.raises(StateError, match=r"got \['scheduler'\]; pass .* without a keyword"):
        State(model, optimizer, scheduler=StepLR(optimizer, 1))


def test_an_optimizer_of_another_model_is_named() -> None:
    _, optimizer = parts()

    with pytest.warns(StateWarning, match=r"SGD \(optimizer\) trains 6 that none .* in no optim"):
        State(Net(), optimizer)


def test_a_part_of_a_model_that_is_trained_beside_another_tensor_is_no_mistake() -> None:
    model, latent = Net(), torch.zeros(3, requires_grad=True)

    State(model, torch.optim.SGD([*model.head.parameters(), latent], lr=0.1))


def test_a_parameter_that_was_replaced_while_its_optimizer_trains_the_old_one_is_named() -> None:
    model, optimizer = parts()
    state = State(model, optimizer)
    state.capture()
    model.head.weight = nn.Parameter(torch.zeros(1, 8))

    with pytest.raises(StateError, match=r"but \['head\.weight'\] were replaced .*copy_\(values\)"):
        state.capture()


def test_a_parameter_that_was_replaced_in_its_optimizer_too_is_no_mistake() -> None:
    model, optimizer = parts()
    state = State(model, optimizer)
    old, new = model.head.weight, nn.Parameter(torch.zeros(1, 8))
    model.head.weight = new
    for group in optimizer.param_groups:
        group["params"] = [new if one is old else one for one in group["params"]]

    assert state.capture()["model"]["head.weight"].sum() == 0


@pytest.mark.parametrize(
    "bind", [["lr"], "lr", {"lr": torch.optim.SGD([torch.zeros(1)], lr=0.1)}, {"lr": nn.ReLU()}]
)
def test_what_is_no_place_is_refused_in_one_line(bind: Any) -> None:
    with pytest.raises(StateError, match=r"bind=\{|bound to") as error:
        State(nn.Linear(2, 1), bind=bind)
    assert len(str(error.value).splitlines()) == 1


def train_another(session: ramet.Session, *, model: bool) -> None:
    """Build an optimizer, or a model as well, in the loop, beside those of the state."""
    net = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for turn in session.turns(State(net, optimizer)):
        net = nn.Linear(2, 1) if model else net
        optimizer = torch.optim.SGD(net.parameters(), lr=turn.hparams["lr"])
        for _ in turn:
            net(torch.ones(1, 2)).square().mean().backward()
            optimizer.step()
        turn.report(0.0)


@pytest.mark.parametrize("model", [True, False])
def test_a_model_or_an_optimizer_that_is_built_in_the_loop_is_noticed(*, model: bool) -> None:
    strategy = ramet.RandomSearch(population=1, turn_steps=2)
    with pytest.warns(StateWarning, match=r"SGD \(optimizer\) took no step .* another SGD did"):
        ramet.run(lambda it: train_another(it, model=model), SPACE, strategy, steps=2, mode="max")


def test_an_optimizer_that_takes_no_step_is_not_blamed_for_steps_before_the_turn() -> None:
    model, optimizer = parts()
    other = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    state = State(model, optimizer)
    state.apply({"lr": 0.1})
    other.step()
    optimizer.step()
    state.capture()
    state.apply({"lr": 0.1})
    state.capture()


def test_a_step_of_the_optimizer_inside_a_wrapper_is_its_own() -> None:
    class Wrapper(torch.optim.Optimizer):
        def __init__(self, inner: torch.optim.Optimizer) -> None:
            self.inner, self.param_groups, self.state = inner, inner.param_groups, inner.state

        def step(self, closure: Any = None) -> None:
            self.inner.step()

    model, optimizer = parts()
    state = State(model, Wrapper(optimizer), bind={"lr": None})
    state.apply({"lr": 0.1})
    optimizer.step()
    state.capture()


def test_a_state_of_ones_own_may_inherit_from_the_protocol() -> None:
    class Own(ramet.State):
        def __init__(self, value: float) -> None:
            self.value = value

        def capture(self) -> float:
            return self.value

        def restore(self, tree: Any, /) -> None:
            self.value = tree

    assert Own(0.5).capture() == 0.5


def test_states_of_several_members_may_be_trained_in_turn_in_one_process() -> None:
    both = [(optimizer, State(model, optimizer)) for model, optimizer in (parts(), parts())]
    for optimizer, state in both:
        state.apply({"lr": 0.1})
        optimizer.step()
    for _, state in both:
        state.capture()


def test_a_state_without_a_model_is_answered_at_once() -> None:
    tried = []

    def train(session: ramet.Session) -> None:
        tried.append(session.member)
        for _ in session.turns(State()):
            raise AssertionError("a turn was trained")

    with pytest.raises(StateError) as error:
        ramet.run(train, SPACE, ramet.RandomSearch(population=1, turn_steps=1), steps=1, mode="max")

    assert "must have a model, but got none" in str(error.value)
    assert RIGHT in str(error.value)
    assert tried == [0]


def test_a_model_under_another_keyword_is_answered_with_the_keywords_that_there_are() -> None:
    with pytest.raises(StateError, match=r"must be model, optimizer, .* but got \['net'\]"):
        State(net=nn.Linear(2, 1))
