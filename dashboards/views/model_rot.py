"""Model rot.

Is the model still as good as when it was trained, and do the people still look like those it learned from?
"""

import math

import pandas as pd
import streamlit as st
from boarfish.v1 import monitoring_pb2

from dashboards import charts, queries
from dashboards.words import between, percent


def accuracy_sentence(health: monitoring_pb2.DeploymentHealth, table: pd.DataFrame) -> str:
    """What the labels say so far."""
    known = table[table["accuracy"].notna()]
    if known.empty:
        return "No label is known yet, so only the estimate below speaks of quality."
    worst = known.sort_values("accuracy").iloc[0]
    return (
        f"When it was trained the model decided rightly for "
        f"{percent(health.reference_quality.accuracy.value)} of held-out people. "
        f"Since then it did so for {between(health.overall_quality.accuracy)}. "
        f"The worst week began on {worst['start']:%d %B %Y}: {percent(worst['accuracy'])} of "
        f"{worst['labelled']:,} people."
    )


def show_column(window: monitoring_pb2.Window, drift: monitoring_pb2.ColumnDrift) -> None:
    """One input in one week beside the reference."""
    st.write(drift.sentence or f"{drift.column} looks like it did when the model was trained.")
    label = f"week of {window.period.start_time.ToDatetime():%d %b %Y}"
    values = [share.value for share in drift.shares]
    figure = charts.shares(
        values,
        [share.window_share for share in drift.shares],
        [share.reference_share for share in drift.shares],
        label,
    )
    st.plotly_chart(figure, width="stretch", key="shares", alt=f"Shares of {drift.column}, {label}")
    surprise = "less than 1 in a million" if drift.p_value < 1e-6 else f"{drift.p_value:.2g}"
    st.caption(
        f"Distance {drift.jensen_shannon_distance:.3f} (0 is the same, 1 has nothing in common). "
        f"Chance of such a week if nothing had changed: {surprise}. "
        f"Missing: {percent(drift.missing_share)}. {drift.count:,} people."
    )


def main() -> None:
    """Draws the page."""
    name = st.session_state["deployment"]
    health = next(one for one in queries.health() if one.deployment == name)
    task = queries.task(health.model_version)
    found, _ = queries.windows(name, (monitoring_pb2.WINDOW_PART_DRIFT,))
    st.title("Model rot")
    if not found:
        st.info("No window has been counted yet. Come back when the first predictions have been made.")
        return
    table = queries.quality_table(found)

    st.header("Is it still right?")
    st.write(accuracy_sentence(health, table))
    reference = health.reference_quality.accuracy.value
    if not math.isnan(reference):
        figure = charts.accuracy_over_time(table, reference, task.watch.quality_fall)
        st.plotly_chart(figure, width="stretch", key="accuracy", alt="Accuracy by week")
    st.caption(
        f"Labels come about {task.watch.label_delay_days} days after the prediction; until then the dashed "
        f"line estimates accuracy "
        "from the scores alone (confidence-based performance estimation). The estimate trusts the scores: "
        "it can miss a change in how "
        "inputs and outcome hang together, which only labels show."
    )

    st.header("Do people still look the same?")
    weeks = [window for window in found if any(drift.drifting for drift in window.drifts)]
    moved = sorted({drift.column for window in weeks for drift in window.drifts if drift.drifting})
    if moved:
        st.write(
            f"In {len(weeks)} of {len(found)} weeks some input had moved, by enough to matter: "
            f"{', '.join(moved)}."
        )
    else:
        st.write(f"In none of {len(found)} weeks had an input moved by enough to matter.")
    drifts = queries.drift_table(found)
    alt = "Distance of each input from the reference, week by week"
    st.plotly_chart(
        charts.drift_map(drifts, task.watch.drift_distance), width="stretch", key="drift", alt=alt
    )
    st.caption(
        "Each cell compares one input in one week with the people that the model was checked on at "
        "training: the Jensen-Shannon distance, "
        f"0 the same, 1 nothing in common. Orange is beyond {task.watch.drift_distance:g}, where this task "
        f"says that it matters."
    )

    st.header("Look at one input in one week")
    columns = st.columns(2)
    starts = [window.period.start_time.ToDatetime() for window in found]
    worst = max(
        range(len(found)), key=lambda i: max((d.jensen_shannon_distance for d in found[i].drifts), default=0)
    )
    index = columns[0].selectbox(
        "Week", range(len(found)), index=worst, format_func=lambda i: f"{starts[i]:%d %b %Y}"
    )
    by_distance = sorted(found[index].drifts, key=lambda drift: -drift.jensen_shannon_distance)
    if by_distance:
        column = columns[1].selectbox(
            "Input", [drift.column for drift in by_distance], help="Furthest from the reference first"
        )
        if found[index].simulations:
            st.warning(f"A simulated incident was playing: {', '.join(found[index].simulations)}")
        show_column(found[index], next(drift for drift in by_distance if drift.column == column))


main()
