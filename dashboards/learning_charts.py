"""Charts of how models learn: curves, the sweep of learning rates, versions beside one another."""

import math
from collections.abc import Sequence
from itertools import cycle

import pandas as pd
import plotly.graph_objects as go
from boarfish.v1 import training_pb2

from dashboards.charts import (
    BLUE,
    DASHES,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    POWERS_OF_TEN,
    VERMILION,
    styled,
)
from dashboards.words import spoken

NOT_METRICS = {"model_index", "model", "epoch", "train_loss", "validation_loss"}


def losses(table: pd.DataFrame) -> go.Figure:
    """Training and validation loss of one model, epoch by epoch."""
    return _by_epoch(
        table,
        (("train_loss", "training", BLUE, "solid"), ("validation_loss", "validation", ORANGE, "dash")),
        "Loss",
    )


def metrics(table: pd.DataFrame) -> go.Figure:
    """Each metric on validation rows, epoch by epoch."""
    names = [name for name in table.columns if name not in NOT_METRICS and table[name].notna().any()]
    styles = zip(names, cycle(PALETTE[2:]), cycle(DASHES), strict=False)
    lines = [(name, spoken(name), colour, dash) for name, colour, dash in styles]
    return _by_epoch(table, lines, "On validation rows")


def rate_sweep(found: training_pb2.FindLearningRateResponse) -> go.Figure:
    """The loss at each rate, with the three suggestions marked."""
    figure = go.Figure(
        go.Scatter(
            x=list(found.learning_rates),
            y=list(found.losses),
            mode="lines",
            line={"color": BLUE, "width": 2},
            hovertemplate="rate %{x:.2g}: loss %{y:.4g}<extra></extra>",
        )
    )
    suggestions = [
        ("valley", found.suggestion, VERMILION, "solid"),
        ("steepest", found.steep, GREEN, "dash"),
        ("a tenth of the least", found.minimum, GREY, "dot"),
    ]
    marked = sorted((one for one in suggestions if one[1] > 0), key=lambda one: one[1])
    for place, (name, rate, colour, dash) in enumerate(marked):
        figure.add_vline(x=rate, line={"color": colour, "dash": dash, "width": 2})
        figure.add_annotation(
            x=math.log10(rate),
            y=1 - 0.09 * place,
            yref="paper",
            text=f"{name}: {rate:.2g}",
            showarrow=False,
            xanchor="right" if place == 0 else "left",
            bgcolor="white",
            font={"color": colour},
        )
    figure.update_layout(height=380, showlegend=False)
    figure = styled(figure, "Loss, smoothed", None)
    # Where the loss explodes is not what is looked for: the fall fills the chart.
    if found.losses:
        fall = max(found.losses[0] - min(found.losses), 0.1 * abs(found.losses[0]))
        figure.update_yaxes(range=[found.losses[0] - 1.15 * fall, found.losses[0] + 0.75 * fall])
    figure.update_xaxes(title="Learning rate", type="log", **POWERS_OF_TEN)
    return figure


def beside(names: Sequence[str], estimates: Sequence[training_pb2.ModelVersion], metric: str) -> go.Figure:
    """One dot a version with its 95 % interval, first at the top."""
    values = [version.metrics[metric] for version in estimates]
    figure = go.Figure(
        go.Scatter(
            x=[one.value for one in values],
            y=list(names),
            mode="markers",
            marker={"size": 11, "color": BLUE},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [one.upper - one.value for one in values],
                "arrayminus": [one.value - one.lower for one in values],
                "color": GREY,
            },
            customdata=[(one.lower, one.upper) for one in values],
            hovertemplate="%{y}: %{x:.4g}<br>95 %: %{customdata[0]:.4g} to "
            "%{customdata[1]:.4g}<extra></extra>",
        )
    )
    figure.update_layout(height=130 + 34 * len(names), showlegend=False)
    figure = styled(figure, "", None)
    figure.update_xaxes(title=spoken(metric))
    figure.update_yaxes(type="category", autorange="reversed")
    return figure


def _by_epoch(table: pd.DataFrame, lines: Sequence[tuple[str, str, str, str]], y_title: str) -> go.Figure:
    figure = go.Figure()
    for column, name, colour, dash in lines:
        known = table[table[column].notna()]
        figure.add_scatter(
            x=known["epoch"],
            y=known[column],
            name=name,
            mode="lines+markers" if len(known) < 40 else "lines",
            marker={"size": 5},
            line={"color": colour, "dash": dash, "width": 2},
            hovertemplate="epoch %{x}: %{y:.4g}",
        )
    figure.update_layout(height=300, showlegend=True)
    figure = styled(figure, y_title, None)
    figure.update_xaxes(title="Epoch", dtick=1 if table["epoch"].max() <= 12 else None)
    return figure
