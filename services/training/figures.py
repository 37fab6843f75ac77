"""Figures of the models as messages."""

from typing import TYPE_CHECKING

from boarfish.v1 import figure_pb2

if TYPE_CHECKING:
    from models import figures


def to_proto(figure: "figures.Figure") -> figure_pb2.Figure:
    """`figure` as it goes over the wire and into the model version's files."""
    from models import figures

    message = figure_pb2.Figure(name=figure.name, title=figure.title, sentence=figure.sentence)
    body = figure.body
    if isinstance(body, figures.Table):
        message.table.columns.extend(body.columns)
        for row in body.rows:
            message.table.rows.add(cells=[_cell(value) for value in row])
    elif isinstance(body, figures.Bars):
        message.bars.CopyFrom(
            figure_pb2.BarsFigure(
                names=body.names, values=body.values, axis=body.axis, lower=body.lower, upper=body.upper
            )
        )
    elif isinstance(body, figures.Lines):
        message.lines.CopyFrom(
            figure_pb2.LinesFigure(
                x=body.x, x_axis=body.x_axis, y_axis=body.y_axis, logarithmic_x=body.logarithmic_x
            )
        )
        for name, values in body.lines:
            message.lines.lines.add(name=name, values=values)
    elif isinstance(body, figures.Matrix):
        message.matrix.CopyFrom(
            figure_pb2.MatrixFigure(
                rows=body.rows,
                columns=body.columns,
                values=[value for row in body.values for value in row],
                row_axis=body.row_axis,
                column_axis=body.column_axis,
            )
        )
    elif isinstance(body, figures.Points):
        message.points.CopyFrom(
            figure_pb2.PointsFigure(
                x=body.x, y=body.y, names=body.names, groups=body.groups,
                x_axis=body.x_axis, y_axis=body.y_axis,
            )
        )  # fmt: skip
    elif isinstance(body, figures.Pictures):
        for picture in body.pictures:
            message.pictures.pictures.add(png=picture.png, caption=picture.caption, row_id=picture.row_id)
    else:
        message.dendrogram.names.extend(body.names)
        message.dendrogram.axis = body.axis
        for left, right, height in body.merges:
            message.dendrogram.merges.add(left=left, right=right, height=height)
    return message


def _cell(value: str | float) -> figure_pb2.FigureCell:
    if isinstance(value, str):
        return figure_pb2.FigureCell(text=value)
    return figure_pb2.FigureCell(number=float(value))
