"""Members that the Trainer of transformers trains."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback

import ramet
import ramet.torch
from ramet.events import TurnEnded, canonical
from ramet.integrations.huggingface import Turns
from tests.integrations.hugging import SENTENCES, Reader, descend, trainer
from tests.values import STRICT

# What accelerate says of a machine without an accelerator.
pytestmark = pytest.mark.filterwarnings("ignore")

RATES = ramet.Space(learning_rate=ramet.LogUniform(1e-3, 0.1))
# All that TrainingArguments have of an optimiser's.
ALL = ramet.Space(
    learning_rate=ramet.LogUniform(1e-3, 0.1),
    weight_decay=ramet.Uniform(0.0, 0.1),
    adam_beta1=ramet.Uniform(0.5, 0.95),
    adam_beta2=ramet.Uniform(0.9, 0.999),
    adam_epsilon=ramet.LogUniform(1e-9, 1e-6),
    max_grad_norm=ramet.LogUniform(0.1, 10.0),
)


def pbt(population: int = 6, turn_steps: int = 5) -> ramet.PBT:
    return ramet.PBT(population=population, turn_steps=turn_steps, synchronous=True)


class Falling(nn.Module):
    """One weight whose gradient is 1, so that a step lowers it by the rate."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return {"loss": self.weight * 1.0, "logits": labels}


class Watching(TrainerCallback):
    """Looks at every step, between the optimiser's and what the turns make of it."""

    def __init__(self, turns: Turns, check: Callable[[ramet.Turn, float, Any], None]) -> None:
        self.turns, self.check, self.before = turns, check, 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **at: Any) -> None:
        self.before = at["model"].weight.item()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **at: Any) -> None:
        self.check(self.turns.turn, self.before - at["model"].weight.item(), at)


def falling(
    member: ramet.Session, check: Callable[[ramet.Turn, float, Any], None], **settings: Any
) -> None:
    turns = Turns(member, lambda model: turns.turn.hparams["learning_rate"])
    made = trainer(Falling(), turns, optim="sgd", max_grad_norm=0.0, **settings)
    made.add_callback(Watching(turns, check))
    made.train()


def test_every_step_uses_the_explored_rate_though_the_winners_optimizer_was_restored() -> None:
    falls: list[float] = []

    def check(turn: ramet.Turn, fall: float, at: Any) -> None:
        assert fall == pytest.approx(turn.hparams["learning_rate"])
        falls.append(fall)

    def train(session: ramet.Session) -> None:
        falling(session, check, lr_scheduler_type="constant")

    result = ramet.run(train, RATES, pbt(), steps=20, mode="max", seed=0, engine=STRICT)
    assert result.population.copies > 2
    assert max(falls) > 2 * min(falls)
    assert len(falls) == 6 * 20


def test_a_schedule_goes_by_the_steps_of_its_member() -> None:
    warm = {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 10}

    def check(turn: ramet.Turn, fall: float, at: Any) -> None:
        assert fall == pytest.approx(turn.hparams["learning_rate"] * min(1, (turn.step - 1) / 10))

    result = ramet.run(
        lambda member: falling(member, check, **warm),
        RATES,
        pbt(),
        steps=20,
        mode="max",
        seed=0,
        engine=STRICT,
    )
    assert result.population.copies


def test_arguments_go_where_the_trainer_reads_them() -> None:
    class Looking(TrainerCallback):
        def on_optimizer_step(self, args: Any, state: Any, control: Any, **at: Any) -> None:
            values = turns[-1].turn.hparams
            decaying, rest = at["optimizer"].param_groups
            for group in (decaying, rest):
                assert group["lr"] == pytest.approx(values["learning_rate"])
                assert group["betas"] == (values["adam_beta1"], values["adam_beta2"])
                assert group["eps"] == values["adam_epsilon"]
            assert decaying["weight_decay"] == values["weight_decay"]
            assert rest["weight_decay"] == 0.0
            assert args.max_grad_norm == values["max_grad_norm"]

    turns: list[Turns] = []

    def train(session: ramet.Session) -> None:
        turns.append(Turns(session, "eval_loss"))
        made = trainer(Reader(), turns[-1], lr_scheduler_type="constant")
        made.add_callback(Looking())
        made.train()

    ramet.run(train, ALL, pbt(), steps=10, seed=0, mode="min", engine=STRICT)


def test_gradients_are_clipped_at_the_explored_norm() -> None:
    space = ramet.Space(max_grad_norm=ramet.LogUniform(0.01, 0.5))

    def train(session: ramet.Session) -> None:
        def check(turn: ramet.Turn, fall: float, at: Any) -> None:
            assert fall == pytest.approx(0.5 * turn.hparams["max_grad_norm"], rel=1e-4)

        turns = Turns(session, lambda model: turns.turn.hparams["max_grad_norm"])
        made = trainer(
            Falling(), turns, optim="sgd", learning_rate=0.5, lr_scheduler_type="constant"
        )
        made.add_callback(Watching(turns, check))
        made.train()

    ramet.run(train, space, pbt(), steps=10, mode="max", seed=0, engine=STRICT)


def test_each_turn_begins_with_the_weights_that_its_member_has() -> None:
    began = []

    class Looking(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **at: Any) -> None:
            turn = turns[-1].turn
            if turn.step == turn.start + 1 and turn.checkpoint is not None:
                saved, live = turn.read_checkpoint()["model"], at["model"].state_dict()
                assert saved.keys() == live.keys()
                assert all((saved[name] == value.numpy()).all() for name, value in live.items())
                began.append(turn.checkpoint.member != turn.member)

    turns: list[Turns] = []

    def train(session: ramet.Session) -> None:
        turns.append(Turns(session, "eval_loss"))
        made = trainer(Reader(), turns[-1], seed=session.seed)
        made.add_callback(Looking())
        made.train()

    ramet.run(train, RATES, pbt(), steps=20, seed=0, mode="min")
    assert set(began) == {True, False}


def test_a_step_is_the_optimizers_and_the_trainer_evaluates_where_a_score_is_due() -> None:
    seen: list[str] = []

    class Counting(TrainerCallback):
        def on_substep_end(self, args: Any, state: Any, control: Any, **at: Any) -> None:
            seen.append("batch")

        def on_step_end(self, args: Any, state: Any, control: Any, **at: Any) -> None:
            seen.append("step")

        def on_evaluate(self, args: Any, state: Any, control: Any, **at: Any) -> None:
            seen.append("score")

    def train(session: ramet.Session) -> None:
        halves = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}
        made = trainer(Reader(), Turns(session, "eval_loss"), **halves)
        made.add_callback(Counting())
        made.train()

    strategy = ramet.RandomSearch(population=1, turn_steps=4, evaluate_every=2)
    result = ramet.run(train, RATES, strategy, steps=8, mode="max", seed=0)
    ended = [event for event in result.events if isinstance(event, TurnEnded)]
    assert [step for event in ended for step, _ in event.points] == [2, 4, 6, 8]
    assert seen == ["batch", "step", "batch", "step", "score"] * 4


@pytest.mark.parametrize("monitored", ["first", "second"])
def test_all_datasets_are_evaluated_on_one_member_whichever_has_the_metric(monitored: str) -> None:
    seen: list[tuple[int, int]] = []

    class Looking(TrainerCallback):
        def on_prediction_step(self, args: Any, state: Any, control: Any, **at: Any) -> None:
            seen.append((turns[-1].turn.member, turns[-1].turn.step))

    turns: list[Turns] = []

    def train(session: ramet.Session) -> None:
        turns.append(Turns(session, f"eval_{monitored}_loss"))
        made = trainer(Reader(), turns[-1], seed=session.seed)
        made.eval_dataset = {"first": SENTENCES, "second": SENTENCES}
        made.add_callback(Looking())
        made.train()

    ramet.run(train, RATES, pbt(), steps=10, seed=0, mode="min", engine=STRICT)
    assert seen[::2] == seen[1::2]
    assert sorted(seen[::2]) == [(member, step) for member in range(6) for step in (5, 10)]


def test_a_trainer_that_evaluates_by_itself_may_need_no_dataset() -> None:
    class Own(Trainer):
        def get_eval_dataloader(self, *given: Any) -> DataLoader[Any]:
            return self.get_test_dataloader(SENTENCES)

    def train(session: ramet.Session) -> None:
        made = trainer(Reader(), Turns(session, "eval_loss"), kind=Own, seed=session.seed)
        made.eval_dataset = None
        made.train()

    result = ramet.run(train, RATES, pbt(), steps=10, seed=0, mode="min", engine=STRICT)
    assert all(member.step == 10 for member in result.population.members)


def test_a_trainer_may_evaluate_on_fewer_datasets_than_it_has() -> None:
    class Own(Trainer):
        def evaluate(self, *given: Any, **named: Any) -> Any:
            return super().evaluate(self.eval_dataset["second"])

    def train(session: ramet.Session) -> None:
        made = trainer(Reader(), Turns(session, "eval_loss"), kind=Own, seed=session.seed)
        made.eval_dataset = {"first": SENTENCES, "second": SENTENCES}
        made.train()

    result = ramet.run(train, RATES, pbt(), steps=10, seed=0, mode="min", engine=STRICT)
    assert all(member.step == 10 for member in result.population.members)


@pytest.fixture
def alone() -> ramet.Result:
    return ramet.run(descend, ALL, pbt(), steps=20, seed=0, mode="min")


@pytest.mark.slow
def test_a_run_is_the_same_for_any_number_of_processes(alone: ramet.Result) -> None:
    together = ramet.run(
        descend, ALL, pbt(), steps=20, seed=0, mode="min", store="runs.db", workers=2
    )
    assert alone.population.copies
    assert canonical(together.events) == canonical(alone.events)


def test_the_best_is_a_model_that_was_trained(alone: ramet.Result) -> None:
    model = Reader().eval()
    ramet.torch.load_model(model, alone.best.load())
    batch = {name: torch.stack([one[name] for one in SENTENCES]) for name in SENTENCES[0]}
    assert model(**batch)["loss"].item() == pytest.approx(alone.best.score, rel=1e-5)


def test_code_that_raises_fails_its_member_and_the_run_goes_on() -> None:
    raised = []

    class Fragile(Falling):
        def forward(self, input_ids: Any, labels: Any) -> Any:
            if not raised:
                raised.append(True)
                raise RuntimeError("the loss is not what it was")
            return super().forward(input_ids, labels)

    result = ramet.run(
        lambda member: trainer(Fragile(), Turns(member, "eval_loss")).train(),
        RATES,
        pbt(),
        steps=10,
        mode="max",
        seed=0,
    )
    assert raised
    assert all(member.step == 10 for member in result.population.members)


def test_a_trainer_may_have_just_enough_steps() -> None:
    ramet.run(
        lambda member: trainer(Reader(), Turns(member, "eval_loss"), max_steps=10).train(),
        RATES,
        ramet.RandomSearch(population=1, turn_steps=5),
        steps=10,
        mode="max",
    )
