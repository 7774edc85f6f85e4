"""What the Trainer of transformers is refused, because a member could not be trained by it."""

from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

import ramet
from ramet.errors import MissingScore, ScoreError, StateError, TurnInterrupted, UsageError
from ramet.integrations.huggingface import Turns
from tests.integrations.hugging import Reader, trainer

# What accelerate says of a machine without an accelerator.
pytestmark = pytest.mark.filterwarnings("ignore")

RATES = ramet.Space(learning_rate=ramet.LogUniform(1e-3, 0.1))
STRATEGY = ramet.PBT(population=6, turn_steps=5, synchronous=True)


def run_badly(monitor: Any = "eval_loss", **settings: Any) -> None:
    ramet.run(
        lambda member: trainer(Reader(), Turns(member, monitor), **settings).train(),
        RATES,
        STRATEGY,
        steps=10,
        mode="max",
    )


def test_a_metric_that_no_evaluation_brings_is_refused_by_name() -> None:
    with pytest.raises(MissingScore, match=r"'eval_f1' is not among \[.*'eval_loss'.*compute_met"):
        run_badly("eval_f1")


def test_a_trainer_with_nothing_to_evaluate_on_is_refused_before_it_trains() -> None:
    class Untouched(Reader):
        def forward(self, input_ids: Any, labels: Any) -> Any:
            pytest.fail("it trains")

    def train(session: ramet.Session) -> None:
        made = trainer(Untouched(), Turns(session, "eval_loss"))
        made.eval_dataset = None
        made.train()

    with pytest.raises(MissingScore, match="no eval_dataset for 'eval_loss'; pass one"):
        ramet.run(train, RATES, STRATEGY, steps=10, mode="max")


@pytest.mark.parametrize(
    "saving",
    [
        {"save_strategy": "steps"},
        {"save_strategy": "epoch"},
        {
            "save_strategy": "best",
            "load_best_model_at_end": True,
            "metric_for_best_model": "eval_loss",
        },
    ],
)
def test_a_trainer_that_keeps_checkpoints_of_its_own_is_refused(saving: dict[str, Any]) -> None:
    refused = f"save_strategy is '{saving['save_strategy']}'; use save_strategy='no'"
    with pytest.raises(UsageError, match=refused):
        run_badly(**saving)
    assert not list(Path("out").iterdir())


@pytest.mark.parametrize("several", ["world_size", "n_gpu"])
def test_a_trainer_of_several_devices_is_refused(
    several: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere(Turns):
        def on_train_begin(self, args: TrainingArguments, *rest: Any, **at: Any) -> None:
            monkeypatch.setattr(TrainingArguments, several, 2)
            super().on_train_begin(args, *rest, **at)

    with pytest.raises(UsageError, match=r"uses 2, .* not torchrun, .*Processes\(2, gpus=1"):
        ramet.run(
            lambda member: trainer(Reader(), Elsewhere(member, "eval_loss")).train(),
            RATES,
            STRATEGY,
            steps=10,
            mode="max",
        )


def test_a_trainer_that_ends_early_is_refused() -> None:
    with pytest.raises(TurnInterrupted, match=r"at step 4 of turn 0 .* raise max_steps"):
        run_badly(max_steps=3)


def test_a_schedule_that_goes_by_scores_is_refused() -> None:
    with pytest.raises(StateError, match="ReduceLROnPlateau depends on evaluations"):
        run_badly(
            lr_scheduler_type="reduce_lr_on_plateau",
            eval_strategy="steps",
            eval_steps=5,
            metric_for_best_model="loss",
        )


def test_a_score_function_that_returns_nothing_is_refused_with_advice_that_fits() -> None:
    with pytest.raises(ScoreError, match=r"the function that monitor= names.* raise evaluate_ev"):
        run_badly(lambda model: None)
