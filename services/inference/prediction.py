"""The way of one request through a deployment: check, compute, name, write down, answer.

What is short is computed where it arrives, on the event loop, because handing it to a thread costs more than
it does; what is long goes to a thread as a whole. Rows that come one by one are short by their number, bulk
by the processor time that earlier bulk of its deployment took. Either way the event is in the spool before
the answer exists.
"""

import asyncio
import struct
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from boarfish.errors import FieldViolation, Internal, InvalidArgument
from boarfish.v1 import inference_pb2
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.rows import Value
from services.inference.deployments import LiveDeployment
from services.inference.events import PACKED, EventRows, EventTimes, encode_batch
from services.inference.inputs import ModelInputs, TwoTexts
from services.inference.prediction_ids import PredictionIds, text, texts
from services.inference.shadow import ShadowWork, write_events
from services.inference.spool import Spool

SHOWN_VIOLATIONS = 100
TIMEOUT_S = 30.0
SHARE_OF_DEADLINE = 0.9
_ANSWERS = pa.schema(
    [("prediction_id", pa.utf8()), ("score", pa.float64()), ("decision", pa.utf8()), ("positive", pa.bool_())]
)
# An IPC stream is its schema's message, the messages of its batches, and an end.
_ANSWERS_HEAD = _ANSWERS.serialize().to_pybytes()
_NO_WORDS = TwoTexts("", "")
_ARROW_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799


class CheckedRequest(NamedTuple):
    """A request whose rows are fit to be predicted. `simulation` and `event_us` go into its events."""

    inputs: ModelInputs
    events: list[EventRows]
    event_us: int
    simulation: str


class Answer(NamedTuple):
    """What was computed and written down. `ids` 16 bytes a row, `scores` float64 `(N,)`.

    Rows that came one by one have their scores as a list, which is cheaper for a few.
    """

    ids: bytes
    scores: np.ndarray | list[float]
    latency_ns: int


class Predictor:
    """Answers requests. `inline_rows`: the most rows that are computed on the event loop when they come one
    by one; `inline_s`: the longest computation there when they come in bulk.
    """

    def __init__(self, spool: Spool, *, threads: int, inline_rows: int, inline_s: float = 0.0) -> None:
        self._spool = spool
        self._ids = PredictionIds()
        self._inline_rows = inline_rows
        self._inline_ns = inline_s * 1e9
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="predict")

    async def predict(
        self,
        deployment: LiveDeployment,
        request: inference_pb2.PredictRequest,
        *,
        patient: bool,
        timeout_s: float | None,
    ) -> inference_pb2.PredictResponse:
        """The answer to `request`. `patient`: wait for room in the shadow's queue rather than leave the
        shadow out.

        Raises:
            InvalidArgument: with the rows and columns that are wrong.
            ResourceExhausted: the spool or the disk is full.
            Unavailable: the champion cannot answer within `timeout_s`.
        """
        began = time.perf_counter_ns()
        runtime = deployment.champion.answering()
        self._spool.check_room()
        if patient and deployment.shadow_queue is not None:
            await deployment.shadow_queue.room()
        if runtime.in_process and self.is_short(deployment, request):
            checked, answer, response = self._answer_now(deployment, request, began)
        elif runtime.in_process:
            loop = asyncio.get_running_loop()
            checked, answer, response = await loop.run_in_executor(
                self._pool, self._answer_now, deployment, request, began
            )
        else:
            checked, answer, response = await self._answer_remotely(deployment, request, began, timeout_s)
        self.count(deployment, checked, answer)
        return response

    def is_short(self, deployment: LiveDeployment, request: inference_pb2.PredictRequest) -> bool:
        """Whether `request` is computed on the event loop, if its model runs in this process."""
        batch = request.batch
        if batch.HasField("rows"):
            return len(batch.rows.rows) <= self._inline_rows
        return len(batch.arrow_ipc) * deployment.ns_per_byte <= self._inline_ns

    async def compute(
        self, deployment: LiveDeployment, checked: CheckedRequest, timeout_s: float | None
    ) -> Answer:
        """Scores rows that are checked already, writes them down and hands them to the shadow. Raises as
        `predict`.
        """
        began = time.perf_counter_ns()
        runtime = deployment.champion.answering()
        self._spool.check_room()
        scores = await runtime.predict(checked.inputs, _patience(timeout_s))
        answer = await asyncio.to_thread(self._write_down, deployment, checked, scores, began)
        self.count(deployment, checked, answer)
        return answer

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()

    def count(self, deployment: LiveDeployment, checked: CheckedRequest, answer: Answer) -> None:
        """Counts an answered request and hands it to the shadow."""
        deployment.prediction_count += checked.inputs.row_count
        if deployment.shadow_queue is not None:
            deployment.shadow_queue.offer(
                ShadowWork(checked.inputs, checked.events, answer.ids, checked.event_us, checked.simulation)
            )

    def _answer_now(
        self, deployment: LiveDeployment, request: inference_pb2.PredictRequest, began: int
    ) -> tuple[CheckedRequest, Answer, inference_pb2.PredictResponse]:
        arrow_bytes = len(request.batch.arrow_ipc)
        started = time.thread_time_ns() if arrow_bytes else 0
        checked = check(deployment, request)
        scores = deployment.champion.answering().score(checked.inputs)
        answer = self._write_down(
            deployment, checked, scores, began, one_by_one=request.batch.HasField("rows")
        )
        response = _response(deployment, answer)
        if arrow_bytes:
            deployment.note_bulk(arrow_bytes, time.thread_time_ns() - started)
        return checked, answer, response

    async def _answer_remotely(
        self,
        deployment: LiveDeployment,
        request: inference_pb2.PredictRequest,
        began: int,
        timeout_s: float | None,
    ) -> tuple[CheckedRequest, Answer, inference_pb2.PredictResponse]:
        loop = asyncio.get_running_loop()
        checked = await loop.run_in_executor(self._pool, check, deployment, request)
        scores = await deployment.champion.answering().predict(checked.inputs, _patience(timeout_s))
        write_down = partial(self._write_down, one_by_one=request.batch.HasField("rows"))
        answer = await loop.run_in_executor(self._pool, write_down, deployment, checked, scores, began)
        return checked, answer, _response(deployment, answer)

    def _write_down(
        self,
        deployment: LiveDeployment,
        checked: CheckedRequest,
        scores: np.ndarray,
        began: int,
        *,
        one_by_one: bool = False,
    ) -> Answer:
        """Gives every row its id and writes the events."""
        count = len(scores)
        wide: np.ndarray | list[float]
        if one_by_one:
            wide = scores.tolist()
            probable = all(0.0 <= score <= 1.0 for score in wide)
            written = struct.pack(f"<{count}d", *wide)
        else:
            wide = scores.astype("<f8")
            probable = bool(np.minimum.reduce(wide) >= 0.0 and np.maximum.reduce(wide) <= 1.0)
            written = wide.tobytes()
        if not probable:
            raise Internal(
                f"Model version {deployment.champion.model_version} gave a score that is no probability."
            )
        ids = self._ids.one() if count == 1 else self._ids.many(count).tobytes()
        latency_ns = time.perf_counter_ns() - began
        times = EventTimes(checked.event_us, time.time_ns() // 1000, latency_ns // 1000)
        write_events(
            self._spool,
            deployment.champion.source,
            checked.events,
            ids=ids,
            scores=written,
            times=times,
            simulation=checked.simulation,
        )
        return Answer(ids, wide, latency_ns)


def _patience(timeout_s: float | None) -> float:
    """How long to wait for another process, so that the refusal still reaches the caller within its
    deadline.
    """
    return TIMEOUT_S if timeout_s is None else SHARE_OF_DEADLINE * timeout_s


def check(deployment: LiveDeployment, request: inference_pb2.PredictRequest) -> CheckedRequest:
    """The rows of `request` as the model takes them. Raises `InvalidArgument` that names each row and
    column.
    """
    event_us = event_time_us(request)
    if request.batch.HasField("rows"):
        inputs, events = _check_rows(deployment, request.batch.rows.rows)
    elif (bulk := deployment.bulk.read(request.batch.arrow_ipc)) is not None:
        inputs, events = bulk
    else:
        checked = deployment.schema.decode(request.batch)
        if checked.rejected:
            raise _refusal([(row.row_index, row.column, row.reason) for row in checked.rejected])
        inputs, events = deployment.layout.from_batch(checked.rows), encode_batch(checked.rows)
    return CheckedRequest(inputs, events, event_us, request.simulation)


def check_values(
    deployment: LiveDeployment, rows: Sequence[list[Value]]
) -> tuple[ModelInputs, list[EventRows]]:
    """Checked values of rows as model inputs and as the body of their event."""
    layout = deployment.layout
    filled = [layout.fill(row) for row in rows]
    return layout.from_rows(filled), [EventRows(PACKED, len(filled), layout.packing.pack(filled))]


def event_time_us(request: inference_pb2.PredictRequest) -> int:
    """The request's event time, or now, in microseconds since 1970."""
    if not request.HasField("event_time"):
        return time.time_ns() // 1000
    given: Timestamp = request.event_time
    if not (_FIRST_SECOND <= given.seconds <= _LAST_SECOND and 0 <= given.nanos < 1_000_000_000):
        raise InvalidArgument.of(FieldViolation("event_time", "must be a time of the years 1 to 9999"))
    return int(given.seconds) * 1_000_000 + given.nanos // 1000


def _check_rows(deployment: LiveDeployment, rows: Sequence[Struct]) -> tuple[ModelInputs, list[EventRows]]:
    kept: list[list[Value]] = []
    problems: list[tuple[int, str, str]] = []
    for index, row in enumerate(rows):
        values, found = deployment.schema.check_struct(row)
        if found:
            problems += [(index, column, f"{column} {reason}") for column, reason in found]
        kept.append(values)
    if problems:
        raise _refusal(problems)
    return check_values(deployment, kept)


def _refusal(problems: Sequence[tuple[int, str, str]]) -> InvalidArgument:
    shown = problems[:SHOWN_VIOLATIONS]
    error = InvalidArgument.of(
        *(FieldViolation(f"batch.rows[{row}].{column}", reason) for row, column, reason in shown)
    )
    more = len(problems) - len(shown)
    if not more:
        return error
    return InvalidArgument(f"{error.message}; and {more} more", error.violations)


def _response(deployment: LiveDeployment, answer: Answer) -> inference_pb2.PredictResponse:
    response = inference_pb2.PredictResponse()
    response.CopyFrom(deployment.answered_by)
    if isinstance(answer.scores, list):
        add = response.predictions.add
        if deployment.withholds:
            for position in range(len(answer.scores)):
                add(prediction_id=text(answer.ids[16 * position : 16 * position + 16]), score=float("nan"))
        else:
            words, threshold = deployment.words, deployment.champion.source.threshold
            for position, score in enumerate(answer.scores):
                positive = score >= threshold
                add(
                    prediction_id=text(answer.ids[16 * position : 16 * position + 16]),
                    score=score,
                    decision=words[positive],
                    positive=positive,
                )
    else:
        response.arrow_ipc = _arrow(deployment, answer.ids, answer.scores)
    seconds, response.latency.nanos = divmod(answer.latency_ns, 1_000_000_000)
    if seconds:
        response.latency.seconds = seconds
    return response


def _arrow(deployment: LiveDeployment, ids: bytes, scores: np.ndarray) -> bytes:
    count = len(scores)
    withheld = deployment.withholds
    positive = np.zeros(count, bool) if withheld else scores >= deployment.champion.source.threshold
    batch = pa.RecordBatch.from_arrays(
        [
            texts(np.frombuffer(ids, np.uint8).reshape(count, 16)),
            pa.array(np.full(count, np.nan) if withheld else scores),
            (_NO_WORDS if withheld else deployment.two_words).chosen(positive),
            pa.array(positive),
        ],
        schema=_ANSWERS,
    )
    return b"".join((_ANSWERS_HEAD, batch.serialize(), _ARROW_END))
