"""Batch normalisation in short fits: statistics of the data, not of where the layer began."""

import torch
from torch import nn

from models.configs import FitConfig
from models.data.batches import InMemory, ShuffledBatches
from models.recipe import FitContext
from models.training import fit_net


def rows(count=256):
    generator = torch.Generator().manual_seed(1)
    inputs = 50 + 7 * torch.randn(count, 3, generator=generator)
    return inputs, (inputs[:, 0] > 50).float()


def fitted(net, epochs=1):
    inputs, labels = rows()
    batches = ShuffledBatches(InMemory(inputs, labels), InMemory(inputs, labels), 64, seed=0)
    config = FitConfig(epochs=epochs, learning_rate=0.01)

    def loss(logits, label):
        return nn.functional.binary_cross_entropy_with_logits(logits.squeeze(1), label)

    fit_net(net, batches, loss, config, FitContext(device="cpu"), name="net")
    return net


def test_after_four_steps_the_statistics_are_those_of_the_rows():
    norm = fitted(nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)))[0]
    inputs, _ = rows()
    assert torch.allclose(norm.running_mean, inputs.mean(0), rtol=0.02)
    assert torch.allclose(norm.running_var, inputs.var(0), rtol=0.1)
    assert norm.momentum == 0.1


def test_a_layer_that_was_trained_before_keeps_what_it_learnt():
    norm = nn.BatchNorm1d(3)
    norm.running_mean.fill_(40.0)
    norm.num_batches_tracked.fill_(1000)
    fitted(nn.Sequential(norm, nn.Linear(3, 1)))
    # Four steps of momentum 0.1 from 40 towards 50.
    assert torch.allclose(norm.running_mean, torch.full((3,), 50 - 10 * 0.9**4), atol=1.0)
