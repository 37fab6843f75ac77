"""One interpolation for all changes; points and masks move with their picture."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.configs import AugmentConfig
from models.data.augment import augment, mix, moved_points, random_maps

PLACE_ONLY = AugmentConfig(rotate_degrees=30, zoom=1.3, lighting=0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def dots(count, height=64, width=64):
    """Pictures with one bright dot each, and where it is, from -1 to 1."""
    draws = seeded(9)
    rows = torch.randint(height // 4, 3 * height // 4, (count,), generator=draws)
    columns = torch.randint(width // 4, 3 * width // 4, (count,), generator=draws)
    images = torch.zeros(count, 1, height, width)
    images[torch.arange(count), 0, rows, columns] = 1
    return images, torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], 1)[:, None]


def centre(images):
    """Of all light in each picture, from -1 to 1, `(N, 1, 2)`."""
    height, width = images.shape[-2:]
    weight = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    x = (weight.sum(1) * ((2 * torch.arange(width) + 1) / width - 1)).sum(1)
    y = (weight.sum(2) * ((2 * torch.arange(height) + 1) / height - 1)).sum(1)
    return torch.stack([x, y], 1)[:, None]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 96)])
def test_points_move_with_the_picture(height, width):
    images, points = dots(32, height, width)
    came = augment(images, PLACE_ONLY, generator=seeded(), points=points)
    seen = came.images.sum((1, 2, 3)) > 0.2
    assert seen.sum() > 20
    assert (centre(came.images)[seen] - came.points[seen]).abs().max() < 0.03


def test_points_move_with_the_picture_to_another_size():
    images, points = dots(32)
    came = augment(images, PLACE_ONLY, generator=seeded(), points=points, size=48)
    assert came.images.shape[-2:] == (48, 48)
    seen = came.images.sum((1, 2, 3)) > 0.2
    assert (centre(came.images)[seen] - came.points[seen]).abs().max() < 0.06


def test_masks_move_with_the_picture_and_stay_whole_numbers():
    masks = torch.zeros(16, 40, 40, dtype=torch.int64)
    masks[:, 5:30, 10:22] = 3
    came = augment((masks[:, None] > 0).float(), PLACE_ONLY, generator=seeded(), masks=masks)
    assert set(came.masks.unique().tolist()) == {0, 3}
    assert ((came.masks > 0) == (came.images[:, 0] > 0.5)).float().mean() > 0.99


def test_nothing_changes_when_it_is_off():
    images, points = dots(4)
    masks = images[:, 0].long()
    came = augment(images, AugmentConfig(on=False), generator=seeded(), points=points, masks=masks)
    assert torch.equal(came.images, images)
    assert torch.equal(came.points, points)
    assert torch.equal(came.masks, masks)
    small = augment(images, AugmentConfig(on=False), generator=seeded(), size=32, masks=masks)
    assert small.images.shape == (4, 1, 32, 32)
    assert small.masks.shape == (4, 32, 32)


def test_bytes_become_numbers_from_zero_to_one():
    images = torch.full((2, 3, 8, 8), 51, dtype=torch.uint8)
    came = augment(images, PLACE_ONLY, generator=seeded())
    assert came.images.dtype == torch.float32
    assert torch.allclose(came.images, torch.tensor(0.2))


def test_a_map_of_no_change_changes_nothing():
    still = AugmentConfig(flip=False, rotate_degrees=0, zoom=1, lighting=0)
    images, _ = dots(4)
    assert torch.allclose(augment(images, still, generator=seeded()).images, images, atol=1e-5)


def test_a_flip_mirrors_every_second_picture():
    flips = AugmentConfig(flip=True, rotate_degrees=0, zoom=1, lighting=0)
    images, _ = dots(400)
    came = augment(images, flips, generator=seeded()).images
    mirrored = torch.isclose(came, images.flip(3), atol=1e-4).all(3).all(2).all(1)
    same = torch.isclose(came, images, atol=1e-4).all(3).all(2).all(1)
    assert (mirrored | same).all()
    assert 150 < mirrored.sum() < 250


def test_the_same_generator_gives_the_same_batch_and_another_another():
    images, _ = dots(8)
    config = AugmentConfig()
    first, again, other = (augment(images, config, generator=seeded(seed)).images for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.4, 2.5))
def test_maps_are_undone_by_their_inverse_and_stay_within_the_picture(seed, aspect):
    config = AugmentConfig(rotate_degrees=0, zoom=1.5)
    maps = random_maps(4, config, seeded(seed), aspect=aspect)
    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    sources = corners @ maps[:, :, :2].transpose(1, 2) + maps[:, :, 2][:, None]
    assert sources.abs().max() <= 1 + 1e-5
    turned = random_maps(4, AugmentConfig(rotate_degrees=45), seeded(seed), aspect=aspect)
    sources = corners @ turned[:, :, :2].transpose(1, 2) + turned[:, :, 2][:, None]
    assert torch.allclose(moved_points(sources, turned), corners.expand(4, 4, 2), atol=1e-4)


def test_mixing_keeps_a_probability_and_the_larger_share_one_s_own():
    images = torch.arange(8.0).reshape(8, 1, 1, 1).expand(8, 3, 2, 2) / 8
    mixed, target = mix(images, torch.arange(8), 0.4, generator=seeded(), class_count=8)
    assert torch.allclose(target.sum(1), torch.ones(8))
    assert torch.equal(target.argmax(1), torch.arange(8))
    assert torch.allclose(mixed[:, 0, 0, 0], target @ torch.arange(8.0) / 8, atol=1e-6)


def test_numbers_are_mixed_as_pictures_are():
    images, numbers = torch.rand(6, 1, 1, 1), torch.rand(6, 2)
    numbers[:, 0] = images[:, 0, 0, 0]
    mixed, target = mix(images, numbers, 1.0, generator=seeded())
    assert torch.allclose(mixed[:, 0, 0, 0], target[:, 0])
