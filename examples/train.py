"""`python -m examples.train NAME`: an example from its data to its report, through the services as a user
would.

Where Boarfish is running already (`make run`), it is used; else the services that are needed are started for
the time of the example. Rows that were put before are not put again.
"""

import hashlib
import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Protocol

import pyarrow as pa
import typer
from boarfish import Client, errors, load_task
from boarfish.rows import arrow_batch, records_requests, table_parts
from boarfish.v1 import common_pb2, ingestion_pb2, task_pb2, training_pb2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from services.common.settings import Settings
from services.supervisor import Suite, SuiteError

FOLDER = Path(__file__).parent
NEEDED = ("ingestion", "training", "monitoring")
SUCCEEDED = training_pb2.TRAINING_JOB_STATE_SUCCEEDED


class ExampleData(Protocol):
    """What the module `data` of an example gives."""

    def table(self, share: float = 1.0) -> pa.Table:
        """Its rows, or about that share of them."""


def example_names() -> list[str]:
    """The examples that there are."""
    return sorted(path.parent.name for path in FOLDER.glob("*/data.py"))


def run_example(
    client: Client,
    name: str,
    console: Console,
    *,
    share: float = 1.0,
    weights_folder: Path,
    adjust: Callable[[task_pb2.Task], None] = lambda task: None,
) -> training_pb2.TrainingJob:
    """Puts an example's rows into the lake, trains its task's models and prints what came of it.

    `adjust` may change the task beforehand, such as for fewer epochs.

    Raises:
        BoarfishError: a service refused something.
        RuntimeError: rows were refused, or the job failed; says why.
    """
    data: ExampleData = importlib.import_module(f"examples.{name}.data")
    task = load_task(FOLDER / name / "task.yaml")
    adjust(task)
    rows = data.table(share)
    _put_weights(data, weights_folder)
    dataset = task.name if share >= 1 else f"{task.name}-{round(1000 * share)}"
    columns = (TextColumn("{task.description:<52}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        version = _put_rows(client, dataset, task, rows, progress)
        bar = progress.add_task("Train: waiting for its turn", total=100)
        created = client.training.CreateTrainingJob(
            training_pb2.CreateTrainingJobRequest(
                request_id=_digest(dataset, str(version), task.SerializeToString(deterministic=True)),
                dataset=dataset,
                dataset_version=version,
                task=task,
            )
        )
        job = created.job
        for update in client.training.WatchTrainingJob(training_pb2.WatchTrainingJobRequest(id=job.id)):
            job = update.job
            stage = job.progress.stage or "waiting for its turn"
            progress.update(
                bar, completed=round(100 * job.progress.fraction_done), description=f"Train: {stage}"[:52]
            )
        progress.update(bar, completed=100, description="Train")
    if job.state != SUCCEEDED:
        state = training_pb2.TrainingJobState.Name(job.state).removeprefix("TRAINING_JOB_STATE_").lower()
        raise RuntimeError(f"The training job {state}: {job.error}")
    _report(job, console)
    return job


def _put_weights(data: ExampleData, folder: Path) -> None:
    """Files that the example's plan names as weights, where it brings any."""
    bring = getattr(data, "weights", None)
    if bring is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in bring().items():
        if not (folder / name).is_file():
            (folder / name).write_bytes(content)


def _put_rows(client: Client, dataset: str, task: task_pb2.Task, rows: pa.Table, progress: Progress) -> int:
    """The dataset version that holds `rows`."""
    bar = progress.add_task(f"Rows into dataset {dataset}", total=rows.num_rows)
    client.ingestion.CreateDataset(
        ingestion_pb2.CreateDatasetRequest(
            request_id=_digest(dataset, "create", task.SerializeToString(deterministic=True)),
            name=dataset,
            task=task,
        )
    )

    def batches() -> Iterator[common_pb2.RowBatch]:
        sent = 0
        for part in table_parts(rows.combine_chunks()):
            yield arrow_batch(part)
            sent += part.num_rows
            progress.update(bar, completed=sent)

    answer = client.ingestion.PutRecords(records_requests(dataset, batches(), key=dataset))
    if answer.rejected_count:
        first = answer.rejected_rows[0]
        raise RuntimeError(
            f"{answer.rejected_count:,} of {rows.num_rows:,} rows were refused; row {first.row_index}: "
            f"{first.column} {first.reason}"
        )
    return int(answer.dataset_version)


def _digest(*parts: str | bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part.encode() if isinstance(part, str) else part)
        found.update(b"\0")
    return found.hexdigest()


def _report(job: training_pb2.TrainingJob, console: Console) -> None:
    for version in job.model_versions:
        console.print(f"\n[bold]{version.model}[/] {version.id[:12]}: {version.baseline.statement}")
        table = Table("Metric", "Value", "95 % interval", box=None, pad_edge=False)
        for name, estimate in sorted(version.metrics.items()):
            table.add_row(name, f"{estimate.value:.4g}", f"{estimate.lower:.4g} to {estimate.upper:.4g}")
        console.print(table)
        parity = version.parity
        console.print(
            f"model.onnx gives the same {parity.what} within {parity.largest_difference:.1g} on "
            f"{parity.count:,} rows (allowed {parity.tolerance:g})."
        )
        for warning in version.warnings:
            console.print(f"[yellow]Mind:[/] {warning}", markup=True)


def main(
    name: Annotated[str, typer.Argument(help="Which example; `list` names those that there are.")],
    share: Annotated[
        float, typer.Option(min=0.0005, max=1.0, help="Part of the data to use, to see it sooner.")
    ] = 1.0,
) -> None:
    """Train an example's models from its data and print the report.

    python -m examples.train list

    python -m examples.train movielens --share 0.1
    """
    console = Console(highlight=False)
    if name == "list":
        console.print("\n".join(example_names()))
        return
    if name not in example_names():
        console.print(f"There is no example {name}; there are {', '.join(example_names())}.")
        raise typer.Exit(2)
    settings = Settings()
    try:
        with ExitStack() as stack:
            client = stack.enter_context(
                Client(
                    ingestion=settings.ingestion_address,
                    training=settings.training_address,
                    inference=settings.inference_address,
                    monitoring=settings.monitoring_address,
                )
            )
            if not _is_running(client):
                stack.enter_context(Suite(settings, NEEDED))
            run_example(client, name, console, share=share, weights_folder=settings.home / "weights")
    except (errors.BoarfishError, RuntimeError, SuiteError) as error:
        console.print(f"[red]{name} stopped.[/] {error}", markup=True)
        raise typer.Exit(1) from error


def _is_running(client: Client) -> bool:
    try:
        client.training.ListTrainingJobs(training_pb2.ListTrainingJobsRequest(page_size=1), timeout=2)
    except (errors.Unavailable, errors.DeadlineExceeded):
        return False
    return True


if __name__ == "__main__":
    typer.run(main)
