"""Models that the Trainer of transformers trains, as worker processes find them too."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import PrinterCallback, Trainer, TrainingArguments

import ramet
import ramet.torch
from ramet.integrations.huggingface import Turns

# Sixteen sentences, and whether their first word is one of the later half.
SENTENCES = [
    {"input_ids": torch.tensor([nth, 3 * nth % 16, 1]), "labels": torch.tensor(int(nth > 7))}
    for nth in range(16)
]


class Reader(nn.Module):
    """Says it from the words that it has, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(16, 8)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(8, 2)

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> Mapping[str, torch.Tensor]:
        logits = self.head(self.dropout(self.words(input_ids)).mean(dim=1))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def trainer(
    model: torch.nn.Module, turns: Turns, kind: type[Trainer] = Trainer, **settings: Any
) -> Trainer:
    quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "use_cpu": True}
    batches: dict[str, Any] = {"per_device_train_batch_size": 16, "per_device_eval_batch_size": 16}
    # All batches alike, because the Trainer draws them ahead of the turn that they are for.
    batches["train_sampling_strategy"] = "sequential"
    arguments = TrainingArguments("out", **{"max_steps": 10**9, **quiet, **batches, **settings})
    data = {"train_dataset": SENTENCES, "eval_dataset": SENTENCES}
    made = kind(model, arguments, callbacks=[turns], **data)
    made.remove_callback(PrinterCallback)
    return made


def descend(session: ramet.Session) -> None:
    torch.set_num_threads(1)
    ramet.torch.seed(session.seed)
    trainer(Reader(), Turns(session, "eval_loss"), seed=session.seed).train()
