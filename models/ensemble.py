"""The mean of several models of a table: net and trees err in different places, and part of it averages out.

Members are averaged in what they learn: probabilities, or the target (its logarithm, where the task says so).
Source: Breiman, "Bagging Predictors", 1996; Howard and Gugger, "Deep Learning for Coders", chapter 9.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.data.table_spec import TableSpec, TabularData
from models.data.tabular import TabularRows
from models.progress import TrainingFailed
from models.recipe import FitContext, Problem, Recipe
from models.tabular_model import TabularModel, share_of

KIND = "ensemble"


@runtime_checkable
class TabularRecipe(Protocol):
    """A recipe that makes models of tables."""

    name: str

    def fit_rows(self, data: TabularData, context: FitContext) -> TabularModel:
        """Fits a model to rows that have been read."""


class Ensemble:
    """The recipe. Raises `TrainingFailed` for members that are not models of tables."""

    name = KIND

    def __init__(self, members: Sequence[Recipe]) -> None:
        others = [member.name for member in members if not isinstance(member, TabularRecipe)]
        if others or len(members) < 2:
            raise TrainingFailed(
                f"An ensemble averages two or more models of tables; {', '.join(others) or 'one alone'} "
                "cannot be part of one."
            )
        self.members: list[TabularRecipe] = [one for one in members if isinstance(one, TabularRecipe)]

    def fit(
        self, problem: Problem, train: pa.Table, valid: pa.Table, context: FitContext
    ) -> "FittedEnsemble":
        """Fits the members one after the other: see `models.recipe.Recipe.fit`."""
        return self.fit_rows(TabularData.of(problem, train, valid), context)

    def fit_rows(self, data: TabularData, context: FitContext) -> "FittedEnsemble":
        """Fits the members to rows that have been read."""
        fitted = []
        for place, member in enumerate(self.members):
            part = share_of(context, place / len(self.members), (place + 1) / len(self.members), KIND)
            if context.checkpoint_folder is not None:
                part = replace(part, checkpoint_folder=context.checkpoint_folder / f"{place}-{member.name}")
            fitted.append(member.fit_rows(data, part))
        return FittedEnsemble(data.spec, fitted)


class FittedEnsemble(TabularModel):
    """Fitted members."""

    kind: ClassVar[str] = KIND

    def __init__(self, spec: TableSpec, members: Sequence[TabularModel]) -> None:
        super().__init__(spec)
        self.members = tuple(members)

    def learnt(self, rows: TabularRows) -> npt.NDArray[np.float32]:
        """The mean of the members' learnt numbers."""
        each = np.stack([member.learnt(rows) for member in self.members])
        return np.asarray(each.mean(0), np.float32)

    def add_to(self, graph: Any) -> str:
        """The members side by side in one graph, and their mean."""
        return str(graph.node("Mean", *(member.add_to(graph) for member in self.members)))

    def about(self) -> dict[str, Any]:
        """What the members are."""
        return {"members": [{"kind": member.kind, **member.about()} for member in self.members]}

    def files(self) -> dict[str, bytes]:
        """The members' files, each with its member's place before its name."""
        return {
            f"{place}-{name}": content
            for place, member in enumerate(self.members)
            for name, content in member.files().items()
        }
