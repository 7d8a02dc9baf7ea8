"""What `make test` has no time for: more layers, and accuracies over seeds. `nox -s training_long`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from models.digits.dataset import load
from models.digits.network import build as build_digits
from models.digits.network import load as load_digits
from models.digits_training.batches import batches as digits_batches
from models.digits_training.picture import draw
from models.digits_training.rectifiers import RECTIFIERS, compare
from models.digits_training.result import accuracy
from models.digits_training.road_b import export, new_trainer, train, train_in_torch
from ort_rrelu.training import export_step
from tests.training.networks import (
    MORE_NETWORKS,
    NETWORKS,
    OPTIMIZERS,
    batches,
    build,
    largest_difference,
    train_both,
)

_STEPS = 50
_ROUNDING = 5e-6
_SEEDS, _EPOCHS = 5, 10


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
@pytest.mark.parametrize("network", [*NETWORKS, *MORE_NETWORKS])
def test_weights_are_torchs(network: str, optimizer: str) -> None:
    module = build(network)
    name, options, torchs = OPTIMIZERS[optimizer]
    step = export_step(module, functional.cross_entropy, batches(1)[0], optimizer=name, **options)
    trainer = new_trainer(step)
    train_both(module, trainer, torchs(module.parameters(), **options), batches(_STEPS))
    assert largest_difference(module, trainer.state_dict()) < _ROUNDING


def test_double_is_torchs_to_the_last_digits() -> None:
    module = build("linear").double()  # ONNX Runtime has no convolution in double
    x, y = batches(1)[0]
    step = export_step(module, functional.cross_entropy, (x.double(), y), optimizer="adam")
    trainer = new_trainer(step)
    optimizer = torch.optim.Adam(module.parameters())
    train_both(module, trainer, optimizer, [(x.double(), y) for x, y in batches(_STEPS)])
    assert largest_difference(module, trainer.state_dict()) < 1e-11


def test_accuracy_over_seeds_is_torchs_to_less_than_a_point() -> None:
    """Each seed has weights, slopes, a split and an order of its own."""
    accuracies = []
    for seed in range(_SEEDS):
        data = load(lambda n, seed=seed: np.random.default_rng(seed).permutation(n))  # type: ignore[misc]
        network = build_digits(seed=100 * seed).train()
        torch.manual_seed(seed)
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
        trainer = new_trainer(export(network))
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
        for epoch in range(_EPOCHS):
            for x, y in digits_batches(data, epoch, seed + 1):
                trainer.step(x, y)
                loss = functional.cross_entropy(network(torch.from_numpy(x)), torch.from_numpy(y))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        with torch.no_grad():
            logits = network.eval()(torch.from_numpy(data.test_images)).numpy()
        ours = trainer.predict(data.test_images)
        accuracies.append([accuracy(each, data.test_labels) for each in (logits, ours)])
    mean = np.mean(accuracies, axis=0)
    print("test accuracies, torch and ONNX Runtime:", accuracies, "means:", mean)
    assert abs(mean[0] - mean[1]) < 0.01
    assert mean.min() > 0.9


def test_the_demo_learns_resumes_and_draws(tmp_path: Path) -> None:
    data = load_digits()
    results = {"road B": train(tmp_path, data, epochs=3), "torch": train_in_torch(data, epochs=3)}
    ours, torchs = results.values()
    assert ours.resumed_bit_for_bit
    assert ours.exported_accuracy == ours.accuracies[-1] > 0.8
    np.testing.assert_allclose(ours.losses, torchs.losses, rtol=0.02)
    draw(results, tmp_path / "training.png")
    assert (tmp_path / "training.png").stat().st_size > 10_000


def test_every_rectifier_can_be_compared() -> None:
    errors = compare([*RECTIFIERS], seeds=2, epochs=2)
    assert set(errors) == set(RECTIFIERS)
    for name, each in errors.items():
        assert max(each["test"]) < 50, name
    assert len({tuple(each["test"]) for each in errors.values()}) > 3  # they are not all one network
