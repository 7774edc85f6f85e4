"""An ordinary PyTorch loop, trained as a population. Needs scikit-learn.

python examples/pytorch_loop.py
ramet run examples/pytorch_loop.py --workers 2 --seed 0   # in two processes, and recorded in a file
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import ramet
import ramet.torch

torch.set_num_threads(1)  # Networks this small are no faster with more threads.
images, labels = map(torch.as_tensor, load_digits(return_X_y=True))
images = images.float() / images.max()
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
learn, score, test = order.split([1_000, 400, 397])


def accuracy(model, part):
    model.eval()
    with torch.no_grad():
        found = model(images[part]).argmax(dim=1)
    model.train()
    return (found == labels[part]).float().mean().item()


def network():
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))


def train(session):
    ramet.torch.seed(session.seed)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    state = ramet.torch.State(model, optimizer, bind={"dropout": ramet.torch.dropout(model)})
    for turn in session.turns(state):
        for _ in turn:
            batch = learn[torch.randint(len(learn), (32,))]
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        turn.report(accuracy(model, score))


# A hyperparameter with the name of an optimiser setting is set there.
space = ramet.Space(
    lr=ramet.LogUniform(1e-3, 1.0),
    momentum=ramet.Uniform(0.0, 0.99),
    weight_decay=ramet.LogUniform(1e-6, 1e-2),
    dropout=ramet.Uniform(0.0, 0.6),
)
strategy = ramet.PBT(population=8, turn_steps=50, synchronous=True)
steps = 1_000
mode = "max"

if __name__ == "__main__":
    result = ramet.run(train, space, strategy, steps=steps, mode=mode, seed=0)
    best = network()
    ramet.torch.load_model(best, result.best.load())
    print(f"{accuracy(best, test):.1%} of the test images are classified correctly, after")
    for step, hparams in result.schedule():
        print(f"  step {step}: " + ", ".join(f"{name} {hparams[name]:.2g}" for name in space))
