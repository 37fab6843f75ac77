"""Gates: what must hold before the next rung, and what is known of it now, condition by condition."""

import streamlit as st
from boarfish.v1 import inference_pb2
from boarfish.v1 import monitoring_pb2 as pb

from dashboards import queries

RUNGS = {
    "assisted": "Assisted: its answer is recorded, a person's is used",
    "canary": "Canary: it answers a limited scope",
    "full": "Full: it answers everyone",
}
VERDICTS = {
    pb.GATE_VERDICT_PASS: (":material/check_circle:", "holds", "Everything that is asked for holds."),
    pb.GATE_VERDICT_FAIL: (
        ":material/cancel:",
        "does not hold",
        "The gate is shut: something does not hold.",
    ),
    pb.GATE_VERDICT_INCONCLUSIVE: (
        ":material/help:",
        "cannot be told yet",
        "The gate stays shut: not everything can be told yet.",
    ),
}


def show_gate(rung: str, answer: pb.EvaluateGateResponse) -> None:
    """One rung: the verdict in words, then each condition."""
    icon, _, words = VERDICTS[answer.verdict]
    st.header(RUNGS[rung])
    draw = {
        pb.GATE_VERDICT_PASS: st.success,
        pb.GATE_VERDICT_FAIL: st.error,
        pb.GATE_VERDICT_INCONCLUSIVE: st.warning,
    }[answer.verdict]
    draw(words, icon=icon)
    for check in answer.checks:
        sign, word, _ = VERDICTS[check.verdict]
        st.markdown(f"{sign} **{word.capitalize()}.** {check.sentence}")


def main() -> None:
    """Draws the page."""
    name = st.session_state["deployment"]
    health = next(one for one in queries.health() if one.deployment == name)
    stands = inference_pb2.Rung.Name(queries.deployment(name).rung).removeprefix("RUNG_").lower()
    st.title("Gates")
    st.write(
        f"This deployment stands on the rung **{stands}**. Before each rung its task says what must hold; "
        "here is what is known of that now. A condition holds only when the data are sure of it."
    )
    versions = {"The champion": health.model_version}
    if health.shadow_model_version:
        versions["The shadow"] = health.shadow_model_version
    chosen = "The champion"
    if len(versions) > 1:
        chosen = (
            st.segmented_control("Who is judged", list(versions), default=chosen, required=True) or chosen
        )
    for rung in RUNGS:
        show_gate(rung, queries.gate(name, rung, versions[chosen]))
    st.caption(
        f"Judged by the gates of the task that version {versions[chosen][:12]} was trained for. Intervals "
        "hold however often a gate is asked, so that asking again does not open it."
    )


main()
