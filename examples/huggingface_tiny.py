"""A small BERT that compares two digits of a line, trained by transformers as a population.

    python examples/huggingface_tiny.py      # needs transformers and accelerate

The model and the Trainer are as for any other training, except for ``Turns`` in the callbacks.
"""

import tempfile

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

import ramet
import ramet.torch
from ramet.integrations.huggingface import Turns

LENGTH = 8

config = BertConfig(
    vocab_size=10,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=LENGTH,
)


class Lines(Dataset):
    """Lines of digits, labelled by whether the last digit is larger than the first."""

    def __init__(self, number, seed):
        generator = torch.Generator().manual_seed(seed)
        self.lines = torch.randint(10, (number, LENGTH), generator=generator)

    def __len__(self):
        return len(self.lines)

    def __getitem__(self, index):
        line = self.lines[index]
        return {"input_ids": line, "labels": int(line[-1] > line[0])}


learn, score, test = Lines(1_000, seed=0), Lines(500, seed=1), Lines(500, seed=2)


def accuracy(predictions):
    logits, labels = predictions
    return {"accuracy": float(np.mean(np.argmax(logits, axis=-1) == labels))}


def trainer(model, folder, callbacks=None, **settings):
    quiet = {"disable_tqdm": True, "report_to": "none", "logging_strategy": "no"}
    arguments = TrainingArguments(
        folder,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=500,
        save_strategy="no",
        use_cpu=True,
        **quiet,
        **settings,
    )
    made = Trainer(
        model,
        arguments,
        train_dataset=learn,
        eval_dataset=score,
        compute_metrics=accuracy,
        callbacks=callbacks,
    )
    made.remove_callback(PrinterCallback)
    return made


def train(session):
    ramet.torch.seed(session.seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer(
            BertForSequenceClassification(config),
            folder,
            callbacks=[Turns(session, monitor="eval_accuracy")],
            seed=session.seed,
            max_steps=1_000_000_000,  # the callback stops it
            lr_scheduler_type="constant",  # the population finds the schedule
        ).train()


def main():
    space = ramet.Space(
        learning_rate=ramet.LogUniform(1e-4, 1e-2),
        weight_decay=ramet.LogUniform(1e-4, 0.1),
        adam_beta1=ramet.Uniform(0.5, 0.95),
    )
    strategy = ramet.PBT(population=5, turn_steps=25, synchronous=True)
    result = ramet.run(train, space, strategy, steps=200, mode="max", seed=0)

    model = BertForSequenceClassification(config)
    ramet.torch.load_model(model, result.best.load())
    with tempfile.TemporaryDirectory() as folder:
        found = trainer(model, folder).evaluate(test)["eval_accuracy"]
    print(f"{found:.1%} of the test lines are answered correctly")
    for step, hparams in result.schedule():
        print(f"from step {step}: {', '.join(f'{k} = {v:.2g}' for k, v in hparams.items())}")


if __name__ == "__main__":
    torch.set_num_threads(1)  # a small network is slower with more threads
    main()
