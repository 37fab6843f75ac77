"""`Client` and `AsyncClient`: the four services behind one object, for apps, notebooks and pages.

    with Client.from_environment() as client:
        answer = client.predict("employment", [{"AGEP": 41, "SCHL": 21}])
        print(answer.predictions[0].decision)

`client.ingestion`, `.training`, `.inference` and `.monitoring` are the generated stubs with every RPC; errors
come as `boarfish.errors`. Both clients are built by the same code: only their channels differ.
"""

import os
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import grpc

from boarfish.appeals import correction_request, resolve_request, waits_for_label
from boarfish.channel import DEFAULT_DEADLINE_S, OPTIONS, AsyncChannel, BlockingChannel
from boarfish.errors import FieldViolation, InvalidArgument
from boarfish.rows import plain, records_requests, row_batch, row_batches, table_batches
from boarfish.v1 import (
    common_pb2,
    inference_pb2,
    inference_pb2_grpc,
    ingestion_pb2,
    ingestion_pb2_grpc,
    monitoring_pb2,
    monitoring_pb2_grpc,
    training_pb2_grpc,
)

if TYPE_CHECKING:
    from boarfish.v1.inference_pb2_grpc import InferenceServiceAsyncStub
    from boarfish.v1.ingestion_pb2_grpc import IngestionServiceAsyncStub
    from boarfish.v1.monitoring_pb2_grpc import MonitoringServiceAsyncStub
    from boarfish.v1.training_pb2_grpc import TrainingServiceAsyncStub

DEFAULT_ADDRESSES = {
    "ingestion": "127.0.0.1:50051",
    "training": "127.0.0.1:50052",
    "inference": "127.0.0.1:50053",
    "monitoring": "127.0.0.1:50054",
}
_STUBS: dict[str, Any] = {
    "ingestion": ingestion_pb2_grpc.IngestionServiceStub,
    "training": training_pb2_grpc.TrainingServiceStub,
    "inference": inference_pb2_grpc.InferenceServiceStub,
    "monitoring": monitoring_pb2_grpc.MonitoringServiceStub,
}


class _Connections(ABC):
    """Opens a channel to a service when it is first used."""

    def __init__(
        self,
        ingestion: str = DEFAULT_ADDRESSES["ingestion"],
        training: str = DEFAULT_ADDRESSES["training"],
        inference: str = DEFAULT_ADDRESSES["inference"],
        monitoring: str = DEFAULT_ADDRESSES["monitoring"],
        *,
        deadline_s: float = DEFAULT_DEADLINE_S,
    ) -> None:
        self.addresses = {
            "ingestion": ingestion,
            "training": training,
            "inference": inference,
            "monitoring": monitoring,
        }
        self._deadline_s = deadline_s
        self._channels: dict[str, Any] = {}
        self._stubs: dict[str, Any] = {}
        self._opening = threading.Lock()

    @classmethod
    def from_environment(cls) -> Self:
        """A client of the addresses that `BOARFISH_INGESTION_ADDRESS` and so on name, else the defaults."""
        named = (
            os.environ.get(f"BOARFISH_{name.upper()}_ADDRESS") or at for name, at in DEFAULT_ADDRESSES.items()
        )
        return cls(*named)

    def _stub(self, name: str) -> Any:
        with self._opening:
            if name not in self._stubs:
                address = self.addresses[name]
                self._channels[name] = channel = self._open(address)
                self._stubs[name] = _STUBS[name](self._mapped(channel, address))
            return self._stubs[name]

    @abstractmethod
    def _open(self, address: str) -> Any:
        """What a client of its kind opens and calls through."""

    @abstractmethod
    def _mapped(self, channel: Any, address: str) -> Any:
        """What a client of its kind opens and calls through."""


class Client(_Connections):
    """Calls that block. Safe to share between threads."""

    @property
    def ingestion(self) -> ingestion_pb2_grpc.IngestionServiceStub:
        """Every RPC of ingestion."""
        return self._stub("ingestion")  # type: ignore[no-any-return]

    @property
    def training(self) -> training_pb2_grpc.TrainingServiceStub:
        """Every RPC of training."""
        return self._stub("training")  # type: ignore[no-any-return]

    @property
    def inference(self) -> inference_pb2_grpc.InferenceServiceStub:
        """Every RPC of inference."""
        return self._stub("inference")  # type: ignore[no-any-return]

    @property
    def monitoring(self) -> monitoring_pb2_grpc.MonitoringServiceStub:
        """Every RPC of monitoring."""
        return self._stub("monitoring")  # type: ignore[no-any-return]

    def predict(self, deployment: str, rows: Sequence[Mapping[str, Any]]) -> inference_pb2.PredictResponse:
        """Predicts rows given as mappings by column name; one `Prediction` a row, in order."""
        return self.inference.Predict(predict_request(deployment, rows))

    def log_labels(self, deployment: str, labels: Mapping[str, Any]) -> ingestion_pb2.LogLabelsResponse:
        """Logs observed outcomes: prediction id to the value of the task's target."""
        return self.ingestion.LogLabels(labels_request(deployment, labels))

    def put_records(
        self, dataset: str, rows: Sequence[Mapping[str, Any]]
    ) -> ingestion_pb2.PutRecordsResponse:
        """Adds rows to a dataset, in as many messages as it takes.

        Pictures and sounds are bytes, times datetimes, series lists.
        """
        return self.ingestion.PutRecords(records_requests(dataset, [*row_batches(rows)]))

    def put_table(self, dataset: str, table: Any) -> ingestion_pb2.PutRecordsResponse:
        """Adds the rows of a pyarrow `Table` to a dataset: the fast way for many rows."""
        return self.ingestion.PutRecords(records_requests(dataset, table_batches(table)))

    def amend_records(
        self, dataset: str, changes: Mapping[str, Any], *, amended_by: str, reason: str
    ) -> ingestion_pb2.AmendRecordsResponse:
        """Gives rows, by their ids, new labels, or deletes those whose new label is `None`."""
        return self.ingestion.AmendRecords(amend_request(dataset, changes, amended_by, reason))

    def resolve_appeal(
        self,
        appeal_id: str,
        *,
        reviewed_by: str,
        answer: str,
        corrected_label: str | None = None,
        reviewer_role: str = "",
    ) -> monitoring_pb2.Appeal:
        """Upholds an appeal with the label that is right, and logs it; rejects it where there is none."""
        request = resolve_request(
            appeal_id,
            reviewed_by=reviewed_by,
            answer=answer,
            corrected_label=corrected_label,
            reviewer_role=reviewer_role,
        )
        appeal = self.monitoring.ResolveAppeal(request).appeal
        if waits_for_label(appeal):
            self.ingestion.LogLabels(correction_request(appeal))
        return appeal

    def deliver_corrections(self) -> list[monitoring_pb2.Appeal]:
        """Logs again the corrected labels that monitoring has not seen in the lake; their appeals."""
        request = monitoring_pb2.ListAppealsRequest(only_undelivered=True, page_size=1000)
        waiting = list(self.monitoring.ListAppeals(request).appeals)
        for appeal in waiting:
            self.ingestion.LogLabels(correction_request(appeal))
        return waiting

    def health(self) -> list[monitoring_pb2.DeploymentHealth]:
        """How each deployment is doing."""
        return list(self.monitoring.GetHealth(monitoring_pb2.GetHealthRequest()).deployments)

    def close(self) -> None:
        """Closes every channel."""
        for channel in self._channels.values():
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, address: str) -> Any:
        return grpc.insecure_channel(address, options=OPTIONS)

    def _mapped(self, channel: Any, address: str) -> Any:
        return BlockingChannel(channel, address, self._deadline_s)


class AsyncClient(_Connections):
    """Calls that are awaited, on one event loop."""

    @property
    def ingestion(self) -> "IngestionServiceAsyncStub":
        """Every RPC of ingestion."""
        return self._stub("ingestion")  # type: ignore[no-any-return]

    @property
    def training(self) -> "TrainingServiceAsyncStub":
        """Every RPC of training."""
        return self._stub("training")  # type: ignore[no-any-return]

    @property
    def inference(self) -> "InferenceServiceAsyncStub":
        """Every RPC of inference."""
        return self._stub("inference")  # type: ignore[no-any-return]

    @property
    def monitoring(self) -> "MonitoringServiceAsyncStub":
        """Every RPC of monitoring."""
        return self._stub("monitoring")  # type: ignore[no-any-return]

    async def predict(
        self, deployment: str, rows: Sequence[Mapping[str, Any]]
    ) -> inference_pb2.PredictResponse:
        """Predicts rows given as mappings by column name; one `Prediction` a row, in order."""
        return await self.inference.Predict(predict_request(deployment, rows))

    async def log_labels(self, deployment: str, labels: Mapping[str, Any]) -> ingestion_pb2.LogLabelsResponse:
        """Logs observed outcomes: prediction id to the value of the task's target."""
        return await self.ingestion.LogLabels(labels_request(deployment, labels))

    async def put_records(
        self, dataset: str, rows: Sequence[Mapping[str, Any]]
    ) -> ingestion_pb2.PutRecordsResponse:
        """Adds rows to a dataset, in as many messages as it takes.

        Pictures and sounds are bytes, times datetimes, series lists.
        """
        return await self.ingestion.PutRecords(records_requests(dataset, [*row_batches(rows)]))

    async def put_table(self, dataset: str, table: Any) -> ingestion_pb2.PutRecordsResponse:
        """Adds the rows of a pyarrow `Table` to a dataset: the fast way for many rows."""
        return await self.ingestion.PutRecords(records_requests(dataset, table_batches(table)))

    async def amend_records(
        self, dataset: str, changes: Mapping[str, Any], *, amended_by: str, reason: str
    ) -> ingestion_pb2.AmendRecordsResponse:
        """Gives rows, by their ids, new labels, or deletes those whose new label is `None`."""
        return await self.ingestion.AmendRecords(amend_request(dataset, changes, amended_by, reason))

    async def resolve_appeal(
        self,
        appeal_id: str,
        *,
        reviewed_by: str,
        answer: str,
        corrected_label: str | None = None,
        reviewer_role: str = "",
    ) -> monitoring_pb2.Appeal:
        """Upholds an appeal with the label that is right, and logs it; rejects it where there is none."""
        request = resolve_request(
            appeal_id,
            reviewed_by=reviewed_by,
            answer=answer,
            corrected_label=corrected_label,
            reviewer_role=reviewer_role,
        )
        appeal = (await self.monitoring.ResolveAppeal(request)).appeal
        if waits_for_label(appeal):
            await self.ingestion.LogLabels(correction_request(appeal))
        return appeal

    async def deliver_corrections(self) -> list[monitoring_pb2.Appeal]:
        """Logs again the corrected labels that monitoring has not seen in the lake; their appeals."""
        request = monitoring_pb2.ListAppealsRequest(only_undelivered=True, page_size=1000)
        waiting = list((await self.monitoring.ListAppeals(request)).appeals)
        for appeal in waiting:
            await self.ingestion.LogLabels(correction_request(appeal))
        return waiting

    async def close(self) -> None:
        """Closes every channel."""
        for channel in self._channels.values():
            await channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _open(self, address: str) -> Any:
        return grpc.aio.insecure_channel(address, options=OPTIONS)

    def _mapped(self, channel: Any, address: str) -> Any:
        return AsyncChannel(channel, address, self._deadline_s)


def predict_request(deployment: str, rows: Iterable[Mapping[str, Any]]) -> inference_pb2.PredictRequest:
    """A request to predict `rows`."""
    return inference_pb2.PredictRequest(deployment=deployment, batch=row_batch(rows))


def amend_request(
    dataset: str, changes: Mapping[str, Any], amended_by: str, reason: str
) -> ingestion_pb2.AmendRecordsRequest:
    """A request to relabel rows by their ids, or, where the new label is `None`, to delete them."""
    request = ingestion_pb2.AmendRecordsRequest(
        request_id=uuid.uuid4().hex, dataset=dataset, amended_by=amended_by, reason=reason
    )
    for row_id, label in changes.items():
        if label is None:
            request.amendments.add(row_id=row_id, delete=True)
        else:
            request.amendments.add(row_id=row_id, label=_label_text(plain(label)))
    return request


def _label_text(label: Any) -> str:
    """A label's canonical text: 1 and 1.0 are "1", true is "true"."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def labels_request(deployment: str, labels: Mapping[str, Any]) -> ingestion_pb2.LogLabelsRequest:
    """A request to log observed labels by prediction id."""
    request = ingestion_pb2.LogLabelsRequest(request_id=uuid.uuid4().hex, deployment=deployment)
    for prediction_id, value in labels.items():
        label = request.rows.labels.add(prediction_id=prediction_id, source=common_pb2.LABEL_SOURCE_OBSERVED)
        if isinstance(value, bool):
            label.value.bool_value = value
        elif isinstance(value := plain(value), int | float):
            label.value.number_value = value
        elif value is None:
            raise InvalidArgument.of(
                FieldViolation(f'labels["{prediction_id}"]', "is None; leave it out until it is known")
            )
        else:
            label.value.string_value = str(value)
    return request
