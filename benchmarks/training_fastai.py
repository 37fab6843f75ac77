"""Run by `benchmarks.training` in an interpreter that has fastai: prints seconds an epoch and the metric.

Arguments: work, file of arrays, settings as JSON. Besides what the settings say, all is fastai's own default.
"""

import importlib
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

# Beside a CPU build of torch, torchvision's own operators are missing, and it does not import without them.
LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
for operator in ("nms", "qnms"):
    LIBRARY.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def adult(data, settings):
    """A tabular learner."""
    import pandas as pd
    from fastai.tabular.all import (
        Categorify,
        CategoryBlock,
        FillMissing,
        Normalize,
        TabularPandas,
        accuracy,
        tabular_learner,
    )

    numbers = [f"n{j}" for j in range(data["numeric"].shape[1])]
    texts = [f"c{j}" for j in range(data["category"].shape[1])]
    frame = pd.DataFrame(data["numeric"], columns=numbers)
    frame[texts] = pd.DataFrame(data["category"].astype(object), columns=texts)
    frame["label"] = data["label"].astype(int)
    table = TabularPandas(
        frame,
        procs=[Categorify, FillMissing, Normalize],
        cat_names=texts,
        cont_names=numbers,
        y_names="label",
        y_block=CategoryBlock(),
        splits=(list(range(settings["train"])), list(range(settings["train"], len(frame)))),
    )
    loaders = table.dataloaders(bs=settings["batch"])
    return tabular_learner(loaders, layers=[200, 100], metrics=accuracy), 1


def movielens(data, settings):
    """A collaborative learner."""
    import pandas as pd
    from fastai.collab import CollabDataLoaders, collab_learner
    from fastai.metrics import rmse

    frame = pd.DataFrame({name: data[name] for name in data.files})
    loaders = CollabDataLoaders.from_df(
        frame,
        user_name="user",
        item_name="film",
        rating_name="rating",
        bs=settings["batch"],
        splitter=lambda rows: (list(range(settings["train"])), list(range(settings["train"], len(rows)))),
    )
    return collab_learner(loaders, n_factors=settings["factors"], y_range=(0, 5.5), metrics=rmse), 1


def pictures(data, settings):
    """A vision learner without pretrained weights, with its usual changes of pictures."""
    from fastai.vision.all import (
        ImageDataLoaders,
        Resize,
        accuracy,
        aug_transforms,
        resnet18,
        resnet50,
        vision_learner,
    )

    folder = Path(tempfile.mkdtemp())
    starts = np.concatenate([[0], data["ends"][:-1]])
    paths = [folder / f"{place:05}.png" for place in range(len(starts))]
    for path, start, end in zip(paths, starts, data["ends"], strict=True):
        path.write_bytes(data["bytes"][start:end].tobytes())
    import pandas as pd

    frame = pd.DataFrame({"path": [path.name for path in paths], "label": data["label"].astype(str)})
    frame["held_out"] = np.arange(len(frame)) >= settings["train"]
    loaders = ImageDataLoaders.from_df(
        frame,
        folder,
        valid_col="held_out",
        item_tfms=Resize(settings["size"]),
        batch_tfms=aug_transforms(size=settings["size"]),
        bs=settings["batch"],
        num_workers=2,
    )
    net = {"resnet18": resnet18, "resnet50": resnet50}[settings.get("net", "resnet18")]
    return vision_learner(loaders, net, pretrained=False, metrics=accuracy), 1


def text(data, settings):
    """A language model learner over the same tokens."""
    from fastai.data.core import DataLoaders
    from fastai.losses import CrossEntropyLossFlat
    from fastai.metrics import Perplexity
    from fastai.text.data import LMDataLoader
    from fastai.text.learner import LMLearner
    from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_lm_config
    from fastai.text.models.core import get_language_model

    config = {
        **awd_lstm_lm_config,
        "emb_sz": settings["embedding"],
        "n_hid": settings["hidden"],
        "n_layers": settings["layers"],
    }
    net = get_language_model(AWD_LSTM, settings["vocabulary"], config=config, drop_mult=settings["dropout"])
    train, valid = (
        LMDataLoader(
            [torch.from_numpy(data[part].astype(np.int64))],
            bs=settings["batch"],
            seq_len=settings["length"],
            shuffle=part == "train",
        )
        for part in ("train", "valid")
    )
    loaders = DataLoaders(train, valid)
    return LMLearner(loaders, net, loss_func=CrossEntropyLossFlat(), metrics=Perplexity()), 1


def main(arguments):
    """Trains and prints."""
    # Brings `fit_one_cycle` to every learner.
    importlib.import_module("fastai.callback.schedule")
    work, file, settings = arguments[0], arguments[1], json.loads(arguments[2])
    torch.set_num_threads(settings["threads"])
    learner, metric = globals()[work](np.load(file), settings)
    with learner.no_bar(), learner.no_logging():
        began = time.perf_counter()
        learner.fit_one_cycle(settings["epochs"], settings["rate"], wd=settings["decay"])
        seconds = (time.perf_counter() - began) / settings["epochs"]
        print(seconds, float(learner.validate()[metric]))


if __name__ == "__main__":
    main(sys.argv[1:])
