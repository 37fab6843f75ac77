"""The monitoring service over a made lake: what it counts, notices, audits and records, through gRPC."""

import asyncio
import hashlib
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import sqlalchemy as sa
from boarfish.v1 import common_pb2, monitoring_pb2, monitoring_pb2_grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from google.rpc import error_details_pb2, status_pb2

from services.common.server import serving
from services.monitoring.__main__ import start
from services.monitoring.settings import MonitoringSettings
from tests.integration.monitoring.made_lake import CHAMPION, DEPLOYMENT, SHADOW, MadeLake

if TYPE_CHECKING:
    Stub = monitoring_pb2_grpc.MonitoringServiceAsyncStub


@asynccontextmanager
async def monitoring(home: Path) -> AsyncIterator["Stub"]:
    settings = MonitoringSettings(home=home, poll_interval_s=0.05, idle_interval_s=0.2, drain_s=1.0)
    async with (
        serving("monitoring", "127.0.0.1:0", settings, start) as harness,
        grpc.aio.insecure_channel(f"127.0.0.1:{harness.port}") as channel,
    ):
        yield monitoring_pb2_grpc.MonitoringServiceStub(channel)


async def until(
    stub: "Stub", done: Callable[[monitoring_pb2.DeploymentHealth], bool]
) -> monitoring_pb2.DeploymentHealth:
    """Waits until the deployment's health satisfies `done`."""
    async with asyncio.timeout(60):
        while True:
            health = (await stub.GetHealth(monitoring_pb2.GetHealthRequest())).deployments
            if health and done(health[0]):
                return health[0]
            await asyncio.sleep(0.05)


def counted(predictions: int, labelled: int = 0) -> Callable[[monitoring_pb2.DeploymentHealth], bool]:
    return lambda health: (
        health.prediction_count == predictions
        and health.labelled_count == labelled
        and not health.backlog_count
    )


async def refusal(call: object, code: grpc.StatusCode) -> status_pb2.Status:
    """The status that a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    assert caught.value.code() == code, caught.value.details()
    packed = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
    return status_pb2.Status.FromString(packed)  # type: ignore[arg-type]


def violations(status: status_pb2.Status) -> list[str]:
    found = error_details_pb2.BadRequest()
    return [
        violation.field
        for detail in status.details
        if detail.Is(found.DESCRIPTOR) and detail.Unpack(found)
        for violation in found.field_violations
    ]


@pytest.fixture
def lake(tmp_path: Path) -> MadeLake:
    made = MadeLake(tmp_path / "lake")
    made.add_reference(CHAMPION, SHADOW)
    return made


async def test_every_prediction_and_label_is_counted_once_with_its_true_outcome(
    tmp_path: Path, lake: MadeLake
) -> None:
    lake.add_days(0, 10)
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(2000))
        lake.add_labels(0, 6)
        lake.add_days(10, 12)
        health = await until(stub, counted(2400, 1200))
        quality = health.overall_quality
        people = lake.truth[:6]
        right = sum(int((one.positive == one.label).sum()) for one in people)
        assert quality.accuracy.value == pytest.approx(right / 1200)
        assert quality.selection_rate.value == pytest.approx(
            sum(int(one.positive.sum()) for one in lake.truth) / 2400
        )
        assert health.shadow_quality.labelled_count == 1200
        assert health.shadow_model_version == SHADOW
        assert health.task_name == "loans"
        assert health.watermark.ToDatetime().date().isoformat() == "2020-03-21"


async def test_labels_that_come_first_wait_for_their_prediction(tmp_path: Path, lake: MadeLake) -> None:
    lake.add_days(0, 1)
    early = lake.labels_of([lake._id() for _ in range(3)], ["1", "0", "1"], 3)
    lake.append_labels(early)
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(200))
        lake._serial -= 3
        lake.add_days(1, 2)
        await until(stub, counted(400, 3))


async def test_a_newer_label_revises_and_a_repeat_changes_nothing(tmp_path: Path, lake: MadeLake) -> None:
    lake.add_days(0, 1, count=4)
    ids = lake.ids[0]
    right = ["1" if positive else "0" for positive in lake.truth[0].positive]
    wrong = ["0" if value == "1" else "1" for value in right]
    lake.append_labels(lake.labels_of(ids, right, 5))
    async with monitoring(tmp_path) as stub:
        assert (await until(stub, counted(4, 4))).overall_quality.accuracy.value == 1.0
        lake.append_labels(lake.labels_of(ids, right, 6))
        lake.append_labels(lake.labels_of(ids[:1], wrong[:1], 8))
        lake.append_labels(lake.labels_of(ids[1:2], wrong[1:2], 2))
        health = await until(stub, lambda health: health.overall_quality.accuracy.value < 1.0)
        assert health.overall_quality.accuracy.value == 0.75
        assert health.labelled_count == 4


async def test_predictions_wait_for_the_reference_of_their_version(tmp_path: Path) -> None:
    lake = MadeLake(tmp_path / "lake")
    lake.add_days(0, 2)
    async with monitoring(tmp_path) as stub:
        await asyncio.sleep(0.3)
        assert not (await stub.GetHealth(monitoring_pb2.GetHealthRequest())).deployments
        lake.add_reference(CHAMPION, SHADOW)
        await until(stub, counted(400))


async def test_windows_come_oldest_first_in_pages_and_merge_to_the_whole(
    tmp_path: Path, lake: MadeLake
) -> None:
    lake.add_days(0, 30, count=50)
    lake.add_labels(0, 10)
    request = monitoring_pb2.QueryProfilesRequest(
        deployment=DEPLOYMENT,
        parts=[monitoring_pb2.WINDOW_PART_DRIFT, monitoring_pb2.WINDOW_PART_SUBGROUPS],
        page_size=2,
    )
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(1500, 500))
        windows: list[monitoring_pb2.Window] = []
        while True:
            answer = await stub.QueryProfiles(request)
            assert len(answer.windows) <= 2
            windows.extend(answer.windows)
            if not answer.next_page_token:
                break
            request.page_token = answer.next_page_token
        starts = [window.period.start_time.ToSeconds() for window in windows]
        assert starts == sorted(set(starts))
        assert all(start % (7 * 86400) == 0 for start in starts)
        assert sum(window.quality.row_count for window in windows) == 1500
        assert [window.complete for window in windows][-1] is False
        assert all(window.complete for window in windows[:-1])
        assert {drift.column for drift in windows[1].drifts} == {"INCOME", "HOME", "REGION"}
        assert {group.display_name for group in windows[1].subgroups} == {"male", "female"}
        assert not windows[1].HasField("profile")
        assert answer.reference.quality.row_count == 4000

        whole = monitoring_pb2.QueryProfilesRequest(
            deployment=DEPLOYMENT, merge=True, parts=[monitoring_pb2.WINDOW_PART_PROFILE]
        )
        merged = (await stub.QueryProfiles(whole)).windows
        assert len(merged) == 1
        assert (merged[0].quality.row_count, merged[0].quality.labelled_count) == (1500, 500)
        assert merged[0].profile.row_count == 1500
        assert not merged[0].drifts

        part = monitoring_pb2.QueryProfilesRequest(deployment=DEPLOYMENT, merge=True)
        part.period.start_time.FromJsonString("2020-03-05T00:00:00Z")
        part.period.end_time.FromJsonString("2020-03-25T00:00:00Z")
        assert (await stub.QueryProfiles(part)).windows[0].quality.row_count == 20 * 50
        shadow = monitoring_pb2.QueryProfilesRequest(deployment=DEPLOYMENT, model_version=SHADOW, merge=True)
        assert (await stub.QueryProfiles(shadow)).windows[0].role == common_pb2.PREDICTION_ROLE_SHADOW


async def test_a_swapped_code_is_one_alert_that_opens_is_acknowledged_and_resolves(
    tmp_path: Path, lake: MadeLake
) -> None:
    lake.add_days(0, 28)
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(5600))
        assert not (await stub.ListAlerts(monitoring_pb2.ListAlertsRequest())).alerts
        watching = stub.WatchAlerts(monitoring_pb2.WatchAlertsRequest(deployment=DEPLOYMENT))
        lake.add_days(28, 38, home=(0.1, 0.2, 0.7), simulation="home-code-swap")
        told = (await asyncio.wait_for(watching.read(), 30)).alert
        assert told.kind == monitoring_pb2.ALERT_KIND_DRIFT
        health = await until(stub, counted(7600))
        alert = (await stub.ListAlerts(monitoring_pb2.ListAlertsRequest(deployment=DEPLOYMENT))).alerts[0]
        assert alert.id == told.id
        assert list(alert.columns) == ["HOME"]
        assert alert.title.startswith("HOME moved: value 3 (shared) went from 10 % to ")
        assert alert.title.endswith("(simulated)")
        assert list(alert.simulations) == ["home-code-swap"]
        assert alert.start_time.ToDatetime().date().isoformat() == "2020-03-30"
        assert (alert.detect_time.ToDatetime() - alert.start_time.ToDatetime()).days <= 3
        assert alert.evidence[0].drifting
        assert alert.evidence[0].shares
        assert health.open_alert_count == 1
        assert "HOME moved" in health.summary

        request = monitoring_pb2.AcknowledgeAlertRequest(
            request_id="seen-1", id=alert.id, acknowledged_by="Ada", note="asked the supplier"
        )
        seen = (await stub.AcknowledgeAlert(request)).alert
        assert seen.state == monitoring_pb2.ALERT_STATE_ACKNOWLEDGED
        assert (await stub.AcknowledgeAlert(request)).alert == seen
        other = monitoring_pb2.AcknowledgeAlertRequest(
            request_id="seen-1", id=alert.id, acknowledged_by="Bob"
        )
        assert violations(await refusal(stub.AcknowledgeAlert(other), grpc.StatusCode.INVALID_ARGUMENT)) == [
            "request_id"
        ]
        other.request_id = "seen-2"
        await refusal(stub.AcknowledgeAlert(other), grpc.StatusCode.FAILED_PRECONDITION)

        lake.add_days(38, 60)
        await until(stub, lambda health: counted(12000)(health) and health.open_alert_count == 0)
        alerts = (await stub.ListAlerts(monitoring_pb2.ListAlertsRequest())).alerts
        assert [one.state for one in alerts] == [monitoring_pb2.ALERT_STATE_RESOLVED]
        assert alerts[0].acknowledged_by == "Ada"
        watching.cancel()
        entries = (await stub.ListLedgerEntries(monitoring_pb2.ListLedgerEntriesRequest())).entries
        assert [entry.action for entry in entries] == ["alert.opened", "alert.acknowledged", "alert.resolved"]
        assert entries[1].actor == "Ada"


async def test_unequal_errors_are_one_subgroup_alert(tmp_path: Path, lake: MadeLake) -> None:
    lake.add_days(0, 40, unfair=True)
    lake.add_labels(0, 40)
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(8000, 8000))
        subgroup: list[monitoring_pb2.Alert] = []
        async with asyncio.timeout(30):
            while not subgroup:
                alerts = (await stub.ListAlerts(monitoring_pb2.ListAlertsRequest())).alerts
                subgroup = [alert for alert in alerts if alert.kind == monitoring_pb2.ALERT_KIND_SUBGROUP]
                await asyncio.sleep(0.05)
        assert len(subgroup) == 1
        assert "false negative rate of people who are female" in subgroup[0].title
        assert "The loan is granted." in subgroup[0].description


async def test_an_audit_is_kept_hashed_and_the_same_when_asked_again(tmp_path: Path, lake: MadeLake) -> None:
    lake.add_days(0, 30)
    lake.add_labels(0, 16)
    request = monitoring_pb2.RunAuditRequest(request_id="audit-1", deployment=DEPLOYMENT, requested_by="Ada")
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(6000, 3200))
        audit = (await stub.RunAudit(request)).audit
        assert audit.findings
        assert any("labelled decisions were right" in finding for finding in audit.findings)
        assert (await stub.RunAudit(request)).audit == audit
        assert (await stub.GetAudit(monitoring_pb2.GetAuditRequest(id=audit.id))).audit == audit
        kept = (tmp_path / "audits" / audit.id / "report.json").read_bytes()
        assert hashlib.sha256(kept).hexdigest() == audit.sha256
        assert MessageToDict(audit.report) == json.loads(kept)
        assert (tmp_path / "audits" / audit.id / "report.html").read_text() == audit.html
        listed = (await stub.ListAudits(monitoring_pb2.ListAuditsRequest(deployment=DEPLOYMENT))).audits
        assert [(one.id, one.html) for one in listed] == [(audit.id, "")]
        entry = (await stub.ListLedgerEntries(monitoring_pb2.ListLedgerEntriesRequest())).entries[-1]
        assert entry.action == "audit.completed"
        assert entry.details["sha256"] == audit.sha256
        assert entry.actor == "Ada"
        request.requested_by = "Bob"
        assert violations(await refusal(stub.RunAudit(request), grpc.StatusCode.INVALID_ARGUMENT)) == [
            "request_id"
        ]
        request.request_id = "audit-2"
        request.period.start_time.FromJsonString("2030-01-01T00:00:00Z")
        request.period.end_time.FromJsonString("2030-02-01T00:00:00Z")
        status = await refusal(stub.RunAudit(request), grpc.StatusCode.INVALID_ARGUMENT)
        assert violations(status) == ["period"]
        assert "2020-03-02" in status.message


async def test_bad_requests_say_what_is_wrong(tmp_path: Path, lake: MadeLake) -> None:
    lake.add_days(0, 2, count=20)
    pb = monitoring_pb2
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(40))
        for call in (
            stub.GetHealth(pb.GetHealthRequest(deployment="nobody")),
            stub.QueryProfiles(pb.QueryProfilesRequest(deployment="nobody")),
            stub.ListAlerts(pb.ListAlertsRequest(deployment="nobody")),
            stub.RunAudit(pb.RunAuditRequest(request_id="1", deployment="nobody")),
            stub.ListAudits(pb.ListAuditsRequest(deployment="nobody")),
        ):
            assert DEPLOYMENT in (await refusal(call, grpc.StatusCode.NOT_FOUND)).message
        unknown = pb.QueryProfilesRequest(deployment=DEPLOYMENT, model_version="c" * 64)
        assert CHAMPION in (await refusal(stub.QueryProfiles(unknown), grpc.StatusCode.NOT_FOUND)).message
        await refusal(stub.GetAudit(pb.GetAuditRequest(id="none")), grpc.StatusCode.NOT_FOUND)
        await refusal(
            stub.AcknowledgeAlert(pb.AcknowledgeAlertRequest(id="none", acknowledged_by="Ada")),
            grpc.StatusCode.NOT_FOUND,
        )
        for call in (
            stub.QueryProfiles(pb.QueryProfilesRequest(deployment=DEPLOYMENT, page_token="!")),
            stub.ListAlerts(pb.ListAlertsRequest(page_token="abc")),
            stub.ListAudits(pb.ListAuditsRequest(page_token="abc")),
            stub.ListLedgerEntries(pb.ListLedgerEntriesRequest(page_token="abc")),
        ):
            assert violations(await refusal(call, grpc.StatusCode.INVALID_ARGUMENT)) == ["page_token"]
        backwards = pb.QueryProfilesRequest(deployment=DEPLOYMENT)
        backwards.period.start_time.FromSeconds(10)
        backwards.period.end_time.FromSeconds(5)
        await refusal(stub.QueryProfiles(backwards), grpc.StatusCode.INVALID_ARGUMENT)
        bad_action = pb.AppendLedgerEntryRequest(request_id="1", actor="a", action="NOT ONE", subject="s")
        assert violations(
            await refusal(stub.AppendLedgerEntry(bad_action), grpc.StatusCode.INVALID_ARGUMENT)
        ) == ["action"]


def entry(number: int, **more: object) -> monitoring_pb2.AppendLedgerEntryRequest:
    details = Struct()
    details.update({"number": number, **more})
    return monitoring_pb2.AppendLedgerEntryRequest(
        request_id=f"request-{number}",
        actor="training",
        action="model_version.registered",
        subject=f"model_versions/{number}",
        details=details,
    )


async def test_the_ledger_is_chained_idempotent_and_paged(tmp_path: Path) -> None:
    async with monitoring(tmp_path) as stub:
        written = await asyncio.gather(*(stub.AppendLedgerEntry(entry(number)) for number in range(40)))
        assert sorted(answer.entry.sequence for answer in written) == list(range(1, 41))
        again = (await stub.AppendLedgerEntry(entry(7))).entry
        assert again == written[7].entry
        other = entry(7, more="another")
        assert violations(await refusal(stub.AppendLedgerEntry(other), grpc.StatusCode.INVALID_ARGUMENT)) == [
            "request_id"
        ]
        nan = entry(99, value=math.nan)
        assert violations(await refusal(stub.AppendLedgerEntry(nan), grpc.StatusCode.INVALID_ARGUMENT)) == [
            "details"
        ]
        request = monitoring_pb2.ListLedgerEntriesRequest(after_sequence=5, page_size=30)
        first = await stub.ListLedgerEntries(request)
        request.page_token = first.next_page_token
        second = await stub.ListLedgerEntries(request)
        assert [one.sequence for one in [*first.entries, *second.entries]] == list(range(6, 41))
        assert not second.next_page_token
        assert first.entries[1].previous_hash == first.entries[0].hash
        verdict = await stub.VerifyLedger(monitoring_pb2.VerifyLedgerRequest())
        assert (verdict.valid, verdict.entry_count, verdict.head_hash) == (True, 40, second.entries[-1].hash)


@pytest.mark.parametrize(
    ("tampering", "bad"),
    [
        ("UPDATE ledger SET actor = 'nobody' WHERE sequence = 3", 3),
        ("UPDATE ledger SET details = '{}' WHERE sequence = 5", 5),
        ("UPDATE ledger SET record_time_us = record_time_us + 1 WHERE sequence = 1", 1),
        ("DELETE FROM ledger WHERE sequence = 4", 4),
        ("UPDATE ledger SET sequence = CASE sequence WHEN 2 THEN -3 ELSE -2 END WHERE sequence IN (2, 3)", 2),
    ],
)
async def test_tampering_is_found_at_the_first_bad_entry(tmp_path: Path, tampering: str, bad: int) -> None:
    async with monitoring(tmp_path) as stub:
        for number in range(8):
            await stub.AppendLedgerEntry(entry(number))
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'monitoring.db'}")
        with engine.begin() as connection:
            connection.execute(sa.text(tampering))
            connection.execute(sa.text("UPDATE ledger SET sequence = -sequence WHERE sequence < 0"))
        engine.dispose()
        verdict = await stub.VerifyLedger(monitoring_pb2.VerifyLedgerRequest())
        assert not verdict.valid
        assert verdict.first_bad_sequence == bad
        assert verdict.reason
