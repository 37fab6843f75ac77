import pytest
import torch
from torch import nn

from models.nets.heads import ARCHITECTURES, Body, body_of
from models.nets.unet import UNet, Upsample, steps_of, trace

SMALL = ("resnet18", "xresnet18", "efficientnet_lite0")


@pytest.mark.parametrize("architecture", SMALL)
def test_every_halving_of_a_body_is_found(architecture: str) -> None:
    body = body_of(architecture).module
    shrinking, widths = trace(body)
    assert len(shrinking) == 5
    assert widths[0] == 3
    assert body.training


@pytest.mark.parametrize("architecture", SMALL)
@pytest.mark.parametrize("size", [(64, 64), (33, 47), (97, 32), (20, 20)])
def test_there_is_a_logit_for_each_pixel_of_pictures_of_any_size(
    architecture: str, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    net = UNet(body_of(architecture), 4).eval()
    with torch.inference_mode():
        assert net(torch.rand(2, 3, *size)).shape == (2, 4, *size)


def test_the_body_of_someone_elses_making_will_do() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=4, padding=2),
        nn.ReLU(),
        nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 1)),
    )
    net = UNet(Body(module, 16, (0.0,) * 3, (1.0,) * 3, (tuple(module.parameters()),)), 2)
    assert net(torch.rand(2, 3, 50, 70)).shape == (2, 2, 50, 70)


def test_what_is_handed_across_is_what_the_body_has_before_it_shrinks() -> None:
    body = body_of("resnet18").module.eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        whole = body(x.clone())
        for step in steps_of(body):
            x = step(x)
    assert torch.equal(x, whole)


def test_a_new_upsampling_draws_no_chequers() -> None:
    torch.manual_seed(0)
    up = Upsample(8, 5)(torch.rand(1, 8, 6, 6))
    assert torch.equal(up, nn.functional.interpolate(up[:, :, ::2, ::2], scale_factor=2))


def test_every_parameter_is_in_one_group_and_gets_a_gradient() -> None:
    torch.manual_seed(0)
    net = UNet(body_of("resnet18"), 3)
    grouped = [parameter for group in net.groups for parameter in group]
    assert {id(one) for one in grouped} == {id(one) for one in net.parameters()}
    assert len(grouped) == len(list(net.parameters()))
    # Scales that start at zero hold back the gradients of their blocks in the very first step.
    for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.ones_(norm.weight)
    truth = torch.randint(0, 3, (2, 64, 64))
    nn.functional.cross_entropy(net(torch.rand(2, 3, 64, 64)), truth).backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in grouped)


def test_weights_of_a_body_keep_their_names() -> None:
    names = set(UNet(body_of("resnet18"), 2).state_dict())
    assert {f"body.{name}" for name in body_of("resnet18").module.state_dict()} <= names
    assert "resnet18" in ARCHITECTURES
