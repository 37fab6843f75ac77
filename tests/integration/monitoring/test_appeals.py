"""Appeals over a made lake, through gRPC: filed, taken, answered, corrected; deadlines; who may review."""

import asyncio
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import sqlalchemy as sa
from boarfish import AsyncClient
from boarfish.v1 import common_pb2
from boarfish.v1 import monitoring_pb2 as pb

from services.common.server import serving
from services.common.settings import Settings
from services.ingestion.__main__ import start as start_ingestion
from services.ingestion.settings import IngestionSettings
from services.monitoring.__main__ import start as start_monitoring
from services.monitoring.settings import MonitoringSettings
from tests.integration.monitoring.made_lake import CHAMPION, DEPLOYMENT, SHADOW, MadeLake
from tests.integration.monitoring.test_service import counted, monitoring, refusal, until, violations

if TYPE_CHECKING:
    from tests.integration.monitoring.test_service import Stub


@pytest.fixture
def lake(tmp_path: Path) -> MadeLake:
    made = MadeLake(tmp_path / "lake")
    made.add_reference(CHAMPION, SHADOW)
    made.add_days(0, 2, count=40)
    return made


def filing(lake: MadeLake, place: int = 0, **more: str) -> pb.FileAppealRequest:
    """An appeal of the person at `place` of the first day."""
    wanted = {"request_id": f"file-{place}", "prediction_id": lake.ids[0][place], "statement": "I did repay."}
    return pb.FileAppealRequest(**{**wanted, **more})


def resolving(appeal: pb.Appeal, label: str, **more: object) -> pb.ResolveAppealRequest:
    """An answer that upholds with `label`, or rejects without one."""
    wanted = {"request_id": f"resolve-{appeal.id}", "id": appeal.id, "upheld": bool(label), "answer": "Seen."}
    return pb.ResolveAppealRequest(**{**wanted, "reviewed_by": "Rosa", "corrected_label": label, **more})


def other_label(appeal: pb.Appeal) -> str:
    return "0" if appeal.decision == "grant" else "1"


async def ledger_lines(stub: "Stub") -> list[pb.LedgerEntry]:
    return list((await stub.ListLedgerEntries(pb.ListLedgerEntriesRequest())).entries)


async def trained_by(stub: "Stub", person: str, subject: str, **details: str) -> None:
    """A line of the ledger that names `person`."""
    entry = pb.AppendLedgerEntryRequest(
        request_id=f"{subject}/{person}", actor=person, action="training_job.created", subject=subject
    )
    entry.details.update(details)
    await stub.AppendLedgerEntry(entry)


async def test_an_appeal_goes_from_filing_to_a_corrected_label_in_the_lake(
    tmp_path: Path, lake: MadeLake
) -> None:
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(80))
        before = dt.datetime.now(dt.UTC)
        appeal = (await stub.FileAppeal(filing(lake, filed_by="Mr Lee"))).appeal
        assert (appeal.state, appeal.deployment, appeal.model_version) == (
            pb.APPEAL_STATE_FILED,
            DEPLOYMENT,
            CHAMPION,
        )
        owed = appeal.due_time.ToDatetime(dt.UTC) - before
        assert dt.timedelta(days=30) <= owed < dt.timedelta(days=30, minutes=1)

        answer = await stub.GetAppeal(pb.GetAppealRequest(id=appeal.id))
        assert answer.appeal == appeal
        seen, person = answer.prediction, lake.truth[0]
        assert seen.score == person.score[0]
        assert seen.inputs["INCOME"] == person.columns["INCOME"][0]
        assert seen.inputs["REGION"] == person.columns["REGION"][0]
        assert "SEX" not in seen.inputs
        assert dict(seen.labels) == {"1": "grant", "0": "refuse"}
        assert seen.label == ""

        taken = (
            await stub.TakeAppeal(
                pb.TakeAppealRequest(
                    request_id="take", id=appeal.id, reviewed_by="Rosa", reviewer_role="clerk"
                )
            )
        ).appeal
        assert (taken.state, taken.reviewed_by, taken.reviewer_role) == (
            pb.APPEAL_STATE_IN_REVIEW,
            "Rosa",
            "clerk",
        )
        label = other_label(appeal)
        upheld = (await stub.ResolveAppeal(resolving(appeal, label))).appeal
        assert (upheld.state, upheld.corrected_label, upheld.reviewer_role) == (
            pb.APPEAL_STATE_UPHELD,
            label,
            "clerk",
        )
        undelivered = pb.ListAppealsRequest(only_undelivered=True)
        assert [one.id for one in (await stub.ListAppeals(undelivered)).appeals] == [appeal.id]

        rows = lake.labels_of([appeal.prediction_id], [label], 3)
        lake.append_labels(rows.set_column(2, "source", [["OBSERVED"]]))
        await until(stub, counted(80, 1))
        assert (await stub.ListAppeals(undelivered)).appeals
        lake.append_labels(rows.set_column(2, "source", [["HUMAN"]]))
        async with asyncio.timeout(30):
            while (await stub.ListAppeals(undelivered)).appeals:
                await asyncio.sleep(0.05)
        answer = await stub.GetAppeal(pb.GetAppealRequest(id=appeal.id))
        assert answer.appeal.HasField("label_time")
        assert (answer.prediction.label, answer.prediction.label_source) == (
            label,
            common_pb2.LABEL_SOURCE_HUMAN,
        )

        lines = await ledger_lines(stub)
        assert [line.action for line in lines] == [
            "appeal.filed",
            "appeal.taken",
            "appeal.upheld",
            "appeal.corrected",
        ]
        assert [line.actor for line in lines] == ["person affected", "Rosa", "Rosa", "monitoring"]
        assert "Mr Lee" not in str(lines)
        assert "I did repay" not in str(lines)
        assert lines[2].details["corrected_label"] == label


async def test_the_client_that_resolves_logs_the_label_and_can_do_so_again(
    tmp_path: Path, lake: MadeLake, settings: Settings
) -> None:
    shared = {"home": tmp_path, "drain_s": 1.0, "max_concurrent_calls": 64}
    wanted = MonitoringSettings(**shared, poll_interval_s=0.05, idle_interval_s=0.2)
    async with (
        serving("monitoring", settings.monitoring_address, wanted, start_monitoring),
        serving("ingestion", settings.ingestion_address, IngestionSettings(**shared), start_ingestion),
        AsyncClient(settings.ingestion_address, monitoring=settings.monitoring_address) as client,
    ):
        await until(client.monitoring, counted(80))
        filed = [(await client.monitoring.FileAppeal(filing(lake, place))).appeal for place in range(3)]
        upheld = [other_label(appeal) for appeal in filed]
        await client.resolve_appeal(
            filed[0].id, reviewed_by="Rosa", answer="You are right.", corrected_label=upheld[0]
        )
        rejected = await client.resolve_appeal(filed[1].id, reviewed_by="Rosa", answer="It stands.")
        assert rejected.state == pb.APPEAL_STATE_REJECTED
        await until(client.monitoring, counted(80, 1))
        # A caller of the bare RPC logs nothing: someone else delivers.
        bare = (await client.monitoring.ResolveAppeal(resolving(filed[2], upheld[2]))).appeal
        assert bare.correction_time.ToDatetime().date().isoformat() == "2020-03-03"
        waiting = pb.ListAppealsRequest(only_undelivered=True)
        async with asyncio.timeout(30):
            while [one.id for one in (await client.monitoring.ListAppeals(waiting)).appeals] != [bare.id]:
                await asyncio.sleep(0.05)
        assert [one.id for one in await client.deliver_corrections()] == [bare.id]
        await client.deliver_corrections()
        health = await until(client.monitoring, counted(80, 2))
        assert health.overall_quality.accuracy.value == 0
        async with asyncio.timeout(30):
            while (await client.monitoring.ListAppeals(waiting)).appeals:
                await asyncio.sleep(0.05)
        assert not await client.deliver_corrections()


async def test_every_step_is_done_once_however_often_it_is_asked_for(tmp_path: Path, lake: MadeLake) -> None:
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(80))
        answers = await asyncio.gather(*(stub.FileAppeal(filing(lake)) for _ in range(8)))
        [identity] = {answer.appeal.id for answer in answers}
        appeal = answers[0].appeal
        reused = filing(lake, statement="Something else.")
        assert violations(await refusal(stub.FileAppeal(reused), grpc.StatusCode.INVALID_ARGUMENT)) == [
            "request_id"
        ]
        as_another = pb.TakeAppealRequest(request_id="file-0", id=identity, reviewed_by="Rosa")
        await refusal(stub.TakeAppeal(as_another), grpc.StatusCode.INVALID_ARGUMENT)
        second = filing(lake, request_id="file-again")
        status = await refusal(stub.FileAppeal(second), grpc.StatusCode.ALREADY_EXISTS)
        assert identity in status.message

        answer = resolving(appeal, "")
        rejected = await asyncio.gather(*(stub.ResolveAppeal(answer) for _ in range(8)))
        assert {one.appeal.state for one in rejected} == {pb.APPEAL_STATE_REJECTED}
        later = resolving(appeal, "", request_id="later")
        assert (
            "rejected"
            in (await refusal(stub.ResolveAppeal(later), grpc.StatusCode.FAILED_PRECONDITION)).message
        )
        take = pb.TakeAppealRequest(request_id="take", id=identity, reviewed_by="Rosa")
        await refusal(stub.TakeAppeal(take), grpc.StatusCode.FAILED_PRECONDITION)
        assert [line.action for line in await ledger_lines(stub)] == ["appeal.filed", "appeal.rejected"]
        # What was rejected may be contested again.
        assert (await stub.FileAppeal(second)).appeal.id != identity


async def test_only_an_answer_that_was_given_can_be_contested(tmp_path: Path, lake: MadeLake) -> None:
    lake.add_days(2, 3, count=5, champion=SHADOW, shadow="")
    async with monitoring(tmp_path) as stub:
        await until(stub, lambda health: not health.backlog_count and health.prediction_count == 85)
        for request in (
            filing(lake, prediction_id="nobody"),
            filing(lake, prediction_id="../../etc/passwd"),
            filing(lake, deployment="elsewhere"),
        ):
            status = await refusal(stub.FileAppeal(request), grpc.StatusCode.NOT_FOUND)
            assert "try again" in status.message
        path = filing(lake, deployment="../loans")
        assert violations(await refusal(stub.FileAppeal(path), grpc.StatusCode.INVALID_ARGUMENT)) == [
            "deployment"
        ]
        blank = filing(lake, statement="  ")
        assert violations(await refusal(stub.FileAppeal(blank), grpc.StatusCode.INVALID_ARGUMENT)) == [
            "statement"
        ]
        assert (await stub.FileAppeal(filing(lake, deployment=DEPLOYMENT))).appeal.model_version == CHAMPION
        newer = filing(lake, 1, prediction_id=lake.ids[2][0])
        assert (await stub.FileAppeal(newer)).appeal.model_version == SHADOW
        for call in (
            stub.GetAppeal(pb.GetAppealRequest(id="none")),
            stub.TakeAppeal(pb.TakeAppealRequest(request_id="1", id="none", reviewed_by="Rosa")),
            stub.ResolveAppeal(resolving(pb.Appeal(id="none"), "")),
            stub.GetAppealStatistics(pb.GetAppealStatisticsRequest(deployment="none")),
        ):
            await refusal(call, grpc.StatusCode.NOT_FOUND)


async def test_nobody_reviews_their_own_model(tmp_path: Path, lake: MadeLake) -> None:
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(80))
        appeal = (await stub.FileAppeal(filing(lake))).appeal
        await trained_by(stub, "Ada", "training_job/7")
        await trained_by(stub, "training", f"model_version/{CHAMPION}", training_job="7", approved_by="Bob")
        await trained_by(stub, "Eve", f"model_version/{SHADOW}")
        deployed = pb.AppendLedgerEntryRequest(
            request_id="d", actor="Cleo", action="deployment.created", subject=f"deployments/{DEPLOYMENT}"
        )
        deployed.details.update({"champion": CHAMPION})
        await stub.AppendLedgerEntry(deployed)
        for person in ("Ada", "  ada ", "Bob", "CLEO"):
            request = pb.TakeAppealRequest(request_id=f"take-{person}", id=appeal.id, reviewed_by=person)
            status = await refusal(stub.TakeAppeal(request), grpc.StatusCode.FAILED_PRECONDITION)
            assert "helped to build or approve the model" in status.message
            answer = resolving(appeal, "", reviewed_by=person, request_id=f"resolve-{person}")
            await refusal(stub.ResolveAppeal(answer), grpc.StatusCode.FAILED_PRECONDITION)
        eve = pb.TakeAppealRequest(request_id="take-eve", id=appeal.id, reviewed_by="Eve")
        assert (await stub.TakeAppeal(eve)).appeal.reviewed_by == "Eve"
        status = await refusal(stub.ResolveAppeal(resolving(appeal, "")), grpc.StatusCode.FAILED_PRECONDITION)
        assert "in review by Eve" in status.message
        rosa = pb.TakeAppealRequest(request_id="take-rosa", id=appeal.id, reviewed_by="Rosa")
        await stub.TakeAppeal(rosa)
        assert (await stub.ResolveAppeal(resolving(appeal, ""))).appeal.reviewed_by == "Rosa"
        assert (await ledger_lines(stub))[-2].details["taken_from"] == "Eve"


@pytest.mark.parametrize(
    ("label", "upheld", "said"),
    [
        ("", True, "is missing"),
        ("1", False, "must be empty"),
        ("maybe", True, "must be one of"),
        ("same", True, "said too"),
    ],
)
async def test_a_corrected_label_must_make_sense(
    tmp_path: Path, lake: MadeLake, label: str, upheld: bool, said: str
) -> None:
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(80))
        appeal = (await stub.FileAppeal(filing(lake))).appeal
        if label == "same":
            label = {"1": "0", "0": "1"}[other_label(appeal)]
        request = resolving(appeal, label, upheld=upheld)
        status = await refusal(stub.ResolveAppeal(request), grpc.StatusCode.INVALID_ARGUMENT)
        assert violations(status) == ["corrected_label"]
        assert said in status.message


async def test_appeals_come_oldest_first_in_pages_and_can_be_narrowed(tmp_path: Path, lake: MadeLake) -> None:
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(80))
        filed = [(await stub.FileAppeal(filing(lake, place))).appeal for place in range(5)]
        await stub.ResolveAppeal(resolving(filed[1], ""))
        request = pb.ListAppealsRequest(deployment=DEPLOYMENT, only_open=True, page_size=3)
        first = await stub.ListAppeals(request)
        request.page_token = first.next_page_token
        second = await stub.ListAppeals(request)
        assert [one.id for one in [*first.appeals, *second.appeals]] == [
            one.id for one in filed if one.id != filed[1].id
        ]
        assert not second.next_page_token
        rejected = pb.ListAppealsRequest(state=pb.APPEAL_STATE_REJECTED)
        assert [one.id for one in (await stub.ListAppeals(rejected)).appeals] == [filed[1].id]
        assert not (await stub.ListAppeals(pb.ListAppealsRequest(deployment="other"))).appeals


def move_due_time(home: Path, appeal: pb.Appeal, days: int) -> None:
    """Makes an appeal due `days` ago, in the database."""
    moved = pb.Appeal()
    moved.CopyFrom(appeal)
    moved.due_time.FromDatetime(dt.datetime.now(dt.UTC) - dt.timedelta(days=days))
    engine = sa.create_engine(f"sqlite:///{home / 'monitoring.db'}")
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE appeal SET due_us = :due, appeal = :blob WHERE id = :id"),
            {"due": moved.due_time.ToMicroseconds(), "blob": moved.SerializeToString(), "id": appeal.id},
        )
    engine.dispose()


async def test_overdue_appeals_are_one_alert_that_ends_with_the_last_answer(
    tmp_path: Path, lake: MadeLake
) -> None:
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(80))
        late = [(await stub.FileAppeal(filing(lake, place))).appeal for place in range(2)]
        for appeal in late:
            move_due_time(tmp_path, appeal, 1)

        async def alert(state: int, title: str) -> pb.Alert:
            async with asyncio.timeout(30):
                while True:
                    found = (await stub.ListAlerts(pb.ListAlertsRequest(deployment=DEPLOYMENT))).alerts
                    if found and found[0].state == state and found[0].title.startswith(title):
                        assert len(found) == 1
                        return found[0]
                    await asyncio.sleep(0.05)

        opened = await alert(pb.ALERT_STATE_OPEN, "2 appeals wait")
        assert (opened.kind, opened.severity) == (pb.ALERT_KIND_APPEAL, pb.ALERT_SEVERITY_WARNING)
        assert late[0].prediction_id in opened.description
        assert (await stub.GetAppeal(pb.GetAppealRequest(id=late[0].id))).appeal.overdue
        await stub.ResolveAppeal(resolving(late[0], ""))
        await alert(pb.ALERT_STATE_OPEN, "One appeal waits")
        move_due_time(tmp_path, late[1], 20)
        async with asyncio.timeout(30):
            while (await alert(pb.ALERT_STATE_OPEN, "One")).severity != pb.ALERT_SEVERITY_CRITICAL:
                await asyncio.sleep(0.05)
        await stub.ResolveAppeal(resolving(late[1], ""))
        closed = await alert(pb.ALERT_STATE_RESOLVED, "One")
        assert closed.resolve_time.ToMicroseconds() > closed.detect_time.ToMicroseconds()


async def test_statistics_tell_who_appeals_and_who_is_upheld(tmp_path: Path, lake: MadeLake) -> None:
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(80))
        request = pb.GetAppealStatisticsRequest(deployment=DEPLOYMENT)
        empty = await stub.GetAppealStatistics(request)
        assert empty.everyone.sentence == "None of 80 decisions was appealed."
        assert empty.median_answer_days != empty.median_answer_days
        filed = [(await stub.FileAppeal(filing(lake, place))).appeal for place in range(40)]
        for appeal in filed[:30]:
            await stub.ResolveAppeal(resolving(appeal, other_label(appeal)))
        found = await stub.GetAppealStatistics(request)
        whole = found.everyone
        assert (whole.prediction_count, whole.appeal_count, whole.answered_count, whole.upheld_count) == (
            80,
            40,
            30,
            30,
        )
        assert (found.open_count, found.overdue_count) == (10, 0)
        assert found.median_answer_days < 0.1
        sexes = [str(sex) for sex in lake.truth[0].columns["SEX"]]
        for group in found.groups:
            assert group.appeal_count == sexes.count(group.group["SEX"])
            assert not group.suppressed
            assert group.display_name in group.sentence
