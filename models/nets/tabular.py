"""A net for tables: numbers normalised, codes and categories embedded, then fully connected layers.

Self-contained, as it travels inside TorchServe archives. Method: Guo and Berkhahn, "Entity Embeddings of
Categorical Variables", 2016; Howard and Gugger, "Deep Learning for Coders", chapter 9.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

MISSING_CODE = -(2**63)
# A logit whose probability is 0 in float32, whatever else is added to it.
SILENT = -1e6


def embedding_size(value_count: int) -> int:
    """Width of an embedding by the number of values: the rule of thumb of the fastai library."""
    return min(600, round(1.6 * math.pow(value_count, 0.56)))


@dataclass(frozen=True)
class TabularNetSpec:
    """What a net is built from, besides its weights.

    `code_values`: the known values of each code column, increasing. `category_values`: of each category
    column. A number of column j that is missing is filled with `medians[j]` (the mean where there are no
    medians); then all become `(x - means[j]) / deviations[j]`.
    """

    means: tuple[float, ...]
    deviations: tuple[float, ...]
    code_values: tuple[tuple[int, ...], ...]
    category_values: tuple[tuple[str, ...], ...]
    hidden_sizes: tuple[int, ...]
    dropout: float
    medians: tuple[float, ...] = ()
    output_count: int = 1

    @property
    def fills(self) -> tuple[float, ...]:
        """What a missing number of each column is after normalisation."""
        medians = self.medians or self.means
        columns = zip(medians, self.means, self.deviations, strict=True)
        return tuple((median - mean) / deviation for median, mean, deviation in columns)

    def as_json(self) -> dict[str, Any]:
        """The spec as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "TabularNetSpec":
        """What `as_json` gave."""
        return cls(
            tuple(data["means"]),
            tuple(data["deviations"]),
            tuple(tuple(values) for values in data["code_values"]),
            tuple(tuple(values) for values in data["category_values"]),
            tuple(data["hidden_sizes"]),
            data["dropout"],
            tuple(data["medians"]),
            data["output_count"],
        )


class TabularNet(nn.Module):
    """Numbers that a head makes predictions of: logits, or standardised values; `(N,)` for one output, else
    `(N, output_count)`.

    All embeddings stand in one table, looked up at once: column j's rows start at `offsets[j]`, row 0 of a
    column is for values that were not known, row 1 for missing ones. Columns narrower than the widest use the
    first of their table's entries.
    """

    used: Tensor
    offsets: Tensor
    means: Tensor
    deviations: Tensor
    fills: Tensor

    def __init__(self, spec: TabularNetSpec) -> None:
        super().__init__()
        self.spec = spec
        sizes = [len(values) + 2 for values in (*spec.code_values, *spec.category_values)]
        widths = [embedding_size(size) for size in sizes]
        widest = max(widths, default=1)
        self.table = nn.Parameter(torch.empty(sum(sizes) or 1, widest))
        nn.init.trunc_normal_(self.table, std=0.01)
        self.register_buffer(
            "offsets",
            torch.tensor([sum(sizes[:j]) for j in range(len(sizes))], dtype=torch.int64),
            persistent=False,
        )
        used = [j * widest + place for j, width in enumerate(widths) for place in range(width)]
        self.register_buffer("used", torch.tensor(used, dtype=torch.int64), persistent=False)
        self.register_buffer("means", torch.tensor(spec.means), persistent=False)
        self.register_buffer("deviations", torch.tensor(spec.deviations), persistent=False)
        self.register_buffer("fills", torch.tensor(spec.fills), persistent=False)
        self.embedding_dropout = nn.Dropout(spec.dropout)
        layers: list[nn.Module] = []
        width = len(used) + 2 * len(spec.means)
        for size in spec.hidden_sizes:
            layers += [nn.Linear(width, size), nn.ReLU(), nn.BatchNorm1d(size), nn.Dropout(spec.dropout)]
            width = size
        self.layers = nn.Sequential(*layers, nn.Linear(width, spec.output_count))

    def forward(self, numeric: Tensor, index: Tensor) -> Tensor:
        """`numeric` float32 `(N, n)`, NaN missing; `index` int64 `(N, C)`: each value's row in its column
        (`rows_of`).
        """
        missing = numeric.isnan()
        scaled = torch.where(missing, self.fills, (numeric - self.means) / self.deviations)
        embedded = self.embed(index)
        features = torch.cat([self.embedding_dropout(embedded), scaled, missing.to(scaled.dtype)], 1)
        outputs: Tensor = self.layers(features)
        return outputs.squeeze(1) if self.spec.output_count == 1 else outputs

    def embed(self, index: Tensor) -> Tensor:
        """The embeddings of all columns side by side, `(N, E)`."""
        return nn.functional.embedding(index + self.offsets, self.table).flatten(1)[:, self.used]

    @torch.no_grad()
    def settle_unseen(self, index: Tensor) -> None:
        """Gives rows that no training row used the mean of their column's used rows, so that they push
        nowhere.
        """
        for column, offset in enumerate(self.offsets.tolist()):
            end = int(self.offsets[column + 1]) if column + 1 < len(self.offsets) else len(self.table)
            seen = torch.bincount(index[:, column], minlength=end - offset) > 0
            part = self.table[offset:end]
            if seen.any():
                part[~seen] = part[seen].mean(0)

    @torch.no_grad()
    def silence(self, outputs: list[int]) -> None:
        """Makes the probability of these outputs nothing: no training row has taught them anything else."""
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        last.bias[outputs] = SILENT


def rows_of(codes: Tensor, categories: Iterable[Any], spec: TabularNetSpec) -> Tensor:
    """Each value's row in its column, int64 `(N, C)`: `codes` int64 `(N, n)`, `categories` N texts a
    column, as a list or an array.
    """
    columns = []
    for j, values in enumerate(spec.code_values):
        known = torch.tensor(values, dtype=torch.int64)
        column = codes[:, j].contiguous()
        if not len(known):
            columns.append(torch.where(column == MISSING_CODE, 1, 0))
            continue
        place = torch.searchsorted(known, column).clamp(max=len(known) - 1)
        rows = torch.where(known[place] == column, place + 2, 0)
        columns.append(torch.where(column == MISSING_CODE, 1, rows))
    for texts, names in zip(categories, spec.category_values, strict=True):
        # "" is row 1, known texts follow; what is not found is row 0
        places = pc.index_in(pa.array(texts, pa.utf8()), pa.array(["", *names], pa.utf8()))
        columns.append(torch.tensor(pc.fill_null(places, -1).to_numpy(), dtype=torch.int64) + 1)
    return torch.stack(columns, 1) if columns else torch.zeros((len(codes), 0), dtype=torch.int64)
