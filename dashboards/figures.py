"""Figures of model versions (protos/boarfish/v1/figure.proto), each drawn by the kind of its body.

Words come first: the title, the sentence that says what is seen, then the chart or the table.
"""

import math
from collections import Counter
from collections.abc import Iterable
from itertools import cycle

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from boarfish.v1 import figure_pb2

from dashboards.charts import BLUE, DASHES, GREY, PALETTE, POWERS_OF_TEN, SYMBOLS, styled

PICTURES_A_ROW = 6
MOST_NARROW = 12
MOST_WRITTEN_CELLS = 400
MOST_NAMED_POINTS = 60
SEQUENTIAL = [[0, "#f7f7f7"], [0.5, "#92c5de"], [1, "#08519c"]]
DIVERGING = [[0, "#b35806"], [0.5, "#f7f7f7"], [1, "#08519c"]]


def show_all(found: Iterable[figure_pb2.Figure], key: str) -> None:
    """Draws figures in their order, small charts two beside each other; `key` is unique on the page."""
    rows: list[list[figure_pb2.Figure]] = []
    for figure in found:
        if rows and len(rows[-1]) == 1 and not is_wide(rows[-1][0]) and not is_wide(figure):
            rows[-1].append(figure)
        else:
            rows.append([figure])
    for row in rows:
        for column, figure in zip(st.columns(len(row), gap="large"), row, strict=True):
            with column:
                show(figure, f"{key}-{figure.name}")


def is_wide(figure: figure_pb2.Figure) -> bool:
    """Whether a figure needs the page's whole width."""
    kind = figure.WhichOneof("body")
    return kind in {"table", "pictures"} or (kind == "matrix" and len(figure.matrix.columns) > MOST_NARROW)


def show(figure: figure_pb2.Figure, key: str) -> None:
    """Draws `figure`; `key` is unique on the page."""
    st.subheader(figure.title)
    st.write(figure.sentence)
    kind = figure.WhichOneof("body")
    if kind == "table":
        st.dataframe(table_of(figure.table), hide_index=True, width="stretch", key=key)
    elif kind == "pictures":
        show_pictures(figure.pictures)
    elif kind is not None:
        st.plotly_chart(chart_of(figure), width="stretch", key=key, alt=f"{figure.title} – {figure.sentence}")


def show_pictures(body: figure_pb2.PicturesFigure) -> None:
    """Pictures side by side, each with what is to be read beneath it."""
    for start in range(0, len(body.pictures), PICTURES_A_ROW):
        row = body.pictures[start : start + PICTURES_A_ROW]
        for column, picture in zip(st.columns(PICTURES_A_ROW), row, strict=False):
            column.image(picture.png, caption=picture.caption, width="stretch")


def table_of(body: figure_pb2.TableFigure) -> pd.DataFrame:
    """The rows under their columns, a name that comes again numbered; mixed columns become text."""
    cells = [[_value(cell) for cell in row.cells] for row in body.rows]
    table = pd.DataFrame(cells, columns=_told_apart(body.columns))
    for name in table.columns:
        if table[name].map(type).nunique() > 1:
            table[name] = table[name].map(_text)
    return table


def chart_of(figure: figure_pb2.Figure) -> go.Figure:
    """The chart of a figure whose body is bars, lines, a matrix, points or a dendrogram."""
    match figure.WhichOneof("body"):
        case "bars":
            return bars(figure.bars)
        case "lines":
            return lines(figure.lines)
        case "matrix":
            return matrix(figure.matrix)
        case "points":
            return points(figure.points, diagonal=figure.name == "predicted_actual")
        case "dendrogram":
            return dendrogram(figure.dendrogram)
        case other:
            raise ValueError(f"{figure.name} has no chart: its body is {other}")


def bars(body: figure_pb2.BarsFigure) -> go.Figure:
    """One bar a name, first at the top, with its interval."""
    error = None
    if body.upper:
        values, lower, upper = (np.array(one) for one in (body.values, body.lower, body.upper))
        error = {
            "type": "data",
            "symmetric": False,
            "array": upper - values,
            "arrayminus": values - lower,
            "color": GREY,
        }
    figure = go.Figure(
        go.Bar(
            x=list(body.values),
            y=list(body.names),
            orientation="h",
            marker_color=BLUE,
            error_x=error,
            hovertemplate="%{y}: %{x:.4g}<extra></extra>",
        )
    )
    figure.update_layout(height=110 + 26 * len(body.names), bargap=0.35)
    figure = styled(figure, "", None)
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_xaxes(title=body.axis)
    return figure


def lines(body: figure_pb2.LinesFigure) -> go.Figure:
    """Lines over one axis, told apart by colour and dash."""
    figure = go.Figure()
    for line, colour, dash in zip(body.lines, cycle(PALETTE), cycle(DASHES), strict=False):
        figure.add_scatter(
            x=list(body.x),
            y=[None if math.isnan(value) else value for value in line.values],
            name=line.name,
            mode="lines" if len(body.x) > 1 else "markers",
            line={"color": colour, "dash": dash, "width": 2},
            hovertemplate="%{x:.4g}: %{y:.4g}",
        )
    figure.update_layout(height=340, showlegend=len(body.lines) > 1)
    figure = styled(figure, body.y_axis, None)
    figure.update_xaxes(title=body.x_axis)
    if body.logarithmic_x:
        figure.update_xaxes(type="log", **POWERS_OF_TEN)
    return figure


def matrix(body: figure_pb2.MatrixFigure) -> go.Figure:
    """A cell for each row and column.

    Colour grows with the root of the value, so that a rare confusion shows beside a common right answer.
    Values of both signs turn around 0.
    """
    values = np.array(body.values).reshape(len(body.rows), len(body.columns))
    written = values.size <= MOST_WRITTEN_CELLS
    signed = values.size > 0 and values.min() < 0
    reach = float(np.abs(values).max()) if signed else None
    figure = go.Figure(
        go.Heatmap(
            x=list(body.columns),
            y=list(body.rows),
            z=values if signed else np.sqrt(values),
            zmin=-reach if reach is not None else None,
            zmax=reach,
            customdata=values,
            text=[[f"{value:,.4g}" if value else "" for value in row] for row in values] if written else None,
            texttemplate="%{text}" if written else None,
            colorscale=DIVERGING if signed else SEQUENTIAL,
            showscale=False,
            xgap=1,
            ygap=1,
            hovertemplate=f"{body.row_axis} %{{y}}, {body.column_axis} %{{x}}: "
            "%{customdata:,.4g}<extra></extra>",
        )
    )
    figure.update_layout(height=min(160 + 28 * len(body.rows), 900))
    figure = styled(figure, body.row_axis, None)
    figure.update_xaxes(title=body.column_axis, type="category")
    figure.update_yaxes(type="category", autorange="reversed")
    return figure


def points(body: figure_pb2.PointsFigure, *, diagonal: bool = False) -> go.Figure:
    """Named points; groups differ in colour and shape. `diagonal` draws where both axes are the same."""
    table = pd.DataFrame(
        {"x": list(body.x), "y": list(body.y), "name": list(body.names) or [""] * len(body.x)}
    )
    table["group"] = list(body.groups) or [""] * len(table)
    named = 0 < len(table) <= MOST_NAMED_POINTS
    figure = go.Figure()
    for (group, part), colour, symbol in zip(
        table.groupby("group", sort=False), cycle(PALETTE), cycle(SYMBOLS), strict=False
    ):
        figure.add_scatter(
            x=part["x"],
            y=part["y"],
            name=str(group),
            mode="markers+text" if named else "markers",
            text=part["name"],
            textposition="top center",
            marker={"color": colour, "symbol": symbol, "size": 8, "opacity": 0.8},
            hovertemplate="%{text}: %{x:.4g}, %{y:.4g}<extra></extra>",
        )
    if diagonal and len(table):
        ends = [table[["x", "y"]].min().min(), table[["x", "y"]].max().max()]
        figure.add_scatter(
            x=ends,
            y=ends,
            mode="lines",
            line={"color": GREY, "dash": "dot"},
            hoverinfo="skip",
            showlegend=False,
        )
    figure.update_layout(height=460, showlegend=bool(body.groups))
    figure = styled(figure, body.y_axis, None)
    figure.update_xaxes(title=body.x_axis)
    return figure


def dendrogram(body: figure_pb2.DendrogramFigure) -> go.Figure:
    """A tree that joins names at the height of each merge, names to the left."""
    order = leaf_order(body)
    place = {leaf: float(row) for row, leaf in enumerate(order)}
    height = dict.fromkeys(order, 0.0)
    x: list[float | None] = []
    y: list[float | None] = []
    for cluster, merge in enumerate(body.merges, start=len(body.names)):
        ends = place[merge.left], place[merge.right]
        x += [height[merge.left], merge.height, merge.height, height[merge.right], None]
        y += [ends[0], ends[0], ends[1], ends[1], None]
        place[cluster], height[cluster] = sum(ends) / 2, merge.height
    figure = go.Figure(go.Scatter(x=x, y=y, mode="lines", line={"color": BLUE, "width": 2}, hoverinfo="skip"))
    figure.update_layout(height=110 + 24 * len(body.names))
    figure = styled(figure, "", None)
    highest = max((merge.height for merge in body.merges), default=1.0)
    figure.update_xaxes(title=body.axis, range=[0, 1.02 * highest])
    figure.update_yaxes(
        tickvals=list(range(len(order))), ticktext=[body.names[leaf] for leaf in order], zeroline=False
    )
    return figure


def leaf_order(body: figure_pb2.DendrogramFigure) -> list[int]:
    """The names by place, so ordered that no two branches of the tree cross."""
    members = {leaf: [leaf] for leaf in range(len(body.names))}
    for cluster, merge in enumerate(body.merges, start=len(body.names)):
        members[cluster] = members.pop(merge.left) + members.pop(merge.right)
    return [leaf for joined in members.values() for leaf in joined]


def _told_apart(names: Iterable[str]) -> list[str]:
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique


def _value(cell: figure_pb2.FigureCell) -> str | float:
    return cell.number if cell.WhichOneof("value") == "number" else cell.text


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"
