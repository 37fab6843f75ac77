"""Appeals as they are kept: filed, taken by a reviewer, answered; each step is also a line of the ledger.

    FILED ──TakeAppeal──▶ IN_REVIEW ──ResolveAppeal──▶ UPHELD ──label read in the lake──▶ delivered
      └───────────────────ResolveAppeal──────────────▶ REJECTED

A request is answered once: sent again with its id it gets the appeal as it stands. Names and words of the
person stay in this table; the ledger, which forgets nothing, has the hashes of statement and answer.
Monitoring calls no one: an upheld appeal's label is logged to ingestion by whoever resolved it, and
`services.monitoring.appeal_watch` notes when it has come
(`docs/decisions/a-corrected-label-is-logged-by-its-reviewer.md`).
"""

import datetime as dt
import hashlib
import json
import threading
import uuid
from typing import Any

import sqlalchemy as sa
from boarfish.errors import AlreadyExists, FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from boarfish.v1 import monitoring_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from services.common import pages
from services.monitoring import contested, ledger, tables
from services.monitoring.builders import builders, same_name
from services.monitoring.consumer import positions
from services.monitoring.contested import Contested, ContestedPredictions
from services.monitoring.windows import clock_us

OPEN = (pb.APPEAL_STATE_FILED, pb.APPEAL_STATE_IN_REVIEW)
FILED_BY = "person affected"

Asked = pb.FileAppealRequest | pb.TakeAppealRequest | pb.ResolveAppealRequest


class Appeals:
    """Takes appeals from filing to answer. Safe to use from several threads."""

    def __init__(
        self,
        engine: sa.Engine,
        predictions: ContestedPredictions,
        write_lock: threading.Lock,
        *,
        due_days: int,
    ) -> None:
        self._engine = engine
        self._predictions = predictions
        self._write_lock = write_lock
        self._due = dt.timedelta(days=due_days)

    def file(self, request: pb.FileAppealRequest) -> pb.Appeal:
        """Writes a new appeal.

        Raises:
            NotFound: there is no such prediction.
            AlreadyExists: an appeal against it is open.
            InvalidArgument: the request id was used for another request, or the statement is blank.
        """
        _require_words(request, "statement")
        with self._engine.connect() as connection:
            if (earlier := _answered(connection, request)) is not None:
                return earlier
        found = self._predictions.find(request.prediction_id, request.deployment)
        appeal = self._new(request, found)
        with self._write_lock, self._engine.begin() as connection:
            if (earlier := _answered(connection, request)) is not None:
                return earlier
            _require_none_open(connection, found.prediction_id)
            values = {"id": appeal.id, "groups": json.dumps(found.group, sort_keys=True)}
            connection.execute(sa.insert(tables.appeal).values(**values, **_columns(appeal)))
            _remember(connection, request, appeal)
            details = {
                "statement_sha256": _sha256(appeal.statement),
                "due_time": appeal.due_time.ToJsonString(),
            }
            record(connection, "appeal.filed", appeal, FILED_BY, details)
        return appeal

    def get(self, appeal_id: str) -> pb.GetAppealResponse:
        """An appeal and, where the lake still has it, the prediction. Raises `NotFound`."""
        with self._engine.connect() as connection:
            appeal = _find(connection, appeal_id)
        answer = pb.GetAppealResponse(appeal=appeal)
        try:
            found = self._predictions.find(appeal.prediction_id, appeal.deployment, inputs=True)
        except NotFound:
            return answer
        labels = self._predictions.labels(appeal.deployment, [appeal.prediction_id])
        answer.prediction.CopyFrom(contested.message(found, labels))
        return answer

    def page(self, request: pb.ListAppealsRequest) -> pb.ListAppealsResponse:
        """Appeals, oldest first."""
        table = tables.appeal
        after, size = pages.position_of(request, request.page_token) or 0, pages.page_size(request.page_size)
        query = sa.select(table.c.number, table.c.appeal).where(table.c.number > after)
        if request.deployment:
            query = query.where(table.c.deployment == request.deployment)
        if request.state:
            query = query.where(table.c.state == request.state)
        if request.only_open:
            query = query.where(table.c.state.in_(OPEN))
        if request.only_undelivered:
            query = query.where(table.c.delivered.is_(False))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(table.c.number).limit(size + 1)).all()
        following = rows[size - 1].number if len(rows) > size else None
        return pb.ListAppealsResponse(
            appeals=[seen(pb.Appeal.FromString(row.appeal)) for row in rows[:size]],
            next_page_token=pages.next_token(request, following),
        )

    def take(self, request: pb.TakeAppealRequest) -> pb.Appeal:
        """Gives an appeal to a reviewer, or over from another.

        Raises:
            NotFound: there is no such appeal.
            FailedPrecondition: it is answered, or the reviewer built the model version.
            InvalidArgument: the request id was used for another request.
        """
        _require_words(request, "reviewed_by")
        with self._write_lock, self._engine.begin() as connection:
            if (earlier := _answered(connection, request)) is not None:
                return earlier
            appeal = _find(connection, request.id)
            _require_open(appeal)
            _require_independent(connection, appeal, request.reviewed_by)
            details = {"reviewer_role": request.reviewer_role, "taken_from": appeal.reviewed_by}
            appeal.state = pb.APPEAL_STATE_IN_REVIEW
            appeal.reviewed_by, appeal.reviewer_role = request.reviewed_by, request.reviewer_role
            appeal.review_start_time.CopyFrom(_now())
            save(connection, appeal)
            _remember(connection, request, appeal)
            record(connection, "appeal.taken", appeal, request.reviewed_by, details)
        return appeal

    def resolve(self, request: pb.ResolveAppealRequest) -> pb.Appeal:
        """Answers an appeal.

        Raises:
            NotFound: there is no such appeal, or no such prediction any more.
            FailedPrecondition: it is answered, another reviewer has it, or the reviewer built the model.
            InvalidArgument: the corrected label cannot be, or the request id was used before.
        """
        _require_words(request, "answer", "reviewed_by")
        with self._engine.connect() as connection:
            if (earlier := _answered(connection, request)) is not None:
                return earlier
            # Whether it is open is asked under the lock: the same request may be answering it at this moment.
            appeal = _find(connection, request.id)
        self._require_label(request, appeal)
        with self._write_lock, self._engine.begin() as connection:
            if (earlier := _answered(connection, request)) is not None:
                return earlier
            appeal = _find(connection, request.id)
            _require_open(appeal)
            _require_independent(connection, appeal, request.reviewed_by)
            if appeal.reviewed_by and same_name(appeal.reviewed_by) != same_name(request.reviewed_by):
                raise FailedPrecondition(
                    f"appeal {appeal.id} is in review by {appeal.reviewed_by}: take it over first",
                    reason="IN_REVIEW_BY_ANOTHER",
                )
            appeal.state = pb.APPEAL_STATE_UPHELD if request.upheld else pb.APPEAL_STATE_REJECTED
            appeal.answer, appeal.reviewed_by = request.answer, request.reviewed_by
            appeal.reviewer_role = request.reviewer_role or appeal.reviewer_role
            appeal.corrected_label = request.corrected_label
            appeal.overdue = False
            if request.upheld:
                appeal.correction_time.CopyFrom(_clock(connection, appeal.deployment))
            appeal.resolve_time.CopyFrom(_now())
            save(connection, appeal)
            _remember(connection, request, appeal)
            details = {
                "answer_sha256": _sha256(appeal.answer),
                "corrected_label": appeal.corrected_label,
                "reviewer_role": appeal.reviewer_role,
            }
            action = "appeal.upheld" if request.upheld else "appeal.rejected"
            record(connection, action, appeal, request.reviewed_by, details)
        return appeal

    def _new(self, request: pb.FileAppealRequest, found: Contested) -> pb.Appeal:
        appeal = pb.Appeal(
            id=uuid.uuid4().hex,
            prediction_id=found.prediction_id,
            statement=request.statement,
            state=pb.APPEAL_STATE_FILED,
            create_time=_now(),
            deployment=found.deployment,
            model_version=found.model_version,
            decision=found.decision,
            filed_by=request.filed_by,
        )
        appeal.due_time.FromDatetime(appeal.create_time.ToDatetime() + self._due)
        return appeal

    def _require_label(self, request: pb.ResolveAppealRequest, appeal: pb.Appeal) -> None:
        problem: str | None = None
        if request.upheld and not request.corrected_label:
            problem = "is missing: an appeal that is upheld says what is right"
        elif request.corrected_label and not request.upheld:
            problem = "must be empty: an appeal that is rejected corrects nothing"
        elif request.upheld:
            found = self._predictions.find(appeal.prediction_id, appeal.deployment)
            problem = contested.label_problem(found, request.corrected_label)
        if problem is not None:
            raise InvalidArgument.of(FieldViolation("corrected_label", problem))


def open_count(connection: sa.Connection, deployment: str) -> int:
    """Appeals against a deployment that wait for an answer."""
    table = tables.appeal
    query = sa.select(sa.func.count()).where(table.c.deployment == deployment, table.c.state.in_(OPEN))
    return int(connection.execute(query).scalar_one())


def save(connection: sa.Connection, appeal: pb.Appeal) -> None:
    """Writes what has changed of an appeal."""
    table = tables.appeal
    connection.execute(sa.update(table).where(table.c.id == appeal.id).values(**_columns(appeal)))


def record(
    connection: sa.Connection, action: str, appeal: pb.Appeal, actor: str, more: dict[str, Any]
) -> None:
    """Writes a step of an appeal into the ledger."""
    details = {
        "deployment": appeal.deployment,
        "model_version": appeal.model_version,
        "prediction_id": appeal.prediction_id,
        **more,
    }
    # An appeal can be taken more than once; every other step happens once.
    step = f"{action}/{appeal.id}/{appeal.review_start_time.ToJsonString()}"
    ledger.append(connection, ledger.Line(step, actor, action, f"appeals/{appeal.id}", details))


def seen(appeal: pb.Appeal) -> pb.Appeal:
    """The same appeal, with whether it is overdue now."""
    appeal.overdue = appeal.state in OPEN and appeal.due_time.ToMicroseconds() < _now().ToMicroseconds()
    return appeal


def _find(connection: sa.Connection, appeal_id: str) -> pb.Appeal:
    blob = connection.execute(
        sa.select(tables.appeal.c.appeal).where(tables.appeal.c.id == appeal_id)
    ).scalar()
    if blob is None:
        raise NotFound(f"there is no appeal {appeal_id!r}: ListAppeals names those that there are")
    return seen(pb.Appeal.FromString(blob))


def _answered(connection: sa.Connection, request: Asked) -> pb.Appeal | None:
    """The appeal of a request that was answered before; `None` for a new one."""
    table = tables.appeal_request
    row = connection.execute(sa.select(table).where(table.c.request_id == request.request_id)).first()
    if row is None:
        return None
    if row.request != _content(request):
        raise InvalidArgument.of(ledger.REQUEST_ID_REUSED)
    return _find(connection, row.appeal_id)


def _remember(connection: sa.Connection, request: Asked, appeal: pb.Appeal) -> None:
    values = {"request_id": request.request_id, "appeal_id": appeal.id, "request": _content(request)}
    connection.execute(sa.insert(tables.appeal_request).values(**values))


def _content(request: Asked) -> bytes:
    """What a request asks for; which RPC it is of belongs to it."""
    return request.DESCRIPTOR.name.encode() + b"\0" + request.SerializeToString(deterministic=True)


def _require_words(request: Asked, *fields: str) -> None:
    blank = [field for field in fields if not getattr(request, field).strip()]
    if blank:
        raise InvalidArgument.of(*(FieldViolation(field, "is blank: say it in words") for field in blank))


def _require_open(appeal: pb.Appeal) -> None:
    if appeal.state not in OPEN:
        word = pb.AppealState.Name(appeal.state).removeprefix("APPEAL_STATE_").lower()
        raise FailedPrecondition(f"appeal {appeal.id} is answered already: it was {word}", reason="ANSWERED")


def _require_none_open(connection: sa.Connection, prediction_id: str) -> None:
    table = tables.appeal
    found = connection.execute(
        sa.select(table.c.id).where(table.c.prediction_id == prediction_id, table.c.state.in_(OPEN))
    ).scalar()
    if found is not None:
        raise AlreadyExists(f"an appeal against prediction {prediction_id} is open already: {found}")


def _require_independent(connection: sa.Connection, appeal: pb.Appeal, reviewer: str) -> None:
    did = builders(connection, appeal.model_version).get(same_name(reviewer))
    if did is not None:
        raise FailedPrecondition(
            f"{reviewer} may not review appeal {appeal.id}: by the ledger ({did}) they helped to build or "
            "approve the model that decided. Someone else has to.",
            reason="REVIEWER_BUILT_IT",
            metadata={"action": did},
        )


def _columns(appeal: pb.Appeal) -> dict[str, Any]:
    waiting = appeal.state == pb.APPEAL_STATE_UPHELD and not appeal.HasField("label_time")
    return {
        "deployment": appeal.deployment,
        "prediction_id": appeal.prediction_id,
        "state": appeal.state,
        "due_us": appeal.due_time.ToMicroseconds(),
        "delivered": not waiting,
        "appeal": appeal.SerializeToString(),
    }


def _clock(connection: sa.Connection, deployment: str) -> Timestamp:
    """The newest event time of a deployment; now where nothing of it is counted yet."""
    moment = _now()
    position = positions(connection).get(deployment)
    if position is not None and clock_us(position) >= 0:
        moment.FromMicroseconds(clock_us(position))
    return moment


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _now() -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(dt.datetime.now(dt.UTC))
    return moment
