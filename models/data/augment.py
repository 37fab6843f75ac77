"""Training pictures changed at random, a batch at a time, on the device where the batch is.

All changes of place (flip, rotation, zoom, shift, and the step to another size) are one affine map and so one
interpolation, since each further one would blur; light changes what came out of it. Points and masks move
along. The randomness comes from the generator that is given, drawn on the CPU, so that a batch is the same
whatever the device and however often a fit was resumed; kornia's augmentations draw from the global one and
are not used. Sources: Howard and Gugger, "Deep Learning for Coders", chapter 5 (presizing) and 7; Zhang and
others, "mixup", ICLR 2018.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, one_hot

from models.configs import AugmentConfig


@dataclass(frozen=True)
class Augmented:
    """What came of a batch: `images` float32 `(N, C, S, S)` from 0 to 1; `masks` int64 `(N, S, S)` and
    `points` float32 `(N, P, 2)` where they were given.
    """

    images: Tensor
    masks: Tensor | None = None
    points: Tensor | None = None


def augment(
    images: Tensor,
    config: AugmentConfig,
    *,
    generator: torch.Generator,
    size: int | None = None,
    masks: Tensor | None = None,
    points: Tensor | None = None,
) -> Augmented:
    """Changes `images`, uint8 or float32 from 0 to 1, `(N, C, H, W)`, and makes them `size` high and wide
    (default: as they are). With `config.on` false they are resized only.

    `masks`, `(N, H, W)` of whole numbers, take the nearest pixel; what comes from outside the picture is its
    mirror image, in both. `points`, `(N, P, 2)`, are x and y from -1 (left, upper edge) to 1; one that leaves
    the picture is beyond these. A flip does not exchange points: turn it off where left and right ones have
    names of their own.
    """
    height, width = images.shape[-2:]
    target = (height, width) if size is None else (size, size)
    pixels = images.float() / 255 if images.dtype == torch.uint8 else images
    if not config.on:
        moved = pixels if target == (height, width) else _sampled(pixels, _identity(pixels), target)
        same = masks if masks is None or target == masks.shape[-2:] else _nearest(masks, None, target)
        return Augmented(moved, None if same is None else same.long(), points)
    maps = random_maps(len(images), config, generator, aspect=width / height).to(images.device)
    changed = lit(_sampled(pixels, maps, target), config.lighting, generator)
    return Augmented(
        changed,
        None if masks is None else _nearest(masks, maps, target),
        None if points is None else moved_points(points, maps),
    )


def random_maps(
    count: int, config: AugmentConfig, generator: torch.Generator, *, aspect: float = 1.0
) -> Tensor:
    """Affine maps from places of the changed picture to places of the original, both from -1 to 1: float32
    `(count, 2, 3)`. `aspect` is width divided by height.

    A rotation of up to `rotate_degrees` either way, a zoom from 1 to `zoom` at a random place within the
    picture, and a flip of every second picture, each uniform.
    """
    draws = torch.rand(5, count, generator=generator)
    angle = (2 * draws[0] - 1) * math.radians(config.rotate_degrees)
    scale = 1 / (1 + draws[1] * (config.zoom - 1))
    mirror = torch.where(draws[2] < 0.5, -1.0, 1.0) if config.flip else torch.ones(count)
    # A zoomed picture shows `scale` of the original and may lie anywhere within it.
    shift_x, shift_y = ((2 * draw - 1) * (1 - scale) for draw in draws[3:])
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    # Places are in units of the picture's half width and half height, rotation is in pixels.
    rows = [cosine * mirror, -sine / aspect, shift_x, sine * aspect * mirror, cosine, shift_y]
    return torch.stack(rows, 1).reshape(count, 2, 3)


def moved_points(points: Tensor, maps: Tensor) -> Tensor:
    """Where `points` `(N, P, 2)` of the originals lie in the changed pictures."""
    linear, shift = maps[:, :, :2], maps[:, :, 2]
    back = torch.linalg.inv(linear)
    moved: Tensor = (points - shift[:, None]) @ back.transpose(1, 2)
    return moved


def lit(images: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Contrast about each picture's mean, and brightness, changed by a factor of `1 - most` to `1 + most`
    each, uniformly; kept from 0 to 1.
    """
    draws = 1 + (2 * torch.rand(2, len(images), 1, 1, 1, generator=generator) - 1) * most
    contrast, brightness = draws.to(images.device)
    mean = images.mean((1, 2, 3), keepdim=True)
    changed: Tensor = (images - mean) * contrast + mean * brightness
    return changed.clamp(0, 1)


def mix(
    images: Tensor,
    target: Tensor,
    alpha: float,
    *,
    generator: torch.Generator,
    class_count: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Mixup: each picture and target with another of the batch, by a share drawn from Beta(alpha, alpha).

    A `target` of places in `class_count` classes, int64 `(N,)`, becomes a probability of each, `(N, C)`;
    numbers are mixed as they are.
    """
    count = len(images)
    # torch's beta distribution draws from the global generator alone.
    draws = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    share = torch.from_numpy(draws.beta(alpha, alpha, count).astype(np.float32)).to(images.device)
    # The larger share is the picture's own: else a pair could come twice, once from either side.
    share = torch.maximum(share, 1 - share)
    other = torch.randperm(count, generator=generator).to(images.device)
    values = target if class_count is None else one_hot(target, class_count).float()
    return _blend(images, images[other], share), _blend(values, values[other], share)


def _blend(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    weight = share.reshape(-1, *[1] * (one.ndim - 1))
    return one * weight + other * (1 - weight)


def _sampled(pixels: Tensor, maps: Tensor, size: tuple[int, int]) -> Tensor:
    grid = affine_grid(maps, [len(pixels), pixels.shape[1], *size], align_corners=False)
    return grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _nearest(masks: Tensor, maps: Tensor | None, size: tuple[int, int]) -> Tensor:
    maps = _identity(masks) if maps is None else maps
    grid = affine_grid(maps, [len(masks), 1, *size], align_corners=False)
    values = masks[:, None].float()
    moved = grid_sample(values, grid, mode="nearest", padding_mode="reflection", align_corners=False)
    return moved[:, 0].long()


def _identity(batch: Tensor) -> Tensor:
    return torch.eye(2, 3, device=batch.device).expand(len(batch), 2, 3)
