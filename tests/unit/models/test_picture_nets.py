"""Residual nets, EfficientNet-lite and what is built from their bodies."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.nets.blocks import Bottleneck, PlainBlock
from models.nets.efficientnet import EfficientNetLite0, SamePadded
from models.nets.heads import ARCHITECTURES, ConcatenatedPool, Head, body_of
from models.nets.resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152
from models.nets.xresnet import XResNet
from models.progress import TrainingFailed

# As published with the checkpoints, for 1,000 classes.
PARAMETERS = [
    (resnet18, 11_689_512),
    (resnet34, 21_797_672),
    (resnet50, 25_557_032),
    (resnet101, 44_549_160),
    (resnet152, 60_192_808),
    (EfficientNetLite0, 4_652_008),
]


@pytest.mark.parametrize(("make", "count"), PARAMETERS)
def test_nets_have_as_many_parameters_as_published(make, count):
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in make(1000).parameters()) == count


def test_names_and_shapes_are_torchvisions():
    with torch.device("meta"):
        state = {name: tuple(value.shape) for name, value in resnet50(1000).state_dict().items()}
    assert len(state) == 320
    assert state["conv1.weight"] == (64, 3, 7, 7)
    assert state["layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert state["layer1.0.downsample.1.running_var"] == (256,)
    assert state["layer2.0.conv2.weight"] == (128, 128, 3, 3)
    assert state["layer4.2.bn3.bias"] == (2048,)
    assert state["fc.weight"] == (1000, 2048)


def tiny(block, kind=ResNet):
    torch.manual_seed(0)
    return kind(block, (1, 1, 1, 1), 5).eval()


@pytest.mark.parametrize("kind", [ResNet, XResNet])
@pytest.mark.parametrize("block", [PlainBlock, Bottleneck])
def test_any_size_of_picture_gives_logits(kind, block):
    net = tiny(block, kind)
    for height, width in ((32, 32), (33, 47), (64, 40)):
        assert net(torch.randn(2, 3, height, width)).shape == (2, 5)


def test_a_block_hands_its_input_on_at_first():
    block = tiny(PlainBlock).layer1[0]
    inputs = torch.rand(2, 64, 8, 8)
    assert torch.equal(block(inputs), inputs)


def test_same_padding_puts_the_odd_pixel_lower_right():
    layer = SamePadded(1, 1, 3, stride=2, bias=False)
    nn.init.ones_(layer.weight)
    picture = torch.zeros(1, 1, 4, 4)
    picture[0, 0, 0, 0] = 1
    assert layer(picture)[0, 0].tolist() == [[1, 0], [0, 0]]
    assert layer(torch.ones(1, 1, 5, 5)).shape == (1, 1, 3, 3)


@pytest.mark.parametrize("architecture", ["resnet18", "xresnet18", "efficientnet_lite0"])
def test_a_body_gives_features_and_two_groups_of_all_its_parameters(architecture):
    body = body_of(architecture)
    features = body.module.eval()(torch.randn(1, 3, 65, 40))
    assert features.shape == (1, body.channel_count, 3, 2)
    grouped = [parameter for group in body.groups for parameter in group]
    assert [id(one) for one in grouped] == [id(one) for one in body.module.parameters()]
    assert all(len(group) for group in body.groups)


def test_a_body_takes_the_weights_of_a_whole_net_whatever_its_classes(tmp_path):
    net = resnet18(7)
    torch.save(net.state_dict(), tmp_path / "public.pth")
    body = body_of("resnet18", tmp_path / "public.pth")
    assert torch.equal(body.module.layer4[1].conv2.weight, net.layer4[1].conv2.weight)


def test_a_body_takes_the_weights_of_a_version_of_our_own(tmp_path):
    net = body_of("xresnet18").module
    named = {f"body.{name}": value for name, value in net.state_dict().items()}
    save_file({**named, "head.7.bias": torch.zeros(3)}, tmp_path / "model.safetensors")
    body = body_of("xresnet18", tmp_path / "model.safetensors")
    assert torch.equal(body.module.stem[0].weight, net.stem[0].weight)


def test_weights_of_another_net_are_refused_with_what_to_do(tmp_path):
    torch.save(resnet18(3).state_dict(), tmp_path / "r18.pth")
    with pytest.raises(TrainingFailed, match=r"r18\.pth are not those of a resnet34.*architecture"):
        body_of("resnet34", tmp_path / "r18.pth")


@pytest.mark.parametrize("content", [b"", b"no pickle", b"PK\x03\x04"])
def test_unreadable_weights_are_named(tmp_path, content):
    (tmp_path / "broken.pth").write_bytes(content)
    with pytest.raises(TrainingFailed, match=r"broken\.pth cannot be read"):
        body_of("resnet18", tmp_path / "broken.pth")
    with pytest.raises(TrainingFailed, match=r"lacking\.safetensors cannot be read"):
        body_of("resnet18", tmp_path / "lacking.safetensors")


def test_weights_that_would_run_code_are_refused(tmp_path):
    torch.save({"weight": Path("/")}, tmp_path / "evil.pth")
    with pytest.raises(TrainingFailed, match="cannot be read"):
        body_of("resnet18", tmp_path / "evil.pth")


def test_unknown_architectures_are_refused_with_those_that_are():
    with pytest.raises(ValueError, match="must be one of resnet18"):
        body_of("vgg16")
    assert "efficientnet_lite0" in ARCHITECTURES


def test_pooling_gives_largest_and_mean_values():
    features = torch.tensor([[[[0.0, 4.0]]]])
    assert ConcatenatedPool()(features).tolist() == [[4.0, 2.0]]


def test_a_new_head_favours_no_class():
    head = Head(8, 3, dropout=0.5)
    assert head(torch.randn(4, 8, 2, 2)).shape == (4, 3)
    assert head[-1].bias.tolist() == [0, 0, 0]
