"""The data cleaner: a person looks at what a model finds hardest, and relabels or deletes.

A new dataset version comes out; the versions before stay as they were.
"""

import streamlit as st
from boarfish.v1 import ingestion_pb2, task_pb2, training_pb2

from dashboards import amending, learning
from dashboards.amending import DELETED, Hard
from dashboards.words import spoken

KEEP = "\0keep"
CARDS_A_ROW = 4
COUNTS = (8, 16, 24, 48)


def choose_version() -> training_pb2.ModelVersion | None:
    """The model version whose hardest rows are looked at, or `None` when there is no version."""
    found = learning.versions()
    if not found:
        return None
    index = st.selectbox(
        "Model version",
        range(len(found)),
        format_func=lambda i: (
            f"{learning.title_of(found[i])}, {found[i].create_time.ToDatetime():%d %b %Y %H:%M}"
        ),
        help="Newest first",
    )
    return found[index]


def show_decision(row: Hard, task: task_pb2.Task, key: str) -> str:
    """The control beside one row; gives `KEEP`, `DELETED` or the new label."""
    labels = amending.labels_of(task)
    words = {KEEP: "Keep as it is", DELETED: "Delete", **labels}
    typed = not labels and not amending.why_not(task)
    chosen = st.selectbox(
        f"Row {row.row_id}",
        list(words),
        format_func=lambda value: words.get(value, value),
        key=key,
        accept_new_options=typed,
        help="Choose, or type the right value" if typed else None,
    )
    return chosen or KEEP


def show_card(row: Hard, task: task_pb2.Task, key: str) -> str:
    """One row with its picture or contents, and the decision on it."""
    with st.container(border=True):
        if row.png:
            st.image(row.png, caption=row.verdict, width="stretch")
            return show_decision(row, task, key)
        contents, decision = st.columns([3, 1], vertical_alignment="center")
        contents.markdown(row.verdict)
        told = " · ".join(f"{name}: {value}" for name, value in row.contents.items())
        contents.caption(told.replace("$", r"\$"))
        with decision:
            return show_decision(row, task, key)


def show_decisions(rows: list[Hard], task: task_pb2.Task, key: str) -> dict[str, str]:
    """All cards; what was decided by row id, without the rows that stay as they are."""
    across = CARDS_A_ROW if any(row.png for row in rows) else 1
    decisions = {}
    for start in range(0, len(rows), across):
        for column, row in zip(st.columns(across), rows[start : start + across], strict=False):
            with column:
                decisions[row.row_id] = show_card(row, task, f"{key}-{row.row_id}")
    return {row_id: decision for row_id, decision in decisions.items() if decision != KEEP}


def submit(data: ingestion_pb2.Dataset, decisions: dict[str, str], person: str, reason: str) -> None:
    """Sends the decisions, or says what is lacking."""
    if not decisions:
        st.error("Every row is kept as it is, so there is nothing to submit.")
    elif not person:
        st.error("Please give your name: the new version says who decided.")
    elif not reason:
        st.error("Please say why, in a sentence: whoever trains on the new version should know.")
    else:
        made = amending.amend(data, decisions, person, reason)
        said = (
            f"Version {made.dataset_version} of “{data.name}” is there: {made.relabelled_count} relabelled, "
            f"{made.deleted_count} deleted, by {person}. The versions before stay as they were."
        )
        st.session_state["amended"] = (said, data.name, made.dataset_version, data.task)
        st.session_state.setdefault("amended_rows", set()).update((data.name, row_id) for row_id in decisions)
        st.rerun()


def show_outcome() -> None:
    """What the last amendment made, with the offer to train on it."""
    said, name, version, task = st.session_state["amended"]
    st.success(said, icon=":material/check_circle:")
    if st.button(f"Train on version {version}"):
        job = learning.train(name, version, task)
        del st.session_state["amended"]
        st.switch_page("views/training.py", query_params={"run": job.id})


def show_form(data: ingestion_pb2.Dataset, rows: list[Hard], key: str) -> None:
    """The hardest rows with a decision each, who decides, and why."""
    counts = [count for before, count in zip((0, *COUNTS), COUNTS, strict=False) if before < len(rows)]
    count = st.segmented_control("Rows to look at", counts, default=COUNTS[0], required=True) or COUNTS[0]
    with st.form("amend", border=False):
        decisions = show_decisions(rows[:count], data.task, key)
        columns = st.columns([2, 4])
        person = columns[0].text_input("Your name")
        reason = columns[1].text_input("Why", placeholder="For whoever trains on the new version")
        if st.form_submit_button("Make a new dataset version", type="primary"):
            submit(data, decisions, person.strip(), reason.strip())


def main() -> None:
    """Draws the page."""
    st.title("Data cleaner")
    st.write(
        "A model is a good finder of bad data: rows with a wrong label, or that should not be there, are "
        "among those that it finds hardest. Look at them, and say what is to become of each."
    )
    version = choose_version()
    if version is None:
        st.info("There is no model version yet. Train one first; then come back.")
        return
    figure = learning.top_losses(version.id)
    data = learning.dataset(version.dataset)
    rows = list(amending.hard_rows(figure, data.task)) if figure else []
    if figure is None or not rows:
        st.info(
            f"This version ({spoken(version.model)}) keeps no list of its hardest rows by id. Choose another "
            "version, or train anew with a task that names an id column."
        )
        return
    st.header("What it finds hardest")
    st.write(figure.sentence)
    if data.latest_version != version.dataset_version:
        st.caption(
            f"The model learnt on version {version.dataset_version} of “{data.name}”; its newest is "
            f"{data.latest_version}, and that is what will be amended."
        )
    if against := amending.why_not(data.task):
        st.warning(against)
        if not data.task.id_column:
            return
    amended = st.session_state.get("amended_rows", set())
    left = [row for row in rows if (data.name, row.row_id) not in amended]
    if len(left) < len(rows):
        st.caption(f"{len(rows) - len(left)} that you have amended are not shown again.")
    if left:
        show_form(data, left, f"decision-{version.id}")
    if "amended" in st.session_state:
        show_outcome()


main()
