import numpy as np
import pytest
import torch

from models.configs import AugmentConfig, FitConfig, UnetConfig
from models.data.masked_pictures import MaskChanges, MaskedPictures, as_input, read_mask, resized_mask
from models.data.pictures import UnreadablePicture
from models.progress import TrainingFailed
from models.recipe import FitContext
from tests.unit.models.small_pictures import MASKS, masked_table, png

CONFIG = UnetConfig(FitConfig(epochs=1, batch_size=8), image_size=32)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "the mask is empty"),
        (b"no picture", "the mask is damaged"),
        (png(np.zeros((5, 4), np.uint8))[:-20], "the mask is damaged"),
        (png(np.zeros((6, 4), np.uint8)), "the mask is 4 x 6, its picture 4 x 5"),
        (png(np.zeros((5, 4, 3), np.uint8)), "no grey PNG"),
        (png(np.full((5, 4), 2, np.uint8)), "a pixel of 2; there are 2 classes"),
    ],
)
def test_a_mask_that_will_not_do_is_refused_with_its_reason(content: bytes | None, why: str) -> None:
    with pytest.raises(UnreadablePicture, match=why):
        read_mask(content, (4, 5), 2)


def test_masks_shrink_without_new_classes() -> None:
    mask = np.kron(np.array([[0, 7], [3, 0]], np.uint8), np.ones((6, 6), np.uint8))
    assert np.array_equal(resized_mask(mask, (2, 2)), [[0, 7], [3, 0]])
    assert set(np.unique(resized_mask(mask, (5, 7)))) == {0, 3, 7}


def test_rows_whose_mask_or_picture_is_bad_are_set_aside_up_to_a_tenth() -> None:
    table = masked_table(24)
    masks, images = table.column("mask").to_pylist(), table.column("image").to_pylist()
    masks[3], images[5] = b"", b""
    bad = table.set_column(1, "image", [images]).set_column(2, "mask", [masks])
    rows = MaskedPictures.read(bad, MASKS, CONFIG, part="training", size=32, context=FitContext())
    assert len(rows.readable) == 22
    assert "p3" in rows.check("training")
    few = MaskedPictures.read(bad.slice(0, 8), MASKS, CONFIG, part="training", size=32, context=FitContext())
    with pytest.raises(TrainingFailed, match=r"more than a tenth.*p3"):
        few.check("training")


def test_masks_move_with_their_pictures() -> None:
    pixels = np.zeros((4, 32, 32, 3), np.uint8)
    masks = np.zeros((4, 32, 32), np.uint8)
    pixels[:, 4:14, 18:30], masks[:, 4:14, 18:30] = 255, 1
    config = UnetConfig(augment=AugmentConfig(lighting=0.0, rotate_degrees=30, zoom=1.5), image_size=24)
    batch = (torch.from_numpy(pixels), torch.from_numpy(masks))
    images, moved = MaskChanges(config, torch.device("cpu"))(batch, torch.Generator().manual_seed(1))
    assert images.shape == (4, 3, 24, 24)
    assert moved.shape == (4, 24, 24)
    assert ((images[:, 0] > 0.5) == (moved == 1)).float().mean() > 0.98
    assert not torch.equal(moved[0], moved[1])


def test_a_batch_as_the_net_takes_it() -> None:
    pixels, masks = as_input((torch.full((2, 4, 4, 3), 255, dtype=torch.uint8), torch.zeros(2, 4, 4).byte()))
    assert pixels.shape == (2, 3, 4, 4)
    assert float(pixels.max()) == 1
    assert masks.dtype == torch.int64
