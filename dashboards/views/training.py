"""Training: what is being learnt now and how far it is, what came of each run, and how runs compare."""

import streamlit as st
from boarfish import errors
from boarfish.v1 import training_pb2

from dashboards import figures, learning, learning_charts, queries
from dashboards.words import duration, number_with_interval, spoken

REFRESH_S = 2.0
MOST_COMPARED = 6

STATES = {
    training_pb2.TRAINING_JOB_STATE_QUEUED: "waiting for its turn",
    training_pb2.TRAINING_JOB_STATE_RUNNING: "training now",
    training_pb2.TRAINING_JOB_STATE_SUCCEEDED: "finished",
    training_pb2.TRAINING_JOB_STATE_FAILED: "failed",
    training_pb2.TRAINING_JOB_STATE_CANCELLED: "stopped by someone",
}


def name_of(job: training_pb2.TrainingJob) -> str:
    """A run by its task, when it was created and where it stands."""
    task = job.task.display_name or job.task.name
    return f"{task}, {job.create_time.ToDatetime():%d %b %Y %H:%M}: {STATES.get(job.state, 'unknown')}"


def state_sentence(job: training_pb2.TrainingJob) -> str:
    """Where a run stands, in words."""
    data = f"on version {job.dataset_version} of the dataset “{job.dataset}”"
    took = job.end_time.ToSeconds() - job.create_time.ToSeconds()
    match job.state:
        case training_pb2.TRAINING_JOB_STATE_QUEUED:
            return f"It waits for its turn; it will train {data}."
        case training_pb2.TRAINING_JOB_STATE_RUNNING:
            progress = job.progress
            left = progress.time_left.ToTimedelta().total_seconds()
            parts = [spoken(progress.stage) or "starting"]
            if progress.rows_per_s > 0:
                parts.append(f"{progress.rows_per_s:,.0f} rows a second")
            if left > 0:
                parts.append(f"about {duration(left)} left")
            return f"It trains {data}: {', '.join(parts)}."
        case training_pb2.TRAINING_JOB_STATE_SUCCEEDED:
            count = len(job.model_versions)
            made = "one model version" if count == 1 else f"{count} model versions, best first"
            return f"It trained {data} for {duration(took)} and made {made}."
        case training_pb2.TRAINING_JOB_STATE_FAILED:
            return f"It failed {data}, after {duration(took)}. {job.error}"
        case _:
            return f"It was stopped {data}, after {duration(took)}."


def show_curves(job_id: str, model: str = "") -> None:
    """Loss and metrics of the models of a run, or of one kind of them, epoch by epoch."""
    table = learning.curve(job_id)
    if model:
        table = table[table["model"] == model]
    for (index, kind), part in table.groupby(["model_index", "model"]):
        name = spoken(str(kind))
        st.subheader(f"How {name} learnt")
        charts = {}
        if part[["train_loss", "validation_loss"]].notna().any(axis=None):
            charts["Loss"] = learning_charts.losses(part)
        if (drawn := learning_charts.metrics(part)).data:
            charts["Metrics on validation rows"] = drawn
        for column, (what, chart) in zip(st.columns(2), charts.items(), strict=False):
            alt = f"{what} of {name}, {len(part)} points"
            column.plotly_chart(chart, width="stretch", key=f"curve-{index}-{what}", alt=alt)


@st.fragment(run_every=REFRESH_S)
def show_running(job_id: str) -> None:
    """State and curves of a run that has not ended, drawn anew every two seconds until it has."""
    try:
        job = learning.job(job_id)
        if job.state not in learning.LIVE:
            learning.jobs.clear()
            learning.versions.clear()
            st.rerun()
        st.write(state_sentence(job))
        st.progress(min(max(job.progress.fraction_done, 0.0), 1.0), f"{job.progress.fraction_done:.0%} done")
        if not job.progress.epoch:
            st.caption("Curves are drawn here when the first epoch has ended.")
        show_curves(job_id)
    except errors.BoarfishError as error:
        st.warning(f"{error.message} This page tries again by itself.")


def show_version(version: training_pb2.ModelVersion) -> None:
    """How good a version is: the baseline first, then its metrics, settings and card."""
    if version.baseline.better:
        st.success(version.baseline.statement, icon=":material/check_circle:")
    elif version.baseline.statement:
        st.warning(version.baseline.statement, icon=":material/warning:")
    for warning in version.warnings:
        st.warning(warning)
    rows = [
        {
            "On validation rows": spoken(name),
            "Value, with its 95 % interval": number_with_interval(estimate),
            "Rows": f"{estimate.count:,}",
            "Note": "; ".join(estimate.warnings),
        }
        for name, estimate in sorted(version.metrics.items())
    ]
    st.dataframe(rows, hide_index=True, width="stretch")
    if version.parity.count:
        st.caption(
            f"The exported ONNX file gives the same {version.parity.what} within "
            f"{version.parity.largest_difference:.1g} (allowed {version.parity.tolerance:.1g}) on "
            f"{version.parity.count:,} rows."
        )
    with st.expander("Settings"):
        st.dataframe(
            [{"Setting": spoken(name), "Value": value} for name, value in version.parameters.items()],
            hide_index=True,
        )
    if version.model_card:
        with st.expander("Model card"):
            st.markdown(version.model_card)
    st.caption(f"Model version {version.id}")


def show_list(jobs: list[training_pb2.TrainingJob]) -> None:
    """Every run in a line."""
    rows = [
        {
            "Created": job.create_time.ToDatetime(),
            "Task": job.task.name,
            "Dataset": f"{job.dataset}, version {job.dataset_version}",
            "State": STATES.get(job.state, "unknown"),
            "Best model": spoken(job.model_versions[0].model) if job.model_versions else "",
            "Beside the trivial rule": job.model_versions[0].baseline.statement
            if job.model_versions
            else job.error,
        }
        for job in jobs
    ]
    with st.expander("All runs"):
        st.dataframe(rows, hide_index=True, width="stretch")


def choose_run(jobs: list[training_pb2.TrainingJob]) -> training_pb2.TrainingJob:
    """The run that the address names or a person chooses; else the newest."""
    ids = [job.id for job in jobs]
    wanted = st.query_params.get("run", ids[0])
    index = st.selectbox(
        "Run",
        range(len(jobs)),
        index=ids.index(wanted) if wanted in ids else 0,
        format_func=lambda i: name_of(jobs[i]),
        help="Newest first",
    )
    st.query_params["run"] = ids[index]
    return jobs[index]


def show_runs(jobs: list[training_pb2.TrainingJob]) -> None:
    """The chosen run: live while it trains; then what came of it, how it learnt, and the looks inside."""
    show_list(jobs)
    job = choose_run(jobs)
    if job.state in learning.LIVE:
        show_running(job.id)
        return
    (st.error if job.state == training_pb2.TRAINING_JOB_STATE_FAILED else st.write)(state_sentence(job))
    if not job.model_versions:
        show_curves(job.id)
        return
    versions = list(job.model_versions)
    chosen = st.radio(
        "Model version",
        range(len(versions)),
        format_func=lambda i: f"{spoken(versions[i].model)} {versions[i].id[:8]}",
        horizontal=True,
    )
    version = queries.model_version(versions[chosen].id)
    show_version(version)
    show_curves(job.id, version.model)
    figures.show_all(learning.figures(version.id), version.id)


def show_comparison() -> None:
    """Versions side by side: metrics with their intervals, and where their settings differ."""
    versions = learning.versions()
    if len(versions) < 2:
        st.info("There is nothing to compare yet: it takes two model versions.")
        return
    newest = versions[0].task_name
    alike = [index for index, version in enumerate(versions) if version.task_name == newest]
    chosen = st.multiselect(
        "Model versions",
        range(len(versions)),
        default=alike[:2],
        format_func=lambda i: learning.title_of(versions[i]),
        max_selections=MOST_COMPARED,
        help="Newest first",
    )
    picked = [versions[index] for index in chosen]
    if not picked:
        st.caption("Choose the versions to compare.")
        return
    for version in picked:
        st.markdown(f"- **{learning.title_of(version)}**: {version.baseline.statement}")
    if len({version.task_name for version in picked}) > 1:
        st.warning("These versions are of different tasks: their numbers do not speak of the same thing.")
    shared = sorted(set.intersection(*(set(version.metrics) for version in picked)))
    if shared:
        metric = st.selectbox("Metric", shared, format_func=spoken)
        names = [learning.title_of(version) for version in picked]
        said = "; ".join(
            f"{name} {number_with_interval(version.metrics[metric])}"
            for name, version in zip(names, picked, strict=True)
        )
        st.plotly_chart(
            learning_charts.beside(names, picked, metric),
            width="stretch",
            key="beside",
            alt=f"{metric}: {said}",
        )
        st.caption(
            "Dots are values on validation rows, bars their 95 % intervals. Where bars overlap, chance may "
            "explain the difference."
        )
    st.dataframe(learning.metrics_table(picked), width="stretch")
    st.subheader("Settings, those that differ first")
    st.dataframe(learning.settings_table(picked), width="stretch")


def show_finder(jobs: list[training_pb2.TrainingJob]) -> None:
    """The learning-rate finder over the data and the plan of a run."""
    choices = [(job, index, net) for job in jobs for index, net in learning.nets(job.task).items()]
    if not choices:
        st.info("No run had a net in its plan, and trees have no such rate.")
        return
    st.write(
        "Trains the net for a few steps at rates that grow from tiny to far too large, and draws the loss. A "
        "good rate lies where the loss falls steadily, well before it explodes. Nothing is kept."
    )
    place = st.selectbox(
        "Net",
        range(len(choices)),
        format_func=lambda i: f"{spoken(choices[i][2])} of {name_of(choices[i][0])}",
    )
    job, index, _ = choices[place]
    if st.button("Sweep the learning rate"):
        with st.spinner("Sweeping; this takes about as long as a small part of an epoch"):
            st.session_state["sweep"] = (job.id, index, learning.find_learning_rate(job, index))
    swept_job, swept_index, found = st.session_state.get("sweep", ("", 0, None))
    if found is None or (swept_job, swept_index) != (job.id, index):
        return
    st.write(
        f"Suggested peak rate: **{found.suggestion:.2g}** (the valley). The loss falls fastest at "
        f"{found.steep:.2g}; a tenth of where it is least is {found.minimum:.2g}."
    )
    alt = f"Loss by learning rate; valley at {found.suggestion:.2g}"
    st.plotly_chart(learning_charts.rate_sweep(found), width="stretch", key="sweep-chart", alt=alt)


def main() -> None:
    """Draws the page."""
    st.title("Training")
    jobs = learning.jobs()
    if not jobs:
        st.info(
            "Nothing has been trained yet. `python -m examples.train NAME` trains an example; a run appears "
            "here as soon as it is created."
        )
        return
    live = sum(job.state in learning.LIVE for job in jobs)
    now = "none of them is training now" if not live else f"{live} of them not finished yet"
    st.write(f"{len(jobs)} {'run' if len(jobs) == 1 else 'runs'}, {now}.")
    runs, comparison, finder = st.tabs(["Runs", "Compare versions", "Find a learning rate"])
    with runs:
        show_runs(jobs)
    with comparison:
        show_comparison()
    with finder:
        show_finder(jobs)


main()
