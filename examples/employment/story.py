"""The demo's story: records in, a model trained, served, watched and audited, on three years of real people.

It is a client like any other: everything goes through gRPC. Each step carries request ids that are the same
on every run and is noted in the journal when it is done, so a story that was cut off goes on where it
stopped, and nothing that was acknowledged is sent twice. A day whose answers never arrived is asked again;
its people then have two prediction ids, of which the first was never acknowledged.
"""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from boarfish import AsyncClient, errors, load_task
from boarfish.v1 import common_pb2, inference_pb2, ingestion_pb2, monitoring_pb2, training_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from examples.employment import replay
from examples.employment.journal import Journal

TASK_FILE = Path(__file__).parent / "task.yaml"
NAME = "employment"
ROWS_A_MESSAGE = 8192
DAYS_IN_FLIGHT = 8
LABEL_DAYS_IN_FLIGHT = 7
PATIENCE_S = 90.0

T = TypeVar("T")


class Story:
    """One telling of the story against running services. `thin` = 10 plays every tenth person."""

    def __init__(self, client: AsyncClient, journal: Journal, console: Console, *, thin: int = 1) -> None:
        self.client = client
        self.journal = journal
        self.console = console
        self.thin = thin
        self.task = load_task(TASK_FILE)
        self._told: set[str] = set()

    async def play(self) -> None:
        """Plays what has not been played yet."""
        columns = (
            TextColumn("{task.description:<44}"),
            BarColumn(40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console, transient=False) as progress:
            await self._put_records(progress)
            await self._train(progress)
            await self._deploy()
            alerts = asyncio.create_task(self._tell_alerts())
            try:
                await self._live(progress)
                await self._watched(progress)
            finally:
                alerts.cancel()
        await self._audit()
        await self._verify_ledger()

    async def _put_records(self, progress: Progress) -> None:
        table = replay.records_2015()
        bar = progress.add_task("People of 2015 into the lake", total=table.num_rows)
        if self.journal.result("records") is None:
            request = ingestion_pb2.CreateDatasetRequest(
                request_id=f"{NAME}-dataset", name=NAME, task=self.task
            )
            await patiently(lambda: self.client.ingestion.CreateDataset(request))

            async def messages() -> AsyncIterator[ingestion_pb2.PutRecordsRequest]:
                for start in range(0, table.num_rows, ROWS_A_MESSAGE):
                    part = table.slice(start, ROWS_A_MESSAGE)
                    yield ingestion_pb2.PutRecordsRequest(
                        request_id=f"{NAME}-2015-{start}",
                        dataset=NAME,
                        batch=common_pb2.RowBatch(arrow_ipc=to_ipc(part)),
                    )
                    progress.update(bar, completed=start + part.num_rows)

            answer = await patiently(lambda: self.client.ingestion.PutRecords(messages()))
            if answer.rejected_count:
                first = answer.rejected_rows[0]
                raise RuntimeError(
                    f"{answer.rejected_count} rows of 2015 were refused; the first: {first.reason}"
                )
            self.journal.finish("records", {"dataset_version": answer.dataset_version})
        progress.update(bar, completed=table.num_rows)

    async def _train(self, progress: Progress) -> None:
        bar = progress.add_task("Train: waiting for its turn", total=100)
        if self.journal.result("train") is None:
            request = training_pb2.CreateTrainingJobRequest(
                request_id=f"{NAME}-train",
                dataset=NAME,
                dataset_version=self.journal.result("records")["dataset_version"],
                task=self.task,
            )
            created = await patiently(lambda: self.client.training.CreateTrainingJob(request))
            job = await patiently(lambda: self._watch_job(created.job.id, progress, bar))
            if job.state != training_pb2.TRAINING_JOB_STATE_SUCCEEDED:
                raise RuntimeError(
                    f"Training ended as {training_pb2.TrainingJobState.Name(job.state)}: {job.error}"
                )
            for version in job.model_versions:
                self.console.print(
                    f"  [bold]{version.model}[/] {version.id[:12]}: {version.baseline.statement}"
                )
            self.journal.finish("train", {"versions": [version.id for version in job.model_versions]})
        progress.update(bar, completed=100, description="Train a net and boosting beside a baseline")

    async def _watch_job(self, job_id: str, progress: Progress, bar: TaskID) -> training_pb2.TrainingJob:
        job = training_pb2.TrainingJob()
        async for update in self.client.training.WatchTrainingJob(
            training_pb2.WatchTrainingJobRequest(id=job_id)
        ):
            job = update.job
            stage = job.progress.stage or "waiting for its turn"
            progress.update(
                bar, completed=100 * job.progress.fraction_done, description=f"Train: {stage}"[:44]
            )
        return job

    async def _deploy(self) -> None:
        if self.journal.result("deploy") is not None:
            return
        best, other = self.journal.result("train")["versions"][:2]
        request = inference_pb2.CreateDeploymentRequest(
            request_id=f"{NAME}-deploy",
            name=NAME,
            champion=inference_pb2.ServedVersion(
                model_version=best, runtime=inference_pb2.RUNTIME_KIND_ONNX_RUNTIME
            ),
            shadow=inference_pb2.ServedVersion(
                model_version=other, runtime=inference_pb2.RUNTIME_KIND_TORCHSERVE
            ),
            rung=inference_pb2.RUNG_FULL,
            requested_by="the demo",
            override_reason="A replay of past years: nobody is affected by its decisions.",
        )
        await patiently(lambda: self.client.inference.CreateDeployment(request))
        self.console.print(f"  {best[:12]} answers on ONNX Runtime, {other[:12]} is its shadow on TorchServe")
        self.journal.finish("deploy", {"champion": best, "shadow": other})

    async def _live(self, progress: Progress) -> None:
        days = list(replay.days(thin=self.thin))
        total = sum(day.people.num_rows for day in days)
        bar = progress.add_task("Live through 2016 to 2018", total=total)
        last = self.journal.last_day()
        ahead = [day for day in days if last is None or day.date > last]
        progress.update(bar, completed=total - sum(day.people.num_rows for day in ahead))
        while ahead:
            ahead = ahead[await patiently(partial(self._predict, ahead, progress, bar)) :]
        await self._send_labels(days[-1].date + replay.LABEL_DELAY)

    async def _predict(self, days: list[replay.Day], progress: Progress, bar: TaskID) -> int:
        """Predicts `days` on one stream, with the labels that become known on the way.

        How many days were answered.
        """
        room = asyncio.Semaphore(DAYS_IN_FLIGHT)

        async def requests() -> AsyncIterator[inference_pb2.PredictStreamRequest]:
            for day in days:
                await room.acquire()
                yield inference_pb2.PredictStreamRequest(
                    request=inference_pb2.PredictRequest(
                        deployment=NAME,
                        batch=common_pb2.RowBatch(arrow_ipc=to_ipc(day.people)),
                        event_time=timestamp(day.event_time),
                        simulation=day.simulation,
                    )
                )

        answered = 0
        try:
            async for answer in self.client.inference.PredictStream(requests()):
                day = days[answered]
                ids = (
                    pa.ipc.open_stream(answer.response.arrow_ipc)
                    .read_all()
                    .column("prediction_id")
                    .to_pylist()
                )
                self.journal.add_day(day.date, ids, day.labels)
                answered += 1
                room.release()
                progress.update(
                    bar, advance=len(ids), description=f"Live through 2016 to 2018: {day.date:%d %b %Y}"
                )
                if answered % LABEL_DAYS_IN_FLIGHT == 0:
                    await self._send_labels(day.date - replay.LABEL_DELAY)
        except errors.Unavailable:
            if not answered:
                raise
        return answered

    async def _send_labels(self, until: dt.date) -> None:
        """Sends the labels of people predicted up to `until`: some days at a time, which share a commit."""
        ready = self.journal.unlabelled_until(until)
        for start in range(0, len(ready), LABEL_DAYS_IN_FLIGHT):
            days = ready[start : start + LABEL_DAYS_IN_FLIGHT]
            await asyncio.gather(*(self._send_labels_of(*day) for day in days))
            for date, _, _ in days:
                self.journal.mark_labelled(date)

    async def _send_labels_of(self, date: dt.date, ids: list[str], labels: np.ndarray) -> None:
        request = ingestion_pb2.LogLabelsRequest(
            request_id=f"{NAME}-labels-{date}",
            deployment=NAME,
            columns=ingestion_pb2.LabelColumns(
                prediction_ids=ids,
                values=[str(label) for label in labels],
                source=common_pb2.LABEL_SOURCE_OBSERVED,
                event_time=timestamp(replay.noon(date + replay.LABEL_DELAY)),
            ),
        )
        await patiently(lambda: self.client.ingestion.LogLabels(request))

    async def _tell_alerts(self) -> None:
        """Prints each alert once, as it opens."""
        while True:
            try:
                async for update in self.client.monitoring.WatchAlerts(
                    monitoring_pb2.WatchAlertsRequest(deployment=NAME)
                ):
                    self._tell(update.alert)
            except errors.BoarfishError:
                await asyncio.sleep(1.0)

    def _tell(self, alert: monitoring_pb2.Alert) -> None:
        if alert.id in self._told:
            return
        self._told.add(alert.id)
        noticed = alert.detect_time.ToDatetime().date()
        self.console.print(f"  [yellow]alert[/] noticed on {noticed:%d %b %Y}: {alert.title}")

    async def _watched(self, progress: Progress) -> None:
        """Waits until every event is in the lake, counted and looked at, and tells the alerts that opened."""
        total = sum(day.people.num_rows for day in replay.days(thin=self.thin))
        bar = progress.add_task("Watched: predictions and labels counted", total=2 * total)
        while True:
            under_way = (await patiently(self._deployment)).pending_event_count
            health = await patiently(self._health)
            counted = min(health.prediction_count, total) + min(health.labelled_count, total)
            progress.update(bar, completed=counted)
            if counted == 2 * total and not (under_way or health.backlog_count or health.looks_due):
                break
            await asyncio.sleep(0.3)
        alerts = await self.client.monitoring.ListAlerts(monitoring_pb2.ListAlertsRequest(deployment=NAME))
        for alert in sorted(alerts.alerts, key=lambda alert: alert.detect_time.ToNanoseconds()):
            self._tell(alert)

    async def _deployment(self) -> inference_pb2.Deployment:
        request = inference_pb2.GetDeploymentRequest(name=NAME)
        return (await self.client.inference.GetDeployment(request)).deployment

    async def _health(self) -> monitoring_pb2.DeploymentHealth:
        try:
            answer = await self.client.monitoring.GetHealth(monitoring_pb2.GetHealthRequest(deployment=NAME))
        except errors.NotFound:  # its first event has not been counted yet
            return monitoring_pb2.DeploymentHealth(looks_due=True)
        return answer.deployments[0]

    async def _audit(self) -> None:
        if self.journal.result("audit") is None:
            request = monitoring_pb2.RunAuditRequest(
                request_id=f"{NAME}-audit", deployment=NAME, requested_by="the demo"
            )
            audit = (await patiently(lambda: self.client.monitoring.RunAudit(request))).audit
            self.journal.finish("audit", {"id": audit.id, "findings": list(audit.findings)})
        self.console.print("[bold]The audit found[/]")
        for finding in self.journal.result("audit")["findings"][:8]:
            self.console.print(f"  • {finding}")

    async def _verify_ledger(self) -> None:
        answer = await patiently(
            lambda: self.client.monitoring.VerifyLedger(monitoring_pb2.VerifyLedgerRequest())
        )
        if not answer.valid:
            raise RuntimeError(
                f"The ledger does not hold at entry {answer.first_bad_sequence}: {answer.reason}"
            )
        self.console.print(
            f"[bold]The ledger holds[/]: {answer.entry_count} entries, head {answer.head_hash[:12]}"
        )


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """`call()`, tried again with growing pauses while a service is away, for `PATIENCE_S` at most."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    pause_s = 0.1
    while True:
        try:
            return await call()
        except (errors.Unavailable, errors.ResourceExhausted):
            if asyncio.get_running_loop().time() + pause_s > deadline:
                raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 2.0)


def to_ipc(table: pa.Table) -> bytes:
    """`table` as one Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def timestamp(moment: dt.datetime) -> Timestamp:
    """`moment` as a protobuf timestamp."""
    value = Timestamp()
    value.FromDatetime(moment)
    return value
