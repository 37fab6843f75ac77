"""The unpickler of MovieLens reads tables and runs nothing else; nothing is fetched."""

import io
import os
import pickle

import pandas as pd
import pytest

from examples.movielens.data import TableUnpickler, _first_genre


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("exit 1",)


def test_a_pickle_that_would_run_a_command_is_refused() -> None:
    content = io.BytesIO(pickle.dumps(Harmful()))
    with pytest.raises(pickle.UnpicklingError, match="a table does not need posix"):
        TableUnpickler(content).load()


def test_names_that_lead_elsewhere_are_refused() -> None:
    for module, name in (("builtins", "eval"), ("numpy", "load"), ("pandas", "read_pickle")):
        with pytest.raises(pickle.UnpicklingError):
            TableUnpickler(io.BytesIO()).find_class(module, name)
    assert TableUnpickler(io.BytesIO()).find_class("pandas.core.frame", "DataFrame") is pd.DataFrame


def test_the_first_genre_counts_and_none_is_missing() -> None:
    genres = _first_genre(pd.Series(["Comedy|Drama", "Film-Noir", "(no genres listed)", None]))
    assert genres[:2].tolist() == ["Comedy", "Film-Noir"]
    assert genres[2:].isna().all()
