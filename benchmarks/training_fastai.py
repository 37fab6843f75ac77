"""Run by `benchmarks.training` in an interpreter that has fastai: prints seconds an epoch and the accuracy.

Arguments: file, rows to train on, epochs, batch, rate, decay, threads.
"""

import sys
import time

import numpy as np
import pandas as pd
import torch
from fastai.tabular.all import (
    Categorify,
    CategoryBlock,
    FillMissing,
    Normalize,
    TabularPandas,
    accuracy,
    tabular_learner,
)


def main(arguments: list[str]) -> None:
    """Trains with fastai's own defaults besides what the arguments say."""
    file, train_rows, epochs, batch, rate, decay, threads = arguments
    torch.set_num_threads(int(threads))
    data = np.load(file)
    numbers = [f"n{j}" for j in range(data["numeric"].shape[1])]
    texts = [f"c{j}" for j in range(data["category"].shape[1])]
    frame = pd.DataFrame(data["numeric"], columns=numbers)
    frame[texts] = pd.DataFrame(data["category"].astype(object), columns=texts)
    frame["label"] = data["label"].astype(int)
    count = int(train_rows)
    table = TabularPandas(
        frame,
        procs=[Categorify, FillMissing, Normalize],
        cat_names=texts,
        cont_names=numbers,
        y_names="label",
        y_block=CategoryBlock(),
        splits=(list(range(count)), list(range(count, len(frame)))),
    )
    learner = tabular_learner(table.dataloaders(bs=int(batch)), layers=[200, 100], metrics=accuracy)
    with learner.no_bar(), learner.no_logging():
        began = time.perf_counter()
        learner.fit_one_cycle(int(epochs), float(rate), wd=float(decay))
        seconds = (time.perf_counter() - began) / int(epochs)
    print(seconds, learner.validate()[1])


if __name__ == "__main__":
    main(sys.argv[1:])
