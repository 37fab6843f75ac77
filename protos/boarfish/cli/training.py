"""`boarfish train`, `models` and `task`: from a task file to a model version."""

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from boarfish.cli.options import AsJson, client
from boarfish.cli.output import BAD_ANSWER, console, fail, minute, number, print_json, print_table

if TYPE_CHECKING:
    from boarfish.client import Client
    from boarfish.v1 import task_pb2, training_pb2

SWEEP_TIMEOUT_S = 600

train = typer.Typer(help="Training jobs.", no_args_is_help=True)
models = typer.Typer(help="Model versions.", no_args_is_help=True)
task = typer.Typer(help="Task files.", no_args_is_help=True)


@train.command(
    "start", epilog="Example: boarfish train start examples/employment/task.yaml --dataset employment"
)
def start(
    task_file: Annotated[Path, typer.Argument(help="The task file.")],
    dataset: Annotated[str, typer.Option(help="The dataset to train on.")],
    version: Annotated[int, typer.Option(min=0, help="Its version; 0: the newest.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Trains the models of a task file and waits until the job has ended."""
    from boarfish.v1 import training_pb2

    request = training_pb2.CreateTrainingJobRequest(
        request_id=uuid.uuid4().hex, dataset=dataset, dataset_version=version, task=_load(task_file)
    )
    with client() as boarfish:
        job = boarfish.training.CreateTrainingJob(request).job
        _follow(boarfish, job.id, as_json)


@train.command("watch", epilog="Example: boarfish train watch 3f2a")
def watch(job_id: Annotated[str, typer.Argument(help="Id of the job.")], as_json: AsJson = False) -> None:
    """Follows a job until it has ended. Exit status 1 when it failed."""
    with client() as boarfish:
        _follow(boarfish, job_id, as_json)


@train.command("list", epilog="Example: boarfish train list")
def list_jobs(as_json: AsJson = False) -> None:
    """Jobs, newest first."""
    from boarfish.v1 import training_pb2

    with client() as boarfish:
        answer = boarfish.training.ListTrainingJobs(training_pb2.ListTrainingJobsRequest(page_size=100))
    if as_json:
        print_json(answer)
        return
    rows = ((one.id, one.task.name, _state(one), minute(one.create_time), one.error) for one in answer.jobs)
    print_table(("Id", "Task", "State", "Created", "Error"), rows, "No job has been started yet.")


@train.command("cancel", epilog="Example: boarfish train cancel 3f2a")
def cancel(job_id: Annotated[str, typer.Argument(help="Id of the job.")], as_json: AsJson = False) -> None:
    """Stops a job that waits or runs."""
    from boarfish.v1 import training_pb2

    with client() as boarfish:
        job = boarfish.training.CancelTrainingJob(
            training_pb2.CancelTrainingJobRequest(request_id=uuid.uuid4().hex, id=job_id)
        ).job
    if as_json:
        print_json(job)
    else:
        console.print(f"Job {job.id} is {_state(job)}.")


@models.command("list", epilog="Example: boarfish models list --task employment")
def list_models(
    task_name: Annotated[str, typer.Option("--task", help="Only those of this task.")] = "",
    as_json: AsJson = False,
) -> None:
    """Model versions, newest first."""
    from boarfish.v1 import training_pb2

    with client() as boarfish:
        request = training_pb2.ListModelVersionsRequest(task_name=task_name, page_size=100)
        answer = boarfish.training.ListModelVersions(request)
    if as_json:
        print_json(answer)
        return
    rows = (
        (
            one.id[:12],
            one.task_name,
            one.model,
            f"{one.baseline.metric} {number(one.baseline.model)}",
            "yes" if one.baseline.better else "not better than baseline",
        )
        for one in answer.model_versions
    )
    print_table(
        ("Version", "Task", "Model", "On held-out rows", "Beats the trivial rule"),
        rows,
        "No model has been made yet.",
    )


@models.command("show", epilog="Example: boarfish models show ab12cd34")
def show_model(
    version: Annotated[str, typer.Argument(help="Id, or the first 8 characters of it.")],
    as_json: AsJson = False,
) -> None:
    """A version's model card."""
    from rich.markdown import Markdown

    from boarfish.v1 import training_pb2

    with client() as boarfish:
        found = boarfish.training.GetModelVersion(
            training_pb2.GetModelVersionRequest(id=version)
        ).model_version
    if as_json:
        print_json(found)
    else:
        console.print(Markdown(found.model_card))


@models.command("figures", epilog="Example: boarfish models figures ab12cd34 --save looks")
def figures(
    version: Annotated[str, typer.Argument(help="Id, or the first 8 characters of it.")],
    save: Annotated[
        Path | None, typer.Option(help="Folder for the pictures (PNG) and all figures (JSON).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What the looks inside a version show, in a sentence each."""
    from boarfish.v1 import training_pb2

    with client() as boarfish:
        answer = boarfish.training.GetModelVersionFigures(
            training_pb2.GetModelVersionFiguresRequest(id=version)
        )
    if save is not None:
        _save_figures(answer, save)
    if as_json:
        print_json(answer)
        return
    rows = ((one.title, one.sentence) for one in answer.figures)
    print_table(("Figure", "What is seen"), rows, "This version has no figures.")


@train.command(
    "find-rate", epilog="Example: boarfish train find-rate examples/digits/task.yaml --dataset digits"
)
def find_rate(
    task_file: Annotated[Path, typer.Argument(help="The task file.")],
    dataset: Annotated[str, typer.Option(help="The dataset to train on.")],
    version: Annotated[int, typer.Option(min=0, help="Its version; 0: the newest.")] = 0,
    model: Annotated[int, typer.Option(min=0, help="Place of the net in the plan, from 0.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Sweeps a net's learning rate and suggests one; trains nothing."""
    from boarfish.v1 import training_pb2

    request = training_pb2.FindLearningRateRequest(
        dataset=dataset, dataset_version=version, task=_load(task_file), model_index=model
    )
    with client() as boarfish, console.status("Sweeping the learning rate"):
        answer = boarfish.training.FindLearningRate(request, timeout=SWEEP_TIMEOUT_S)
    if as_json:
        print_json(answer)
        return
    step = max(1, len(answer.learning_rates) // 20)
    pairs = list(zip(answer.learning_rates, answer.losses, strict=True))[::step]
    highest = max(loss for _, loss in pairs)
    rows = (
        (f"{rate:.2g}", f"{loss:.4g}", "\u2588" * max(1, round(40 * loss / highest))) for rate, loss in pairs
    )
    print_table(("Rate", "Loss", ""), rows, "The sweep ended before it had a loss to show.")
    console.print(
        f"Suggested: [bold]{answer.suggestion:.2g}[/] (the valley). "
        f"Steepest fall at {answer.steep:.2g}; a tenth of where the loss is least: {answer.minimum:.2g}."
    )


@task.command("check", epilog="Example: boarfish task check examples/employment/task.yaml")
def check(task_file: Annotated[Path, typer.Argument(help="The task file.")], as_json: AsJson = False) -> None:
    """Says what is wrong in a task file, by line and key; needs no service."""
    found = _load(task_file)
    if as_json:
        print_json(found)
    else:
        console.print(
            f"{task_file} is in order: task {found.name}, {len(found.features)} features, "
            f"{len(found.sensitive)} sensitive attributes."
        )


def _save_figures(answer: "training_pb2.GetModelVersionFiguresResponse", folder: Path) -> None:
    import json

    from google.protobuf.json_format import MessageToDict

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in answer.figures:
            for place, picture in enumerate(one.pictures.pictures):
                (folder / f"{one.name}-{place:02}.png").write_bytes(picture.png)
        plain = MessageToDict(answer, preserving_proto_field_name=True)
        (folder / "figures.json").write_text(json.dumps(plain, indent=1, ensure_ascii=False))
    except OSError as error:
        fail(f"{folder} cannot be written: {error.strerror}")


def _load(path: Path) -> "task_pb2.Task":
    from boarfish.task_file import load_task

    try:
        return load_task(path)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}")
        raise


def _follow(boarfish: "Client", job_id: str, as_json: bool) -> None:
    from rich.progress import Progress

    from boarfish.v1 import training_pb2

    job = training_pb2.TrainingJob()
    with Progress(console=console, transient=True, disable=as_json) as progress:
        bar = progress.add_task("waiting for its turn", total=1.0)
        for update in boarfish.training.WatchTrainingJob(training_pb2.WatchTrainingJobRequest(id=job_id)):
            job = update.job
            progress.update(
                bar, completed=job.progress.fraction_done, description=job.progress.stage or _state(job)
            )
    if as_json:
        print_json(job)
    else:
        console.print(f"Job {job.id} {_state(job)}. {escape(job.error)}")
        for version in job.model_versions:
            console.print(
                f"  [bold]{version.model}[/] {version.id[:12]}: {escape(version.baseline.statement)}"
            )
    if job.state != training_pb2.TRAINING_JOB_STATE_SUCCEEDED:
        sys.exit(BAD_ANSWER)


def _state(job: "training_pb2.TrainingJob") -> str:
    from boarfish.v1 import training_pb2

    return training_pb2.TrainingJobState.Name(job.state).removeprefix("TRAINING_JOB_STATE_").lower()
