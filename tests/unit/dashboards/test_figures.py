"""Every kind of body is drawn, words first, and so that shape tells apart what colour does."""

import math

import numpy as np
import pytest
from boarfish.v1 import figure_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import dendrogram, linkage

from dashboards import figures


def test_bars_stand_in_order_with_their_intervals():
    body = figure_pb2.BarsFigure(
        names=["b", "a"], values=[0.2, 0.9], lower=[0.1, 0.8], upper=[0.4, 1.0], axis="share"
    )
    bar = figures.bars(body).data[0]
    assert bar.y == ("b", "a")
    assert bar.error_x.array == pytest.approx((0.2, 0.1))
    assert bar.error_x.arrayminus == pytest.approx((0.1, 0.1))
    assert figures.bars(figure_pb2.BarsFigure(names=["a"], values=[1.0])).data[0].error_x.array is None


def test_lines_differ_in_dash_and_a_lacking_value_is_a_gap():
    body = figure_pb2.LinesFigure(x=[1e-5, 1e-3], x_axis="rate", y_axis="loss", logarithmic_x=True)
    body.lines.add(name="one", values=[1.0, math.nan])
    body.lines.add(name="two", values=[2.0, 3.0])
    figure = figures.lines(body)
    assert figure.data[0].y == (1.0, None)
    assert figure.data[0].line.dash != figure.data[1].line.dash
    assert figure.layout.xaxis.type == "log"


def test_a_matrix_keeps_its_numbers_and_its_order():
    body = figure_pb2.MatrixFigure(
        rows=["cat", "dog"],
        columns=["x", "y", "z"],
        values=[9, 0, 4, 1, 2, 3],
        row_axis="is",
        column_axis="said",
    )
    heat = figures.matrix(body).data[0]
    assert heat.customdata.tolist() == [[9, 0, 4], [1, 2, 3]]
    assert heat.z[0].tolist() == [3, 0, 2]
    assert list(heat.text[0]) == ["9", "", "4"]


def test_a_matrix_of_both_signs_turns_around_zero():
    body = figure_pb2.MatrixFigure(rows=["a"], columns=["x", "y"], values=[-0.5, 0.2])
    heat = figures.matrix(body).data[0]
    assert (heat.zmin, heat.zmax) == (-0.5, 0.5)


@pytest.mark.parametrize("size", [0, 200])
def test_a_matrix_of_any_size_is_drawn(size):
    names = [str(one) for one in range(size)]
    figure = figures.matrix(figure_pb2.MatrixFigure(rows=names, columns=names, values=[1.0] * size**2))
    assert figure.layout.height <= 900
    assert figure.data[0].texttemplate is None or size == 0


def test_groups_of_points_differ_in_shape():
    body = figure_pb2.PointsFigure(x=[1, 2, 3], y=[1, 2, 3], names=["a", "b", "c"], groups=["g", "h", "g"])
    first, second = figures.points(body).data
    assert list(first.text) == ["a", "c"]
    assert first.marker.symbol != second.marker.symbol


def test_points_need_no_names_or_groups_and_may_have_a_diagonal():
    figure = figures.points(figure_pb2.PointsFigure(x=[1, 5], y=[2, 3]), diagonal=True)
    assert figure.data[-1].x == figure.data[-1].y == (1.0, 5.0)
    assert not figures.points(figure_pb2.PointsFigure(), diagonal=True).data


def test_a_table_has_one_type_a_column():
    body = figure_pb2.TableFigure(columns=["name", "value", "mixed"])
    body.rows.add(cells=[cell("a"), cell(1.5), cell("")])
    body.rows.add(cells=[cell("b"), cell(2.0), cell(3.0)])
    table = figures.table_of(body)
    assert table["value"].tolist() == [1.5, 2.0]
    assert table["mixed"].tolist() == ["", "3"]


def test_columns_of_one_name_are_told_apart():
    body = figure_pb2.TableFigure(columns=["id", "x", "id"])
    body.rows.add(cells=[cell("a"), cell(1.5), cell("b")])
    assert figures.table_of(body).columns.tolist() == ["id", "x", "id (2)"]


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 12), st.integers(0, 10_000))
def test_branches_do_not_cross(count, seed):
    """Each merge joins leaves that lie next to each other, as in scipy's own order."""
    merges = linkage(np.random.default_rng(seed).normal(size=(count, 3)), "average")
    body = figure_pb2.DendrogramFigure(names=[str(one) for one in range(count)], axis="distance")
    for left, right, height, _ in merges:
        body.merges.add(left=int(left), right=int(right), height=height)
    order = figures.leaf_order(body)
    assert sorted(order) == list(range(count))
    assert order == [int(leaf) for leaf in dendrogram(merges, no_plot=True)["leaves"]]
    drawn = figures.dendrogram(body).data[0]
    assert max(x for x in drawn.x if x is not None) == pytest.approx(merges[:, 2].max())


@pytest.mark.parametrize(
    ("figure", "wide"),
    [
        (figure_pb2.Figure(table=figure_pb2.TableFigure()), True),
        (figure_pb2.Figure(bars=figure_pb2.BarsFigure()), False),
        (figure_pb2.Figure(matrix=figure_pb2.MatrixFigure(columns=["a"] * 12)), False),
        (figure_pb2.Figure(matrix=figure_pb2.MatrixFigure(columns=["a"] * 13)), True),
    ],
)
def test_tables_and_large_matrices_take_the_whole_width(figure, wide):
    assert figures.is_wide(figure) is wide


def test_a_figure_without_a_chart_is_an_error():
    with pytest.raises(ValueError, match="its body is table"):
        figures.chart_of(figure_pb2.Figure(name="t", table=figure_pb2.TableFigure()))


def cell(value: str | float) -> figure_pb2.FigureCell:
    if isinstance(value, str):
        return figure_pb2.FigureCell(text=value)
    return figure_pb2.FigureCell(number=value)
