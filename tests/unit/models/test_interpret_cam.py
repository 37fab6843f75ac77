"""Where a net looks: Grad-CAM beside CAM where proof makes them the same; and nets come back unchanged."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from models.interpret.cam import class_activation_map, grad_cam, last_spatial_layer
from models.interpret.drawing import colours, heat_over
from models.interpret.pictures import HARDEST, SUREST, figures_of


class SmallNet(nn.Module):
    """Convolutions, average pooling, one linear layer: the net of the CAM paper."""

    def __init__(self, class_count: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1)
        )
        self.head = nn.Linear(6, class_count)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(pictures).mean((2, 3)))
        return logits


class BrightnessNet(nn.Module):
    """Class 1 when the picture is bright somewhere; one logit."""

    def __init__(self) -> None:
        super().__init__()
        self.smooth = nn.Conv2d(3, 1, 3, padding=1, bias=False)
        nn.init.constant_(self.smooth.weight, 1 / 27)

    def forward(self, pictures: Tensor) -> Tensor:
        logit: Tensor = 50 * self.smooth(pictures).mean((1, 2, 3)) - 1
        return logit


@pytest.fixture
def net() -> SmallNet:
    torch.manual_seed(3)
    return SmallNet()


@pytest.fixture
def inputs() -> Tensor:
    return torch.rand(4, 3, 8, 10, generator=torch.Generator().manual_seed(5))


def test_grad_cam_is_cam_for_a_net_of_average_pooling_and_one_linear_layer(net, inputs):
    """Selvaraju and others, section 3.1: the two differ by the number of places alone."""
    classes = [0, 1, 2, 1]
    heat = grad_cam(net, inputs, classes, layer="body.3")
    cam = class_activation_map(net, inputs, classes, layer="body.3", weight=net.head.weight)
    assert heat.shape == (4, 8, 10)
    np.testing.assert_allclose(heat, cam / 80, rtol=1e-4, atol=1e-7)
    assert heat.max() > 0


def test_any_layer_can_be_asked_and_the_last_spatial_one_is_the_default(net, inputs):
    assert last_spatial_layer(net, inputs) is net.body[3]
    default = grad_cam(net, inputs, [0] * 4)
    np.testing.assert_allclose(default, grad_cam(net, inputs, [0] * 4, layer=net.body[3]))
    assert not np.allclose(default, grad_cam(net, inputs, [0] * 4, layer="body.0"))


def test_the_net_comes_back_as_it_was(net, inputs):
    net.train()
    net.body[1].eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    grad_cam(net, inputs, [0] * 4)
    class_activation_map(net, inputs, [0] * 4, layer=net.body, weight=net.head.weight)
    assert net.training
    assert not net.body[1].training
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_hooks_are_gone_also_when_the_net_fails(net):
    for look in (
        lambda: last_spatial_layer(net, torch.zeros(1, 4, 8, 8)),
        lambda: grad_cam(net, torch.zeros(1, 4, 8, 8), [0], layer="body.3"),
        lambda: class_activation_map(
            net, torch.zeros(1, 4, 8, 8), [0], layer="body.3", weight=net.head.weight
        ),
    ):
        with pytest.raises(RuntimeError):
            look()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_frozen_weights_are_no_hindrance(net, inputs):
    expected = grad_cam(net, inputs, [1] * 4)
    net.requires_grad_(False)
    np.testing.assert_allclose(grad_cam(net, inputs, [1] * 4), expected)


def test_a_layer_without_places_is_an_error(net, inputs):
    with pytest.raises(ValueError, match="h, w"):
        class_activation_map(net, inputs, [0] * 4, layer="head", weight=net.head.weight)
    with pytest.raises(ValueError, match="no layer of the net keeps height and width"):
        last_spatial_layer(nn.Sequential(nn.Flatten(), nn.Linear(240, 2)), inputs)


def test_a_net_with_one_logit_has_a_map_for_either_class():
    picture = torch.zeros(1, 3, 12, 12)
    picture[..., 8:11, 1:4] = 1.0
    heat = grad_cam(BrightnessNet(), picture, [1], layer="smooth")[0]
    assert np.unravel_index(heat.argmax(), heat.shape) == (9, 2)
    assert grad_cam(BrightnessNet(), picture, [0], layer="smooth").max() == 0


def test_colours_grow_lighter_with_the_value():
    luma = colours(np.linspace(0, 1, 50)).astype(float) @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(luma) > -1).all()
    assert luma[-1] - luma[0] > 150
    assert np.array_equal(colours([-1.0, 2.0]), colours([0.0, 1.0]))


def test_heat_is_brightest_where_it_is_largest_and_none_at_all_draws_too():
    heat = np.zeros((4, 4))
    heat[3, 0] = 2.0
    drawn = heat_over(np.full((40, 40, 3), 100, np.uint8), heat).sum(2)
    assert drawn[35, 5] > drawn[5, 35]
    assert len(np.unique(heat_over(np.full((9, 9, 3), 50, np.uint8), np.zeros((2, 2))))) <= 3


def test_a_classifier_of_pictures_has_all_its_figures_and_at_most_24_maps():
    torch.manual_seed(0)
    net = SmallNet()
    generator = np.random.default_rng(1)
    pictures = generator.integers(0, 256, (60, 12, 16, 3), np.uint8)
    probability = generator.dirichlet(np.ones(3), 60)
    probability[5] = np.nan
    figures = figures_of(
        net,
        pictures,
        probability,
        generator.integers(0, 3, 60),
        ("x", "y", "z"),
        [f"row-{one}" for one in range(60)],
        lambda some: torch.from_numpy(some).permute(0, 3, 1, 2).float() / 255,
    )
    by_name = {figure.name: figure for figure in figures}
    assert list(by_name) == ["confusion", "most_confused", "top_losses", "grad_cam", "recall", "precision"]
    maps = by_name["grad_cam"].body.pictures
    assert len(maps) == 2 * HARDEST + SUREST == 24
    assert maps[0].row_id == maps[1].row_id == by_name["top_losses"].body.pictures[0].row_id
    assert maps[0].caption.startswith("said ")
    assert maps[1].caption.startswith("is ")
    assert all(Image.open(io.BytesIO(one.png)).format == "PNG" for one in maps)
    assert sum(sum(row) for row in by_name["confusion"].body.values) == 59
    assert "row-5" not in {picture.row_id for picture in (*maps, *by_name["top_losses"].body.pictures)}


def test_a_classifier_without_rows_has_figures_that_say_so():
    figures = figures_of(
        SmallNet(),
        np.empty((0, 4, 4, 3), np.uint8),
        np.empty((0, 3)),
        [],
        ("x", "y", "z"),
        [],
        torch.from_numpy,
    )
    assert "grad_cam" not in {figure.name for figure in figures}
    assert figures[2].sentence == "There are no validation rows to look at."
