"""The pictures: plotly figures in colours that colour-blind people can tell apart, with uncertainty drawn.

Palette: Okabe and Ito, "Color Universal Design", 2008.
"""

import pandas as pd
import plotly.graph_objects as go

BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6b7280"
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, "#CC79A7", "#56B4E9", GREY)
# Lines and dots differ in dash and shape too, for those who cannot tell the colours apart.
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star", "cross")
POWERS_OF_TEN = {"dtick": 1, "exponentformat": "power"}
"""Ticks of a logarithmic axis."""

SIMULATED = "rgba(213, 94, 0, 0.14)"
PERCENT = ".0%"
WEEK_HOVER = "week of %{x|%d %b %Y}: %{y:.1%}<extra></extra>"


def accuracy_over_time(table: pd.DataFrame, reference: float, fall: float) -> go.Figure:
    """Realised accuracy with its 95 % interval beside the estimate that needs no labels, week by week."""
    figure = go.Figure()
    known = table[table["accuracy"].notna()]
    band_x = [*known["start"], *known["start"][::-1]]
    band_y = [*known["accuracy_upper"], *known["accuracy_lower"][::-1]]
    figure.add_scatter(
        x=band_x,
        y=band_y,
        fill="toself",
        fillcolor="rgba(0, 114, 178, 0.15)",
        line={"width": 0},
        hoverinfo="skip",
        name="95 % interval",
    )
    figure.add_scatter(
        x=known["start"],
        y=known["accuracy"],
        mode="lines+markers",
        marker={"size": 4},
        line={"color": BLUE, "width": 2},
        name="Realised, from labels",
        hovertemplate=WEEK_HOVER,
    )
    figure.add_scatter(
        x=table["start"],
        y=table["estimated_accuracy"],
        mode="lines",
        line={"color": ORANGE, "width": 2, "dash": "dash"},
        name="Estimated, without labels",
        hovertemplate=WEEK_HOVER,
    )
    figure.add_hline(
        y=reference,
        line={"color": GREY, "width": 1},
        annotation_text="when it was trained",
        annotation_position="top left",
    )
    figure.add_hline(
        y=reference - fall,
        line={"color": VERMILION, "width": 1, "dash": "dot"},
        annotation_text="a fall that matters",
        annotation_position="bottom left",
    )
    shade_simulated(figure, table)
    return styled(figure, "Accuracy", PERCENT)


def drift_map(table: pd.DataFrame, threshold: float) -> go.Figure:
    """Distance of each input from the reference, week by week; the threshold is where the colour turns."""
    order = table.max().sort_values().index
    values = table[order].T
    ceiling = max(3 * threshold, 0.3)
    turn = threshold / ceiling
    figure = go.Figure(
        go.Heatmap(
            x=values.columns,
            y=values.index,
            z=values.to_numpy(),
            zmin=0,
            zmax=ceiling,
            colorscale=[[0, "#f7f7f7"], [turn, "#d1e5f0"], [turn + 0.001, "#fdb863"], [1, "#b35806"]],
            colorbar={"title": "distance"},
            hovertemplate="%{y}, week of %{x|%d %b %Y}: %{z:.2f}<extra></extra>",
        )
    )
    figure.update_layout(height=120 + 24 * len(order))
    return styled(figure, "", None)


def shares(values: list[str], window: list[float], reference: list[float], label: str) -> go.Figure:
    """How often each value came, in the chosen window beside the reference."""
    figure = go.Figure()
    figure.add_bar(x=values, y=reference, name="when it was trained", marker_color=GREY)
    figure.add_bar(x=values, y=window, name=label, marker_color=ORANGE)
    figure.update_layout(barmode="group")
    figure.update_xaxes(type="category")
    return styled(figure, "Share of people", PERCENT)


def groups(table: pd.DataFrame, overall: float, title: str) -> go.Figure:
    """One dot a group with its 95 % interval.

    The line is everyone. A diamond marks a gap that chance does not explain.
    """
    ordered = table.sort_values("value")
    figure = go.Figure(
        go.Scatter(
            x=ordered["value"],
            y=ordered["group"],
            mode="markers",
            marker={
                "size": 11,
                "color": [VERMILION if flag else BLUE for flag in ordered["significant"]],
                "symbol": ["diamond" if flag else "circle" for flag in ordered["significant"]],
            },
            error_x={
                "type": "data",
                "symmetric": False,
                "array": ordered["upper"] - ordered["value"],
                "arrayminus": ordered["value"] - ordered["lower"],
                "color": GREY,
            },
            customdata=ordered[["people", "lower", "upper"]],
            hovertemplate="%{y}: %{x:.1%}<br>95 %: %{customdata[1]:.1%} to %{customdata[2]:.1%}"
            "<br>%{customdata[0]:,} people<extra></extra>",
        )
    )
    figure.add_vline(x=overall, line={"color": GREY, "width": 1, "dash": "dot"})
    figure.add_annotation(x=overall, y=1.0, yref="paper", yanchor="bottom", text="everyone", showarrow=False)
    figure.update_layout(height=140 + 34 * len(ordered), showlegend=False)
    figure = styled(figure, "", None)
    figure.update_xaxes(title=title, tickformat=PERCENT)
    return figure


def traffic(table: pd.DataFrame) -> go.Figure:
    """People predicted each week, and how many of them have a label by now."""
    figure = go.Figure()
    figure.add_bar(x=table["start"], y=table["labelled"], name="label known", marker_color=BLUE)
    figure.add_bar(
        x=table["start"],
        y=table["rows"] - table["labelled"],
        name="label not known yet",
        marker_color="#bfdbe9",
    )
    figure.update_layout(barmode="stack", height=220)
    shade_simulated(figure, table)
    return styled(figure, "People a week", None)


def shade_simulated(figure: go.Figure, table: pd.DataFrame) -> None:
    """Marks the weeks in which an incident was played."""
    for row in table[table["simulated"] != ""].itertuples():
        figure.add_vrect(x0=row.start, x1=row.end, fillcolor=SIMULATED, line_width=0, layer="below")
    first = table[table["simulated"] != ""].head(1)
    for row in first.itertuples():
        figure.add_annotation(
            x=row.start,
            y=1.02,
            yref="paper",
            text="simulated incident",
            showarrow=False,
            font={"color": VERMILION},
        )


def styled(figure: go.Figure, y_title: str, y_format: str | None) -> go.Figure:
    """`figure` in the look that all charts share."""
    figure.update_layout(
        template="plotly_white",
        margin={"l": 8, "r": 8, "t": 36, "b": 8},
        font={"size": 14},
        legend={"orientation": "h", "y": 1.12},
        hoverlabel={"font_size": 14},
    )
    figure.update_yaxes(title=y_title, tickformat=y_format, automargin=True)
    return figure
