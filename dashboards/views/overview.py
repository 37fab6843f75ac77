"""The overview: in one glance, what needs a person now, what serves, and how many people it decides on."""

import math

import streamlit as st
from boarfish.v1 import inference_pb2, monitoring_pb2

from dashboards import charts, queries
from dashboards.words import between, percent

SEVERITY = {
    monitoring_pb2.ALERT_SEVERITY_CRITICAL: (":material/error:", "critical"),
    monitoring_pb2.ALERT_SEVERITY_WARNING: (":material/warning:", "warning"),
    monitoring_pb2.ALERT_SEVERITY_INFO: (":material/info:", "information"),
}


def show_alert(alert: monitoring_pb2.Alert, *, expanded: bool) -> None:
    """One alert: what, evidence, what to do, and the form to acknowledge it."""
    sign, word = SEVERITY.get(alert.severity, (":material/info:", "unrated"))
    noticed = alert.detect_time.ToDatetime()
    with st.expander(f"{alert.title} — noticed {noticed:%d %b %Y}", expanded=expanded, icon=sign):
        if alert.simulations:
            st.warning(f"Part of a simulated incident: {', '.join(alert.simulations)}")
        st.write(alert.description)
        st.write(f"**What to do.** {alert.suggested_action}")
        state = (
            "still seen"
            if not alert.HasField("resolve_time")
            else f"gone since {alert.resolve_time.ToDatetime():%d %b %Y}"
        )
        st.caption(f"Severity: {word}. Began {alert.start_time.ToDatetime():%d %b %Y}, {state}.")
        if alert.acknowledged_by:
            st.caption(f"Acknowledged by {alert.acknowledged_by}: {alert.acknowledge_note or 'no note'}")
        elif alert.state == monitoring_pb2.ALERT_STATE_OPEN:
            with st.form(f"acknowledge-{alert.id}", border=False):
                columns = st.columns([2, 4, 2], vertical_alignment="bottom")
                person = columns[0].text_input("Your name", key=f"person-{alert.id}")
                note = columns[1].text_input("What you found or will do", key=f"note-{alert.id}")
                if columns[2].form_submit_button("Acknowledge"):
                    if not person.strip():
                        st.error("Please give your name: the ledger records who acknowledged an alert.")
                    else:
                        queries.acknowledge(alert.id, person.strip(), note.strip())
                        st.session_state["noted"] = (
                            f"Noted: {person.strip()} has seen it. It stands in the ledger."
                        )
                        st.rerun()


def show_serving(health: monitoring_pb2.DeploymentHealth) -> None:
    """Which versions serve, on what, and how the shadow compares."""
    found = queries.deployment(health.deployment)
    rung = inference_pb2.Rung.Name(found.rung).removeprefix("RUNG_").lower()
    rows = []
    for role, served, quality in (
        ("Champion: its answers are used", found.champion, health.overall_quality),
        ("Shadow: sees the same people, answers no one", found.shadow, health.shadow_quality),
    ):
        if served.model_version:
            version = queries.model_version(served.model_version)
            runtime = (
                inference_pb2.RuntimeKind.Name(served.runtime)
                .removeprefix("RUNTIME_KIND_")
                .replace("_", " ")
                .title()
            )
            rows.append(
                {
                    "Role": role,
                    "Model": version.model.replace("_", " "),
                    "Version": served.model_version[:12],
                    "Runs on": runtime,
                    "Ready": "yes" if served.ready else served.status or "no",
                    "Accuracy so far": between(quality.accuracy),
                    "Beside the trivial rule": version.baseline.statement,
                }
            )
    st.write(f"Rung: **{rung}**.")
    st.dataframe(rows, hide_index=True, width="stretch")


def main() -> None:
    """Draws the page."""
    name = st.session_state["deployment"]
    health = next(one for one in queries.health() if one.deployment == name)
    task = queries.task(health.model_version)
    st.title(task.display_name or name)
    st.write(health.summary)
    st.caption(f"Purpose: {task.purpose.action}")

    columns = st.columns(4)
    columns[0].metric("People predicted", f"{health.prediction_count:,}", border=True)
    columns[1].metric("Labels known", f"{health.labelled_count:,}", border=True)
    accuracy, reference = health.overall_quality.accuracy.value, health.reference_quality.accuracy.value
    moved = 100 * (accuracy - reference)
    change = "" if math.isnan(moved) else f", {moved:+.1f} points since"
    columns[2].metric("Accuracy so far", percent(accuracy), border=True)
    columns[3].metric("Open alerts", health.open_alert_count, border=True)
    st.caption(
        f"Clock of this deployment: {health.watermark.ToDatetime():%d %B %Y} (the newest event seen). "
        f"Waiting to be counted: {health.backlog_count:,} events. "
        f"When it was trained, {percent(reference)} of its decisions were right{change}."
    )

    if noted := st.session_state.pop("noted", ""):
        st.success(noted)
    found = queries.alerts(name)
    needing = [alert for alert in found if alert.state == monitoring_pb2.ALERT_STATE_OPEN]
    st.header("What needs a person now")
    if not needing:
        st.success("Nothing. No alert is open.")
    for alert in needing:
        show_alert(alert, expanded=True)
    past = [alert for alert in found if alert.state != monitoring_pb2.ALERT_STATE_OPEN]
    if past:
        st.header("Alerts that were acknowledged or are over")
        for alert in past:
            show_alert(alert, expanded=False)

    st.header("What serves")
    show_serving(health)

    st.header("People predicted, week by week")
    table = queries.quality_table(queries.windows(name)[0])
    if not table.empty:
        st.plotly_chart(
            charts.traffic(table), width="stretch", key="traffic", alt="People predicted each week"
        )


main()
