"""The face of monitoring: each RPC, thin over the modules that know. Database work runs in threads."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import grpc
import sqlalchemy as sa
from boarfish.v1 import monitoring_pb2 as pb
from boarfish.v1 import monitoring_pb2_grpc

from services.common import pages
from services.monitoring import alerts, appeal_statistics, documents, ledger
from services.monitoring.appeals import Appeals
from services.monitoring.audits import Audits
from services.monitoring.checkpoints import Checkpoints
from services.monitoring.gates import Gates
from services.monitoring.health import Health
from services.monitoring.references import References
from services.monitoring.subscriptions import Subscriptions
from services.monitoring.windows import Windows, find_deployment

T = TypeVar("T")
Context = grpc.aio.ServicerContext[object, object]


@dataclass(frozen=True)
class Parts:
    """What the service stands on."""

    engine: sa.Engine
    write_lock: threading.Lock
    references: References
    health: Health
    windows: Windows
    audits: Audits
    gates: Gates
    appeals: Appeals
    subscriptions: Subscriptions
    checkpoints: Checkpoints


class MonitoringService(monitoring_pb2_grpc.MonitoringServiceServicer):
    """See `protos/boarfish/v1/monitoring.proto`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._engine = parts.engine

    async def GetHealth(self, request: pb.GetHealthRequest, context: Context) -> pb.GetHealthResponse:
        return await asyncio.to_thread(self._parts.health.report, request.deployment)

    async def QueryProfiles(
        self, request: pb.QueryProfilesRequest, context: Context
    ) -> pb.QueryProfilesResponse:
        return await asyncio.to_thread(self._parts.windows.query, request)

    async def ListAlerts(self, request: pb.ListAlertsRequest, context: Context) -> pb.ListAlertsResponse:
        return await asyncio.to_thread(self._list_alerts, request)

    def _list_alerts(self, request: pb.ListAlertsRequest) -> pb.ListAlertsResponse:
        before = pages.position_of(request, request.page_token) or 0
        size = pages.page_size(request.page_size)
        with self._engine.connect() as connection:
            if request.deployment:
                find_deployment(connection, request.deployment)
            found = alerts.page(connection, request.deployment, request.state, before=before, limit=size + 1)
        following = found[size - 1][0] if len(found) > size else None
        return pb.ListAlertsResponse(
            alerts=[alert for _, alert in found[:size]], next_page_token=pages.next_token(request, following)
        )

    async def WatchAlerts(
        self, request: pb.WatchAlertsRequest, context: Context
    ) -> AsyncIterator[pb.WatchAlertsResponse]:
        subscription = self._parts.subscriptions.open(request.deployment)
        try:
            for known in await asyncio.to_thread(self._open_alerts, request.deployment):
                yield pb.WatchAlertsResponse(alert=known)
            while (alert := await subscription.next()) is not None:
                yield pb.WatchAlertsResponse(alert=alert)
        finally:
            self._parts.subscriptions.close(subscription)

    def _open_alerts(self, deployment: str) -> list[pb.Alert]:
        with self._engine.connect() as connection:
            return alerts.unresolved(connection, deployment)

    async def AcknowledgeAlert(
        self, request: pb.AcknowledgeAlertRequest, context: Context
    ) -> pb.AcknowledgeAlertResponse:
        alert, changed = await asyncio.to_thread(
            self._write, lambda connection: alerts.acknowledge(connection, request)
        )
        if changed:
            self._parts.subscriptions.publish([alert])
        return pb.AcknowledgeAlertResponse(alert=alert)

    async def RunAudit(self, request: pb.RunAuditRequest, context: Context) -> pb.RunAuditResponse:
        return pb.RunAuditResponse(audit=await asyncio.to_thread(self._parts.audits.run, request))

    async def GetAudit(self, request: pb.GetAuditRequest, context: Context) -> pb.GetAuditResponse:
        return pb.GetAuditResponse(audit=await asyncio.to_thread(self._parts.audits.get, request.id))

    async def ListAudits(self, request: pb.ListAuditsRequest, context: Context) -> pb.ListAuditsResponse:
        return await asyncio.to_thread(self._parts.audits.page, request)

    async def EvaluateGate(
        self, request: pb.EvaluateGateRequest, context: Context
    ) -> pb.EvaluateGateResponse:
        return await asyncio.to_thread(self._parts.gates.evaluate, request)

    async def FileAppeal(self, request: pb.FileAppealRequest, context: Context) -> pb.FileAppealResponse:
        return pb.FileAppealResponse(appeal=await asyncio.to_thread(self._parts.appeals.file, request))

    async def GetAppeal(self, request: pb.GetAppealRequest, context: Context) -> pb.GetAppealResponse:
        return await asyncio.to_thread(self._parts.appeals.get, request.id)

    async def ListAppeals(self, request: pb.ListAppealsRequest, context: Context) -> pb.ListAppealsResponse:
        return await asyncio.to_thread(self._parts.appeals.page, request)

    async def TakeAppeal(self, request: pb.TakeAppealRequest, context: Context) -> pb.TakeAppealResponse:
        return pb.TakeAppealResponse(appeal=await asyncio.to_thread(self._parts.appeals.take, request))

    async def ResolveAppeal(
        self, request: pb.ResolveAppealRequest, context: Context
    ) -> pb.ResolveAppealResponse:
        return pb.ResolveAppealResponse(appeal=await asyncio.to_thread(self._parts.appeals.resolve, request))

    async def GetAppealStatistics(
        self, request: pb.GetAppealStatisticsRequest, context: Context
    ) -> pb.GetAppealStatisticsResponse:
        return await asyncio.to_thread(self._appeal_statistics, request.deployment)

    def _appeal_statistics(self, deployment: str) -> pb.GetAppealStatisticsResponse:
        with self._engine.connect() as connection:
            return appeal_statistics.statistics(connection, self._parts.references, deployment)

    async def WriteDocument(
        self, request: pb.WriteDocumentRequest, context: Context
    ) -> pb.WriteDocumentResponse:
        made = await asyncio.to_thread(documents.write, self._parts.audits, request)
        return pb.WriteDocumentResponse(document=made)

    async def AppendLedgerEntry(
        self, request: pb.AppendLedgerEntryRequest, context: Context
    ) -> pb.AppendLedgerEntryResponse:
        line = ledger.line_of(request)
        entry = await asyncio.to_thread(self._write, lambda connection: ledger.append(connection, line))
        return pb.AppendLedgerEntryResponse(entry=entry)

    async def ListLedgerEntries(
        self, request: pb.ListLedgerEntriesRequest, context: Context
    ) -> pb.ListLedgerEntriesResponse:
        return await asyncio.to_thread(self._list_entries, request)

    def _list_entries(self, request: pb.ListLedgerEntriesRequest) -> pb.ListLedgerEntriesResponse:
        after = max(request.after_sequence, pages.position_of(request, request.page_token) or 0)
        size = pages.page_size(request.page_size)
        with self._engine.connect() as connection:
            found = ledger.page(connection, after=after, limit=size + 1)
        following = found[size - 1].sequence if len(found) > size else None
        return pb.ListLedgerEntriesResponse(
            entries=found[:size], next_page_token=pages.next_token(request, following)
        )

    async def VerifyLedger(
        self, request: pb.VerifyLedgerRequest, context: Context
    ) -> pb.VerifyLedgerResponse:
        return await asyncio.to_thread(self._verify)

    def _verify(self) -> pb.VerifyLedgerResponse:
        with self._engine.connect() as connection:
            return ledger.verify(connection)

    async def GetLedgerCheckpoint(
        self, request: pb.GetLedgerCheckpointRequest, context: Context
    ) -> pb.GetLedgerCheckpointResponse:
        return await asyncio.to_thread(self._parts.checkpoints.get, request)

    async def ProveLedgerEntry(
        self, request: pb.ProveLedgerEntryRequest, context: Context
    ) -> pb.ProveLedgerEntryResponse:
        return await asyncio.to_thread(self._parts.checkpoints.prove, request.sequence)

    async def ExportLedger(
        self, request: pb.ExportLedgerRequest, context: Context
    ) -> AsyncIterator[pb.ExportLedgerResponse]:
        parts = self._parts.checkpoints.export()
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            yield part

    def _write(self, change: Callable[[sa.Connection], T]) -> T:
        with self._parts.write_lock, self._engine.begin() as connection:
            return change(connection)

    def publish(self, changed: Iterable[pb.Alert]) -> None:
        """Tells the open WatchAlerts streams. On the event loop."""
        self._parts.subscriptions.publish(changed)
