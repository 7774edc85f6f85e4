"""A GPT of characters, small enough for a laptop, trained as a population.

    python examples/char_gpt.py
    python examples/char_gpt.py --workers 2 --store runs.db   # if killed, run it again to go on

The text is the chapters of the Python manual that ``help()`` prints. AdamW decays matrices only.
The learning rate warms up and then falls along a cosine; the loop sets it before each step. The
population explores the peak of the learning rate, the weight decay, the dropout and the limit of
the gradients' norm.
"""

import argparse
import math
from pydoc_data.topics import topics

import torch
from torch import nn
from torch.nn import functional

import ramet
import ramet.torch

torch.set_num_threads(1)  # Models this small are no faster with more threads.

parser = argparse.ArgumentParser(description="a GPT of characters, trained by a population")
parser.add_argument("--n-layer", type=int, default=2)
parser.add_argument("--n-head", type=int, default=4)
parser.add_argument("--n-embd", type=int, default=64)
parser.add_argument("--block-size", type=int, default=64)
parser.add_argument("--batch-size", type=int, default=8)
parser.add_argument("--max-iters", type=int, default=200)
parser.add_argument("--warmup-iters", type=int, default=20)
parser.add_argument("--eval-interval", type=int, default=25)
parser.add_argument("--eval-iters", type=int, default=8)
parser.add_argument("--population", type=int, default=5)
parser.add_argument("--seed", type=int, default=1337)
parser.add_argument("--workers", type=int, default=0)
parser.add_argument("--store")
config = parser.parse_args()

text = "\n".join(topics[name] for name in sorted(topics))
chars = sorted(set(text))
place = {char: number for number, char in enumerate(chars)}
data = torch.tensor([place[char] for char in text])
train_data, val_data = data.split([int(0.9 * len(data)), len(data) - int(0.9 * len(data))])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.proj = nn.Linear(config.n_embd, config.n_embd, bias=False)
        # A module, so that ramet.torch.dropout finds it; attention reads its p.
        self.attn_dropout = nn.Dropout(0.1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = (
            part.view(batch, length, config.n_head, config.n_embd // config.n_head).transpose(1, 2)
            for part in self.qkv(x).split(config.n_embd, dim=2)
        )
        p = self.attn_dropout.p if self.training else 0.0
        y = functional.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
        return self.dropout(self.proj(y.transpose(1, 2).reshape(batch, length, config.n_embd)))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(config.n_embd), Attention()
        self.norm2 = nn.LayerNorm(config.n_embd)
        self.mlp = nn.Sequential(
            nn.Linear(config.n_embd, 4 * config.n_embd),
            nn.GELU(),
            nn.Linear(4 * config.n_embd, config.n_embd),
            nn.Dropout(0.1),
        )

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(len(chars), config.n_embd)
        self.positions = nn.Embedding(config.block_size, config.n_embd)
        self.dropout = nn.Dropout(0.1)
        self.blocks = nn.Sequential(*(Block() for _ in range(config.n_layer)))
        self.norm = nn.LayerNorm(config.n_embd)
        self.head = nn.Linear(config.n_embd, len(chars), bias=False)
        self.head.weight = self.tokens.weight
        for name, weights in self.named_parameters():
            if weights.dim() == 2:
                # The more layers add to the residual stream, the smaller their first weights are.
                smaller = (
                    math.sqrt(2 * config.n_layer)
                    if name.endswith(("proj.weight", "2.weight"))
                    else 1
                )
                nn.init.normal_(weights, std=0.02 / smaller)

    def forward(self, x, targets=None):
        seen = self.tokens(x) + self.positions(torch.arange(x.shape[1]))
        logits = self.head(self.norm(self.blocks(self.dropout(seen))))
        if targets is None:
            return logits
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    @torch.no_grad()
    def write(self, begin, length, generator):
        self.eval()
        x = torch.tensor([[place[char] for char in begin]])
        for _ in range(length):
            odds = self(x[:, -config.block_size :])[:, -1].softmax(dim=1)
            x = torch.cat([x, torch.multinomial(odds, 1, generator=generator)], dim=1)
        return "".join(chars[number] for number in x[0])


def get_batch(part, starts):
    x = torch.stack([part[at : at + config.block_size] for at in starts])
    y = torch.stack([part[at + 1 : at + 1 + config.block_size] for at in starts])
    return x, y


@torch.no_grad()
def estimate_loss(model):
    """Return the mean loss on batches of the validation text, always the same ones."""
    model.eval()
    starts = torch.linspace(
        0, len(val_data) - config.block_size - 1, config.eval_iters * config.batch_size
    ).long()
    losses = [model(*get_batch(val_data, part)).item() for part in starts.split(config.batch_size)]
    model.train()
    return sum(losses) / len(losses)


def lr_at(iteration, peak):
    """Return the learning rate of an iteration: a line up to the peak, then a cosine."""
    if iteration < config.warmup_iters:
        return peak * (iteration + 1) / (config.warmup_iters + 1)
    done = (iteration - config.warmup_iters) / (config.max_iters - config.warmup_iters)
    return peak * (0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2)


def train(session):
    ramet.torch.seed(session.seed)
    model = GPT()
    matrices = [weights for weights in model.parameters() if weights.dim() >= 2]
    others = [weights for weights in model.parameters() if weights.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.99),
    )
    state = ramet.torch.State(
        model,
        optimizer,
        bind={
            "lr": None,  # the loop sets it
            "weight_decay": ramet.torch.param_group(optimizer, "weight_decay", group=0),
            "dropout": ramet.torch.dropout(model),
        },
    )
    for turn in session.turns(state):
        # Iterations are counted along the lineage, so that the rate is right after a copy.
        for iteration in turn:
            for group in optimizer.param_groups:
                group["lr"] = lr_at(iteration, peak=turn.hparams["lr"])
            starts = torch.randint(len(train_data) - config.block_size, (config.batch_size,))
            loss = model(*get_batch(train_data, starts))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), turn.hparams["grad_clip"])
            optimizer.step()
        turn.report(estimate_loss(model))


space = ramet.Space(
    lr=ramet.LogUniform(1e-4, 3e-2),
    weight_decay=ramet.LogUniform(1e-3, 1.0),
    dropout=ramet.Uniform(0.0, 0.3),
    grad_clip=ramet.LogUniform(0.1, 10.0),
)


if __name__ == "__main__":
    result = ramet.run(
        train,
        space,
        ramet.PBT(population=config.population, turn_steps=config.eval_interval, synchronous=True),
        steps=config.max_iters,
        mode="min",
        seed=config.seed,
        workers=config.workers,
        store=config.store,
        name="char_gpt",
    )
    print(f"validation loss {result.best.score:.3f}, of {math.log(len(chars)):.3f} by chance")
    for step, hparams in result.schedule():
        print(f"from step {step}: {', '.join(f'{k} = {v:.3g}' for k, v in hparams.items())}")

    model = GPT()
    ramet.torch.load_model(model, result.best.load())
    print(model.write("The ", 200, torch.Generator().manual_seed(config.seed)))
