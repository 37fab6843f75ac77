"""Audits: a dated report over a deployment and a period, kept on disk and in the database, hashed into the
ledger.

The report is made of merged profiles, so that its cost does not depend on how many predictions there were.
It is written
once: a repeat of the request with the same id gets the audit that is there. The files under
`<home>/audits/<id>/` are copies for people (`report.json`, `report.html`); the database holds the same
bytes, and the SHA-256 of the JSON stands in the audit and in the ledger.
"""

import datetime as dt
import hashlib
import json
import os
import threading
import uuid
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from boarfish.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from boarfish.v1 import common_pb2, monitoring_pb2
from google.protobuf.json_format import MessageToDict, ParseDict

from services.common import pages
from services.common.storage import writing_to
from services.monitoring import alerts, ledger, profiles, report, report_page, tables
from services.monitoring.findings import Facts, findings
from services.monitoring.profiles import DAY_US, Series
from services.monitoring.references import References
from services.monitoring.windows import EVERYTHING, Span, Windows, days_of, find_deployment


class Audits:
    """Makes and keeps audits. Safe to use from several threads."""

    def __init__(
        self,
        engine: sa.Engine,
        references: References,
        windows: Windows,
        write_lock: threading.Lock,
        folder: Path,
    ) -> None:
        self._engine = engine
        self._references = references
        self._windows = windows
        self._write_lock = write_lock
        self._folder = folder

    def run(self, request: monitoring_pb2.RunAuditRequest) -> monitoring_pb2.Audit:
        """Audits a deployment over a period; whole days.

        Raises:
            NotFound: nobody has seen the deployment.
            InvalidArgument: the period holds no prediction, or the request id was used for another request.
        """
        content = request.SerializeToString(deterministic=True)
        earlier = self._earlier(request.request_id, content)
        if earlier is not None:
            return earlier
        audit = self._make(request)
        text = json.dumps(audit.pop("report"), ensure_ascii=False, sort_keys=True, allow_nan=False)
        kept: monitoring_pb2.Audit = audit["audit"]
        kept.sha256 = hashlib.sha256(text.encode()).hexdigest()
        self._write_files(kept.id, text, audit["html"])
        with self._write_lock, self._engine.begin() as connection:
            # The same request may have been answered while this report was made.
            found = self._row(connection, tables.audit.c.request_id == request.request_id)
            if found is None:
                connection.execute(
                    sa.insert(tables.audit).values(
                        id=kept.id,
                        request_id=request.request_id,
                        request=content,
                        deployment=request.deployment,
                        audit=kept.SerializeToString(),
                        report=text,
                        html=audit["html"],
                    )
                )
                self._record(connection, kept)
        if found is not None:
            return self.run(request)
        return _whole(kept, text, audit["html"])

    def get(self, audit_id: str) -> monitoring_pb2.Audit:
        """An audit with its report. Raises `NotFound`."""
        with self._engine.connect() as connection:
            row = self._row(connection, tables.audit.c.id == audit_id)
        if row is None:
            raise NotFound(f"there is no audit {audit_id!r}: ListAudits names those that there are")
        return _whole(monitoring_pb2.Audit.FromString(row.audit), row.report, row.html)

    def page(self, request: monitoring_pb2.ListAuditsRequest) -> monitoring_pb2.ListAuditsResponse:
        """Audits newest first, without their reports.

        Raises `NotFound` for a deployment that nobody has seen.
        """
        table = tables.audit
        before = pages.position_of(request, request.page_token)
        size = pages.page_size(request.page_size)
        query = sa.select(table.c.number, table.c.audit).order_by(table.c.number.desc()).limit(size + 1)
        with self._engine.connect() as connection:
            if request.deployment:
                find_deployment(connection, request.deployment)
                query = query.where(table.c.deployment == request.deployment)
            if before is not None:
                query = query.where(table.c.number < before)
            rows = connection.execute(query).all()
        following = rows[size - 1].number if len(rows) > size else None
        return monitoring_pb2.ListAuditsResponse(
            audits=[monitoring_pb2.Audit.FromString(row.audit) for row in rows[:size]],
            next_page_token=pages.next_token(request, following),
        )

    def facts(self, deployment: str, start: int, end: int) -> tuple[Span, Facts]:
        """What is known of a deployment from day `start` to day `end`, and the days that hold predictions.

        Raises `NotFound`, and `FailedPrecondition` or `InvalidArgument` where there is no prediction.
        """
        with self._engine.connect() as connection:
            position = find_deployment(connection, deployment)
            series = Series(position.name, position.champion, common_pb2.PREDICTION_ROLE_CHAMPION)
            reference = self._references.get(series.model_version)
            assert reference is not None
            span = _span(connection, series, start, end)
            window = self._windows.window(connection, position, series, reference, span)
            grid = self._windows.grid(connection, series, reference, span.start, span.end)
            shadow = None
            if position.shadow and (beside := self._references.get(position.shadow)):
                other = Series(position.name, position.shadow, common_pb2.PREDICTION_ROLE_SHADOW)
                days = profiles.day_counts(connection, other, span.start, span.end)
                if days:
                    shadow = self._windows.window(
                        connection, position, other, beside, Span(span.start, span.end, days)
                    )
            raised = [
                alert
                for alert in alerts.all_of(connection, position.name)
                if alert.model_version == series.model_version and alerts.touches(alert, span.start, span.end)
            ]
            return span, Facts(
                reference=reference,
                window=window,
                windows=[
                    self._windows.window(connection, position, series, reference, part) for part in grid
                ],
                alerts=raised,
                shadow=shadow,
            )

    def _make(self, request: monitoring_pb2.RunAuditRequest) -> dict[str, Any]:
        start, end = days_of(request.period) if request.HasField("period") else EVERYTHING
        span, facts = self.facts(request.deployment, start, end)
        audit = monitoring_pb2.Audit(
            id=uuid.uuid4().hex,
            deployment=request.deployment,
            model_version=facts.reference.model_version,
            requested_by=request.requested_by,
            findings=findings(facts),
        )
        audit.period.start_time.FromMicroseconds(span.start * DAY_US)
        audit.period.end_time.FromMicroseconds(span.end * DAY_US)
        audit.create_time.FromDatetime(dt.datetime.now(dt.UTC))
        made = report.build(audit, facts)
        return {"audit": audit, "report": made, "html": report_page.render(made)}

    def _earlier(self, request_id: str, content: bytes) -> monitoring_pb2.Audit | None:
        with self._engine.connect() as connection:
            row = self._row(connection, tables.audit.c.request_id == request_id)
        if row is None:
            return None
        if row.request != content:
            raise InvalidArgument.of(ledger.REQUEST_ID_REUSED)
        return _whole(monitoring_pb2.Audit.FromString(row.audit), row.report, row.html)

    @staticmethod
    def _row(connection: sa.Connection, where: sa.ColumnElement[bool]) -> "sa.Row[Any] | None":
        return connection.execute(sa.select(tables.audit).where(where)).first()

    def _write_files(self, audit_id: str, text: str, html: str) -> None:
        folder = self._folder / audit_id
        with writing_to(self._folder):
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in (("report.json", text), ("report.html", html)):
                with (folder / name).open("w", encoding="utf-8") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())

    @staticmethod
    def _record(connection: sa.Connection, audit: monitoring_pb2.Audit) -> None:
        details = {
            "deployment": audit.deployment,
            "model_version": audit.model_version,
            "period": MessageToDict(audit.period, preserving_proto_field_name=True),
            "sha256": audit.sha256,
            "finding_count": len(audit.findings),
        }
        actor = audit.requested_by or alerts.ACTOR
        ledger.append(
            connection,
            ledger.Line(
                f"audit.completed/{audit.id}", actor, "audit.completed", f"audits/{audit.id}", details
            ),
        )


def _span(connection: sa.Connection, series: Series, start: int, end: int) -> Span:
    days = profiles.day_counts(connection, series, start, end)
    if days:
        return Span(max(start, days[0].day), min(end, days[-1].day + 1), days)
    total = profiles.all_series(connection, series.deployment).get(series)
    if total is None:
        raise FailedPrecondition(
            f"{series.deployment} has no counted prediction yet: there is nothing to audit"
        )
    first, last = (dt.date(1970, 1, 1) + dt.timedelta(days=day) for day in (total.first_day, total.last_day))
    text = f"holds no prediction of {series.deployment}: its predictions go from {first} to {last}"
    raise InvalidArgument.of(FieldViolation("period", text))


def _whole(audit: monitoring_pb2.Audit, text: str, html: str) -> monitoring_pb2.Audit:
    whole = monitoring_pb2.Audit()
    whole.CopyFrom(audit)
    ParseDict(json.loads(text), whole.report)
    whole.html = html
    return whole
