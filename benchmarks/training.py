"""Training beside its peers: `python -m benchmarks.training [WORK ...] [--rounds 3] [--share 1] [--fastai
PYTHON]`.

Works: `adult` (a net for tables; the default), `movielens` (a recommender), `pictures` (ResNet-18 at 128
pixels), `text` (a language model, AWD-LSTM), and, on a GPU, `resnet50` (at 224 in bfloat16). Boarfish's whole
fit (preparing the rows, callbacks, metrics, progress, a checkpoint an epoch) beside a plain loop over tensors
in memory, which is the floor; with `--fastai`, an interpreter that has fastai trains too, by its own loaders
and defaults.
"""

import argparse
import importlib

import torch

from benchmarks.peers import Arguments, Work, compare

WORKS = {
    "adult": "benchmarks.training_adult",
    "movielens": "benchmarks.training_movielens",
    "pictures": "benchmarks.training_pictures",
    "text": "benchmarks.training_text",
    "resnet50": "benchmarks.training_resnet50",
}


def main() -> None:
    """Prints a table a work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("works", nargs="*", default=["adult"], help=", ".join(WORKS))
    parser.add_argument("--epochs", type=int, default=0, help="0: the work's own number")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the rows, of works that take long")
    parser.add_argument("--threads", type=int, default=1, help="nets this small gain little from more")
    parser.add_argument("--fastai", metavar="PYTHON", default="", help="an interpreter that has fastai")
    arguments = parser.parse_args()
    if unknown := set(arguments.works) - set(WORKS):
        parser.error(f"no such work: {', '.join(sorted(unknown))}")
    torch.set_num_threads(arguments.threads)
    for name in arguments.works:
        asked = Arguments(arguments.epochs, arguments.share, arguments.fastai)
        work: Work = importlib.import_module(WORKS[name]).work(asked)
        peers = {peer: run for peer, run in work.peers.items() if peer != "fastai" or arguments.fastai}
        compare(Work(work.title, work.count, work.metric, peers, work.unit), arguments.rounds)


if __name__ == "__main__":
    main()
