"""Every example as a user runs it: rows through ingestion, a job on real workers, versions with all that they
need.

Small parts of the data and few epochs, so that a run takes seconds: quality is the examples' own matter.
"""

import io

import onnxruntime
import pytest
from boarfish import Client
from boarfish.v1 import ingestion_pb2, task_pb2, training_pb2
from rich.console import Console

from examples.train import example_names, run_example
from services.common.model_store import ModelStore
from services.common.settings import Settings
from services.supervisor import Suite
from tests.story import environment_for

pytestmark = [pytest.mark.xdist_group("examples"), pytest.mark.timeout(600)]

# Parts of the data that are a few hundred rows.
SHARES = {
    "adult": 0.03,
    "clip_art": 0.04,
    "digits": 0.03,
    "emoji": 0.08,
    "emoji_masks": 0.05,
    "emoji_points": 0.06,
    "fashion_mnist": 0.006,
    "file_kinds": 0.25,
    "flights": 0.003,
    "movie_snippets": 0.05,
    "movielens": 0.02,
    "newsgroups": 0.03,
    "shakespeare": 0.01,
    "spoken_words": 0.05,
    "stamps": 0.2,
    "weather_days": 0.3,
}


def quick(task: task_pb2.Task) -> None:
    """One epoch, small pictures, few trees."""
    for plan in task.training.models:
        for model in plan.ensemble.members or [plan]:
            settings = getattr(model, model.WhichOneof("plan"))
            fields = settings.DESCRIPTOR.fields_by_name
            for name, value in {"epochs": 1, "iterations": 10, "tree_count": 10, "image_size": 32}.items():
                if name in fields:
                    setattr(settings, name, value)
            if "progressive_sizes" in fields:
                settings.ClearField("progressive_sizes")
            if "fit" in fields:
                settings.fit.epochs = 1
                settings.fit.frozen_epochs = min(settings.fit.frozen_epochs, 1)
                settings.fit.learning_rate = settings.fit.learning_rate or 0.003
            if "encoder" in fields:
                settings.encoder.hidden_size, settings.encoder.embedding_size = 64, 32


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    home = tmp_path_factory.mktemp("examples")
    _, addresses = environment_for(home)
    given = {f"{name}_address": address for name, address in addresses.items()}
    metrics = {f"{name}_metrics_address": "" for name in addresses if name != "dashboards"}
    settings = Settings(home=home, **given, **metrics)
    with Suite(settings, ("ingestion", "training", "monitoring")):
        yield settings


@pytest.fixture(scope="module")
def client(suite):
    names = ("ingestion", "training", "inference", "monitoring")
    with Client(**{name: suite.address(name) for name in names}) as client:
        yield client


@pytest.mark.parametrize("name", [name for name in example_names() if name != "employment"])
def test_an_example_runs_from_its_data_to_its_versions(name, client, suite):
    told = io.StringIO()
    job = run_example(
        client,
        name,
        Console(file=told, width=200),
        share=SHARES[name],
        weights_folder=suite.home / "weights",
        adjust=quick,
    )
    assert job.state == training_pb2.TRAINING_JOB_STATE_SUCCEEDED, job.error
    assert len(job.model_versions) == len(job.task.training.models)
    store = ModelStore(suite.home / "models")
    for version in job.model_versions:
        assert version.baseline.statement in told.getvalue().replace("\n", " ")
        assert version.metrics
        assert 0 <= version.parity.largest_difference <= version.parity.tolerance
        assert version.parity.count > 0
        session = onnxruntime.InferenceSession(store.get(version.id).path_of("model.onnx"))
        assert session.get_inputs()
        figures = client.training.GetModelVersionFigures(
            training_pb2.GetModelVersionFiguresRequest(id=version.id)
        ).figures
        assert figures
        assert len({figure.name for figure in figures}) == len(figures)
        assert all(figure.title and figure.sentence for figure in figures)
    put = client.ingestion.GetDataset(ingestion_pb2.GetDatasetRequest(name=job.dataset)).dataset
    assert put.row_count > 0


def test_every_example_has_a_share_and_a_readme():
    from examples.train import FOLDER

    names = set(example_names()) - {"employment"}
    assert names == set(SHARES)
    for name in names:
        readme = (FOLDER / name / "README.md").read_text()
        assert f"python -m examples.train {name}" in readme
