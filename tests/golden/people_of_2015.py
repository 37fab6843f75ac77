"""The real rows of the employment example, and models fitted to them, for the golden tests."""

from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from models.configs import GradientBoostingConfig, TabularNetConfig
from models.data.split import random_split
from models.data.tabular import TabularRows, TabularSchema
from models.tabular import fit_tabular_net
from models.trees import fit_gradient_boosting

FILE = Path(__file__).parents[2] / "examples" / "employment" / "data" / "2015.parquet"
CODES = ("SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "NATIVITY", "DEAR", "DEYE", "DREM")
SCHEMA = TabularSchema(("AGEP",), CODES, (), "employed", "1", "0")


@cache
def people() -> tuple[TabularRows, TabularRows]:
    """Training rows and 13,757 validation rows."""
    rows = TabularRows.from_arrow(pq.read_table(FILE), SCHEMA)
    train, valid = random_split(len(rows), 0.2, 42)
    return rows.take(train), rows.take(valid)


@cache
def fitted(which: str) -> Any:
    """The net after one epoch or 60 rounds of trees."""
    train, valid = people()
    if which == "net":
        config = TabularNetConfig(epochs=1, batch_size=512, learning_rate=0.01)
        return fit_tabular_net(train, valid, SCHEMA, config, seed=42, device="cpu")
    return fit_gradient_boosting(train, valid, SCHEMA, GradientBoostingConfig(60, 0.1, 31), seed=42)
