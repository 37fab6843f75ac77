"""The appeals desk: people who contest a decision, what was decided on them, and their answer."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st
from boarfish.errors import BoarfishError
from boarfish.v1 import common_pb2
from boarfish.v1 import monitoring_pb2 as pb

from dashboards import appeals, queries
from dashboards.amending import contents_of
from dashboards.words import between

T = TypeVar("T")

STANDS, RIGHT = "The decision stands", "The person is right"
STATES = {
    pb.APPEAL_STATE_FILED: "nobody has it yet",
    pb.APPEAL_STATE_IN_REVIEW: "in review",
    pb.APPEAL_STATE_UPHELD: "upheld",
    pb.APPEAL_STATE_REJECTED: "rejected",
}
SOURCES = {
    common_pb2.LABEL_SOURCE_OBSERVED: "observed",
    common_pb2.LABEL_SOURCE_HUMAN: "said by a person",
    common_pb2.LABEL_SOURCE_MODEL_INFLUENCED: "shaped by the decision itself",
}
SHORT = 60


def short(appeal: pb.Appeal) -> str:
    """An appeal in one line, which no other has: choices are told apart by their words."""
    statement = " ".join(appeal.statement.split())
    words = statement if len(statement) <= SHORT else f"{statement[:SHORT].rstrip()}…"
    state = f"{STATES[appeal.state]}{', overdue' if appeal.overdue else ''}"
    return f"Due {appeal.due_time.ToDatetime():%d %b %Y}, {state}: “{words}” ({appeal.id[:8]})"


def attempt(step: Callable[..., T], *arguments: Any) -> T | None:
    """What a step gives; `None`, and what is wrong in words, when it is refused."""
    try:
        return step(*arguments)
    except BoarfishError as error:
        st.error(error.message)
        return None


def done(said: str) -> None:
    """Draws the page again, with what was done at its top."""
    st.session_state["appeal-done"] = said
    st.rerun()


def plain(value: Any) -> str:
    """A value of a Struct as one reads it: whole numbers without a point, nothing where it is missing."""
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def within(days: float) -> str:
    """A span of days, rounded up."""
    whole = max(1, math.ceil(days))
    return "a day" if whole == 1 else f"{whole} days"


def show_filing(deployment: str) -> None:
    """The form that files an appeal."""
    with st.expander("File an appeal for someone", icon=":material/edit_note:"):
        st.write(
            "Every answer of the model comes with a prediction id. Whoever the answer is about may contest "
            "it by that id, in their own words."
        )
        with st.form("file", border=False):
            columns = st.columns([3, 2])
            prediction_id = columns[0].text_input("Prediction id")
            person = columns[1].text_input("Their name", placeholder="If they want to be named")
            statement = st.text_area("What they say")
            if st.form_submit_button("File the appeal", type="primary"):
                if not prediction_id.strip() or not statement.strip():
                    st.error("Please give the prediction id and what the person says.")
                elif (
                    filed := attempt(
                        appeals.file, deployment, prediction_id.strip(), statement.strip(), person.strip()
                    )
                ) is not None:
                    st.session_state["appeal"] = filed.id
                    done(f"Filed. An answer is owed by {filed.due_time.ToDatetime():%d %B %Y}.")


def show_prediction(appeal: pb.Appeal, prediction: pb.ContestedPrediction) -> None:
    """What the model was told and what it said."""
    task = queries.task(appeal.model_version)
    st.markdown(
        f"On {prediction.event_time.ToDatetime():%d %B %Y} the model decided **{prediction.decision}** "
        f"(score {prediction.score:.3f}; from {task.decision.threshold:g} on it decides "
        f"“{task.decision.positive_label}”)."
    )
    st.caption(f"What “{task.decision.positive_label}” means: {prediction.positive_decision_means}")
    if prediction.label:
        would = prediction.labels.get(prediction.label, prediction.label)
        source = SOURCES.get(prediction.label_source, "of unknown origin")
        st.markdown(f"The outcome that is known of them speaks for **{would}** ({source}).")
    else:
        st.markdown("No outcome is known of them yet.")
    given = dict(prediction.inputs)
    inputs = {one.name: plain(given[one.name]) for one in task.features if one.name in given}
    words = contents_of(inputs, task)
    st.markdown("**What the model was told of them**")
    st.dataframe(
        [{"Input": name, "Value": value} for name, value in words.items()],
        hide_index=True,
        width="stretch",
        height=min(38 + 35 * len(words), 400),
    )


def show_taking(appeal: pb.Appeal) -> None:
    """The form by which a reviewer takes an appeal."""
    over = appeal.state == pb.APPEAL_STATE_IN_REVIEW
    with st.form(f"take-{appeal.id}", border=False):
        columns = st.columns(2)
        reviewer = columns[0].text_input("Your name", key=f"reviewer-{appeal.id}")
        role = columns[1].text_input("Your role", placeholder="case worker", key=f"role-{appeal.id}")
        if st.form_submit_button("Take it over" if over else "Take it on"):
            if not reviewer.strip():
                st.error("Please give your name: the person is told who reviewed their case.")
            elif attempt(appeals.take, appeal.id, reviewer.strip(), role.strip()):
                done(f"{reviewer.strip()} reviews this appeal now. It stands in the ledger.")


def show_answering(appeal: pb.Appeal, prediction: pb.ContestedPrediction) -> None:
    """The form by which the reviewer answers."""
    role = f" ({appeal.reviewer_role})" if appeal.reviewer_role else ""
    since = appeal.review_start_time.ToDatetime()
    st.markdown(f"**{appeal.reviewed_by}**{role} has it since {since:%d %B %Y}.")
    verdict = st.radio(
        "What is found", [STANDS, RIGHT], horizontal=True, index=None, key=f"verdict-{appeal.id}"
    )
    other = [label for label, said in prediction.labels.items() if said != appeal.decision]
    with st.form(f"answer-{appeal.id}", border=False):
        label = None
        if verdict == RIGHT and prediction.labels:
            label = st.selectbox(
                "What would have been right", sorted(other), format_func=lambda key: prediction.labels[key]
            )
        elif verdict == RIGHT:
            label = st.text_input("The value that is right")
        words = st.text_area("What the person is told", key=f"words-{appeal.id}")
        if st.form_submit_button("Answer", type="primary"):
            if verdict is None or not words.strip():
                st.error("Please say what is found, and what the person is told.")
            elif attempt(appeals.answer, appeal, words.strip(), label):
                end = "The right label is on its way to the lake." if label else "The decision stands."
                done(f"Answered in the name of {appeal.reviewed_by}. {end}")
    with st.expander("Take it over from them"):
        show_taking(appeal)


def show_waiting(found: list[pb.Appeal]) -> None:
    """The appeals that wait, and the one that is chosen."""
    waiting = [appeal for appeal in found if appeal.state in appeals.OPEN]
    if not waiting:
        st.success("Nobody waits for an answer.")
        return
    lines = {appeal.id: short(appeal) for appeal in waiting}
    wanted = st.session_state.get("appeal", waiting[0].id)
    index = list(lines).index(wanted) if wanted in lines else 0
    chosen = st.selectbox("Appeal", list(lines), index=index, format_func=lines.__getitem__)
    st.session_state["appeal"] = chosen
    known = appeals.one(chosen)
    appeal = known.appeal
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("What they say")
        st.markdown(f"> {appeal.statement}")
        by = f" by {appeal.filed_by}" if appeal.filed_by else ""
        st.caption(
            f"Filed on {appeal.create_time.ToDatetime():%d %B %Y}{by}; an answer is owed by "
            f"{appeal.due_time.ToDatetime():%d %B %Y}. Prediction {appeal.prediction_id}."
        )
        st.subheader("The review")
        if appeal.state == pb.APPEAL_STATE_FILED:
            st.write("The reviewer must not be someone who built or approved the model.")
            show_taking(appeal)
        else:
            show_answering(appeal, known.prediction)
    with right:
        st.subheader("What was decided")
        if known.HasField("prediction"):
            show_prediction(appeal, known.prediction)
        else:
            st.warning("The lake has this prediction no longer.")


def show_answered(found: list[pb.Appeal]) -> None:
    """The appeals that were answered, newest first, and labels that are still to come."""
    answered = sorted(
        (appeal for appeal in found if appeal.state not in appeals.OPEN),
        key=lambda appeal: -appeal.resolve_time.ToMicroseconds(),
    )
    if not answered:
        st.write("None yet.")
        return
    missing = sum(not appeal.HasField("label_time") for appeal in answered if appeal.corrected_label)
    if missing:
        columns = st.columns([4, 1], vertical_alignment="center")
        columns[0].warning(f"Corrected labels that have not been seen in the lake yet: {missing}.")
        if columns[1].button("Send them again") and (count := attempt(appeals.deliver)) is not None:
            done(f"Corrected labels sent: {count}.")
    st.dataframe([answered_row(appeal) for appeal in answered], hide_index=True, width="stretch")


def answered_row(appeal: pb.Appeal) -> dict[str, Any]:
    """A line of the table of answered appeals."""
    days = (appeal.resolve_time.ToDatetime() - appeal.create_time.ToDatetime()).days
    return {
        "Answered": appeal.resolve_time.ToDatetime(),
        "After": {0: "the same day", 1: "1 day"}.get(days, f"{days} days"),
        "Found": STATES[appeal.state],
        "Decision": appeal.decision,
        "By": appeal.reviewed_by,
        "They said": appeal.statement,
        "They were told": appeal.answer,
        "Prediction": appeal.prediction_id,
    }


def show_groups(known: pb.GetAppealStatisticsResponse) -> None:
    """Who appeals and who is upheld."""
    told = [group for group in known.groups if not group.suppressed]
    if known.everyone.answered_count:
        st.write(
            f"{between(known.everyone.appeal_rate)} of all decisions were appealed; "
            f"{between(known.everyone.upheld_rate)} of the answers upheld the person."
        )
    for group in told:
        st.markdown(f"- {group.sentence}")
    if told:
        st.dataframe(
            [
                {
                    "Group": group.display_name,
                    "Decisions": group.prediction_count,
                    "Appeals": group.appeal_count,
                    "Of decisions, appealed": between(group.appeal_rate),
                    "Of answers, upheld": between(group.upheld_rate),
                }
                for group in told
            ],
            hide_index=True,
            width="stretch",
        )
    hidden = [group.display_name for group in known.groups if group.suppressed]
    if hidden:
        st.caption(
            "Too few people or appeals to be told apart without telling of single persons: "
            f"{', '.join(hidden)}."
        )


def main() -> None:
    """Draws the page."""
    deployment = st.session_state["deployment"]
    st.title("Appeals")
    found, known = appeals.of(deployment), appeals.statistics(deployment)
    wait = "1 waits" if known.open_count == 1 else f"{known.open_count:,} wait"
    late = f", {known.overdue_count:,} of them past the date that was promised" if known.overdue_count else ""
    median = known.median_answer_days
    usual = "" if math.isnan(median) else f" Half are answered within {within(median)}."
    st.write(f"{known.everyone.sentence} {wait} for an answer{late}.{usual}")
    if said := st.session_state.pop("appeal-done", ""):
        st.success(said, icon=":material/check_circle:")
    show_filing(deployment)
    st.header("Waiting for an answer")
    show_waiting(found)
    st.header("Answered")
    show_answered(found)
    st.header("Who appeals, and who is upheld")
    show_groups(known)


main()
