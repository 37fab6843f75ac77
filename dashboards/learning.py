"""What the pages on training and on cleaning data ask of the services, and the tables that they show."""

import uuid
from collections.abc import Iterable, Sequence

import pandas as pd
import streamlit as st
from boarfish.v1 import figure_pb2, ingestion_pb2, task_pb2, training_pb2

from dashboards.queries import KEEP_S, client
from dashboards.words import number_with_interval, spoken

JOBS_SHOWN = 100
SWEEP_WITHIN_S = 600.0
TREES = {"gradient_boosting", "random_forest", "xgboost", "ensemble"}
"""Models that have no learning rate to sweep."""

LIVE = {training_pb2.TRAINING_JOB_STATE_QUEUED, training_pb2.TRAINING_JOB_STATE_RUNNING}


@st.cache_data(ttl=1, show_spinner=False)
def jobs() -> list[training_pb2.TrainingJob]:
    """The newest training jobs, newest first."""
    request = training_pb2.ListTrainingJobsRequest(page_size=JOBS_SHOWN)
    return list(client().training.ListTrainingJobs(request).jobs)


def job(job_id: str) -> training_pb2.TrainingJob:
    """A job as it is at this moment."""
    return client().training.GetTrainingJob(training_pb2.GetTrainingJobRequest(id=job_id)).job


@st.cache_data(ttl=1, show_spinner=False)
def curve(job_id: str) -> pd.DataFrame:
    """How a job's models learnt so far: see `curve_table`."""
    request = training_pb2.GetTrainingCurveRequest(id=job_id)
    return curve_table(client().training.GetTrainingCurve(request).points)


@st.cache_data(ttl=KEEP_S, show_spinner=False)
def versions() -> list[training_pb2.ModelVersion]:
    """The newest model versions of all tasks, newest first."""
    request = training_pb2.ListModelVersionsRequest(page_size=JOBS_SHOWN)
    return list(client().training.ListModelVersions(request).model_versions)


@st.cache_data(ttl=600, max_entries=32, show_spinner=False)
def figures(version_id: str) -> list[figure_pb2.Figure]:
    """The looks inside a version, most telling first; they never change."""
    request = training_pb2.GetModelVersionFiguresRequest(id=version_id)
    return list(client().training.GetModelVersionFigures(request).figures)


def top_losses(version_id: str) -> figure_pb2.Figure | None:
    """What a version finds hardest, or `None` where its kind has no such figure."""
    return next((one for one in figures(version_id) if one.name == "top_losses"), None)


def find_learning_rate(
    job: training_pb2.TrainingJob, model_index: int
) -> training_pb2.FindLearningRateResponse:
    """A sweep of rates for one net of the job's plan, on the rows that the job saw. Takes a while."""
    request = training_pb2.FindLearningRateRequest(
        dataset=job.dataset, dataset_version=job.dataset_version, task=job.task, model_index=model_index
    )
    return client().training.FindLearningRate(request, timeout=SWEEP_WITHIN_S)


@st.cache_data(ttl=KEEP_S, show_spinner=False)
def dataset(name: str) -> ingestion_pb2.Dataset:
    """A dataset with its task and newest version."""
    return client().ingestion.GetDataset(ingestion_pb2.GetDatasetRequest(name=name)).dataset


def train(name: str, version: int, task: task_pb2.Task) -> training_pb2.TrainingJob:
    """Starts a job over a dataset version."""
    request = training_pb2.CreateTrainingJobRequest(
        request_id=uuid.uuid4().hex, dataset=name, dataset_version=version, task=task
    )
    made = client().training.CreateTrainingJob(request).job
    jobs.clear()
    return made


def nets(task: task_pb2.Task) -> dict[int, str]:
    """Models of a task's plan that have a learning rate to sweep, by place."""
    kinds = [str(plan.WhichOneof("plan")) for plan in task.training.models]
    return {index: kind for index, kind in enumerate(kinds) if kind not in TREES}


def curve_table(points: Iterable[training_pb2.CurvePoint]) -> pd.DataFrame:
    """A row a point: model_index, model, epoch, train_loss, validation_loss, then a column a metric."""
    rows = [
        {
            "model_index": point.model_index,
            "model": point.model,
            "epoch": point.epoch,
            "train_loss": point.train_loss,
            "validation_loss": point.validation_loss,
            **point.metrics,
        }
        for point in points
    ]
    columns = ["model_index", "model", "epoch", "train_loss", "validation_loss"]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)


def title_of(version: training_pb2.ModelVersion) -> str:
    """A version by task, kind and the first characters of its id."""
    return f"{version.task_name}: {spoken(version.model)} {version.id[:8]}"


def metrics_table(chosen: Sequence[training_pb2.ModelVersion]) -> pd.DataFrame:
    """A row a metric that any version has, a column a version; each number with its interval."""
    names = sorted({name for version in chosen for name in version.metrics})
    rows = {
        name: {
            title_of(version): number_with_interval(version.metrics[name]) if name in version.metrics else "–"
            for version in chosen
        }
        for name in names
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def settings_table(chosen: Sequence[training_pb2.ModelVersion]) -> pd.DataFrame:
    """A row a setting, a column a version; those that differ first, marked in the column "Differs"."""
    names = list(dict.fromkeys(name for version in chosen for name in version.parameters))
    rows = {
        "data": {
            title_of(version): f"{version.dataset}, version {version.dataset_version}" for version in chosen
        }
    }
    rows |= {
        name: {title_of(version): version.parameters.get(name, "–") for version in chosen} for name in names
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.insert(0, "Differs", ["yes" if row.nunique() > 1 else "" for _, row in table.iterrows()])
    return table.sort_values("Differs", ascending=False, kind="stable")
