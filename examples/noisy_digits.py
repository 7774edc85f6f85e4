"""The loop of the README: digits seen through noise, for which the learning rate must fall.

python examples/noisy_digits.py   # needs scikit-learn
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import ramet
import ramet.torch

images, labels = map(torch.as_tensor, load_digits(return_X_y=True))
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
images, labels = images[order] / 16, labels[order]


def test(model, first, last):
    with torch.no_grad():
        outputs = model(images[first:last].float())
    return nn.functional.cross_entropy(outputs, labels[first:last]).item()


def train(session):
    ramet.torch.seed(session.seed)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for turn in session.turns(ramet.torch.State(model, optimizer)):
        for _ in turn:
            batch = torch.randint(1_000, (16,))
            noisy = images[batch].float() + 0.5 * torch.randn(16, 64)
            loss = nn.functional.cross_entropy(model(noisy), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        turn.report(test(model, 1_000, 1_400))


space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
strategy = ramet.PBT(population=8, turn_steps=50, synchronous=True)

if __name__ == "__main__":
    result = ramet.run(train, space, strategy, steps=1_000, mode="min", seed=0)
    print(result.schedule())
