import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from models.configs import AugmentConfig, FitConfig, SiameseConfig
from models.data.picture_pairs import PairChanges, PicturePairs
from models.figures import Matrix, Pictures
from models.nets.heads import body_of
from models.nets.siamese import SiameseNet
from models.progress import Progress, TrainingFailed
from models.recipe import MULTICLASS, FitContext
from models.siamese import FittedSiamese, Siamese
from tests.unit.models.small_pictures import MASKS, PAIRS, paired_table

CONFIG = SiameseConfig(FitConfig(epochs=3, batch_size=16, learning_rate=2e-3), image_size=32)
SHORT = dataclasses.replace(CONFIG, fit=FitConfig(epochs=1, batch_size=16, learning_rate=1e-3))
TRAIN, VALID = paired_table(64), paired_table(24, seed=1)


@cache
def fitted() -> tuple[FittedSiamese, tuple[Progress, ...]]:
    told: list[Progress] = []
    context = FitContext(seed=3, device="cpu", on_progress=told.append, threads=1)
    return Siamese(CONFIG).fit(PAIRS, TRAIN, VALID, context), tuple(told)


def test_it_learns_which_of_two_is_brighter() -> None:
    found = fitted()[0].assess(TRAIN, VALID)
    assert found.metrics["auc"].value > 0.85
    assert found.comparison.better
    assert found.score is not None
    assert found.score.shape == (24,)
    assert fitted()[1][-1].metrics["auc"] == pytest.approx(found.metrics["auc"].value, abs=1e-6)


def test_one_body_looks_at_both() -> None:
    torch.manual_seed(0)
    net = SiameseNet(body_of("resnet18")).eval()
    a, b = torch.rand(2, 2, 3, 32, 32)
    with torch.inference_mode():
        assert net(a, b).shape == (2,)
        # Exchanged pictures are another question, but the same picture twice is the same either way.
        assert not torch.allclose(net(a, b), net(b, a))
        assert torch.allclose(net(a, a)[:1], net(a[:1], a[:1]), atol=1e-5)
    names = {name.split(".")[0] for name, _ in net.named_parameters()}
    assert names == {"body", "head"}
    assert sum(len(group) for group in net.groups) == len(list(net.parameters()))


def test_a_pretrained_body_keeps_its_statistics_and_learns_all_the_same() -> None:
    torch.manual_seed(0)
    net = SiameseNet(body_of("resnet18"), keeps_statistics=True).train()
    before = {name: value.clone() for name, value in net.body.named_buffers()}
    net(*torch.rand(2, 4, 3, 32, 32)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in net.body.named_buffers())
    assert net.head.training
    norm = net.body[1]
    assert norm.weight.grad is not None
    assert norm.weight.grad.abs().sum() > 0


def test_the_two_pictures_are_changed_each_on_its_own() -> None:
    pixels = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    changes = PairChanges(SiameseConfig(augment=AugmentConfig(), image_size=24), torch.device("cpu"))
    first, second, target = changes((pixels, pixels, torch.ones(3)), torch.Generator().manual_seed(0))
    assert first.shape == second.shape == (3, 3, 24, 24)
    assert not torch.allclose(first, second)
    assert target.tolist() == [1, 1, 1]


def test_a_row_is_read_only_when_both_pictures_are() -> None:
    left, right = TRAIN.column("left").to_pylist(), TRAIN.column("right").to_pylist()
    left[2], right[2], right[7] = b"", b"", b"no picture"
    bad = TRAIN.set_column(1, "left", [left]).set_column(2, "right", [right])
    rows = PicturePairs.read(bad, PAIRS, CONFIG, part="training", size=32, context=FitContext())
    assert len(rows.readable) == 62
    assert rows.unreadable[2].startswith("left: ")
    assert rows.unreadable[7].startswith("right: ")
    spread = rows.spread(np.ones(62, np.float32))
    assert np.flatnonzero(np.isnan(spread)).tolist() == [2, 7]
    model = Siamese(SHORT).fit(PAIRS, bad, VALID, FitContext(device="cpu"))
    assert "pair7" in model.assess(bad, VALID).warnings[0]
    few = bad.slice(0, 10)
    with pytest.raises(TrainingFailed, match="more than a tenth"):
        Siamese(SHORT).fit(PAIRS, few, VALID, FitContext(device="cpu"))


def test_what_leaves_nothing_to_learn_is_refused() -> None:
    context = FitContext(device="cpu")
    with pytest.raises(TrainingFailed, match="the same label"):
        Siamese(SHORT).fit(PAIRS, TRAIN.set_column(3, "brighter", [["yes"] * 64]), VALID, context)
    with pytest.raises(TrainingFailed, match="does not learn a multiclass task"):
        Siamese(SHORT).fit(dataclasses.replace(PAIRS, kind=MULTICLASS), TRAIN, VALID, context)
    with pytest.raises(TrainingFailed, match="two features of type image; there are 1 among 1"):
        Siamese(SHORT).fit(dataclasses.replace(PAIRS, inputs=MASKS.inputs), TRAIN, VALID, context)


def test_figures_show_the_hardest_pairs_side_by_side() -> None:
    model = fitted()[0]
    hardest, confusion, *rates = model.figures(TRAIN, VALID)
    assert hardest.name == "top_losses"
    assert isinstance(hardest.body, Pictures)
    assert hardest.body.pictures[0].row_id in VALID.column("name").to_pylist()
    assert isinstance(confusion.body, Matrix)
    assert np.sum(confusion.body.values) == 24
    assert [one.name for one in rates] == ["recall", "precision"]
    assert model.figures(TRAIN, VALID.slice(0, 0)) == []


def test_saved_weights_are_the_nets(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = fitted()[0]
    model.save(tmp_path)
    found = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(found[name], value) for name, value in model.net.state_dict().items())
    again = body_of("resnet18", tmp_path / "model.safetensors").module
    assert torch.equal(again[0].weight, model.net.body[0].weight)
