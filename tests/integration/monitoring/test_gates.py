"""Gates over a made lake, through gRPC: each condition passes, fails or cannot tell, and says why."""

from pathlib import Path

import grpc
import pytest
from boarfish.v1 import monitoring_pb2 as pb
from boarfish.v1 import task_pb2

from tests.integration.monitoring import made_lake
from tests.integration.monitoring.made_lake import CHAMPION, DEPLOYMENT, SHADOW, MadeLake
from tests.integration.monitoring.test_service import counted, monitoring, refusal, until, violations

PASS, FAIL, UNSURE = pb.GATE_VERDICT_PASS, pb.GATE_VERDICT_FAIL, pb.GATE_VERDICT_INCONCLUSIVE
DAYS, PEOPLE = 21, 4200


@pytest.fixture
def task() -> task_pb2.Task:
    """The made task; what a test adds to it before its lake is made is what the model was trained for."""
    return made_lake.task()


def filled(
    home: Path,
    task: task_pb2.Task,
    *,
    unfair: bool = False,
    home_shares: tuple[float, float, float] = (0.5, 0.4, 0.1),
) -> None:
    """Three weeks of predictions, all of them labelled."""
    made = MadeLake(home / "lake", made_task=task)
    made.add_reference(CHAMPION, SHADOW)
    made.add_days(0, DAYS, unfair=unfair, home=home_shares)
    made.add_labels(0, DAYS)


async def asked(home: Path, rung: str = "canary") -> pb.EvaluateGateResponse:
    """What the gate of a rung says once everything is counted."""
    async with monitoring(home) as stub:
        await until(stub, counted(PEOPLE, PEOPLE))
        return await stub.EvaluateGate(pb.EvaluateGateRequest(deployment=DEPLOYMENT, rung=rung))


def by_name(answer: pb.EvaluateGateResponse) -> dict[str, pb.GateCheck]:
    return {check.name: check for check in answer.checks}


async def test_a_gate_whose_every_condition_holds_passes(tmp_path: Path, task: task_pb2.Task) -> None:
    task.ethics_checklist.add(question="Should we do this?", answer="Yes.", answered_by="Ada")
    task.gates.add(
        rung="canary",
        minimum_labelled_count=4000,
        minimum_accuracy=0.7,
        largest_subgroup_gap=task_pb2.LargestSubgroupGap(
            false_positive_rate=0.25, false_negative_rate=0.25, selection_rate=0.25
        ),
        largest_drift=0.15,
        maximum_open_appeals=0,
        checklist_answered=True,
    )
    filled(tmp_path, task)
    answer = await asked(tmp_path)
    assert answer.verdict == PASS, answer
    assert answer.model_version == CHAMPION
    assert set(by_name(answer)) == {
        "minimum_labelled_count",
        "minimum_accuracy",
        "largest_subgroup_gap.false_positive_rate",
        "largest_subgroup_gap.false_negative_rate",
        "largest_subgroup_gap.selection_rate",
        "largest_drift",
        "maximum_open_appeals",
        "checklist_answered",
    }
    assert len(answer.reasons) == len(answer.checks)
    assert "accuracy by labels is 0." in by_name(answer)["minimum_accuracy"].sentence.lower()


async def test_what_does_not_hold_is_told_failures_first(tmp_path: Path, task: task_pb2.Task) -> None:
    task.ethics_checklist.add(question="Who handles mistakes?")
    task.gates.add(
        rung="canary",
        minimum_labelled_count=10_000,
        minimum_accuracy=0.95,
        largest_subgroup_gap=task_pb2.LargestSubgroupGap(
            false_negative_rate=0.05, selection_rate=0.9, crossings=True
        ),
        largest_drift=0.1,
        maximum_open_alerts=0,
        checklist_answered=True,
        audit_within_days=7,
    )
    filled(tmp_path, task, unfair=True, home_shares=(0.1, 0.1, 0.8))
    answer = await asked(tmp_path)
    found = by_name(answer)
    assert answer.verdict == FAIL
    assert {name: check.verdict for name, check in found.items()} == {
        "minimum_labelled_count": UNSURE,
        "minimum_accuracy": FAIL,
        "largest_subgroup_gap.false_negative_rate": FAIL,
        "largest_subgroup_gap.selection_rate": PASS,
        "largest_drift": FAIL,
        "maximum_open_alerts": FAIL,
        "checklist_answered": FAIL,
        "audit_within_days": FAIL,
    }
    order = [check.verdict for check in answer.checks]
    assert order == sorted(order, key=[FAIL, UNSURE, PASS].index)
    assert "5,800 more are needed" in found["minimum_labelled_count"].sentence
    assert "male" in found["largest_subgroup_gap.false_negative_rate"].sentence
    assert "The distance of HOME from the reference" in found["largest_drift"].sentence
    assert "Who handles mistakes?" in found["checklist_answered"].sentence
    assert len(answer.reasons) == 7


async def test_too_little_data_and_no_conditions_pass_nobody(tmp_path: Path, task: task_pb2.Task) -> None:
    task.gates.add(
        rung="canary",
        minimum_accuracy=0.5,
        largest_subgroup_gap=task_pb2.LargestSubgroupGap(false_positive_rate=0.9),
        largest_drift=0.9,
    )
    lake = MadeLake(tmp_path / "lake", made_task=task)
    lake.add_reference(CHAMPION, SHADOW)
    lake.add_days(0, 1, count=5)
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(5))
        request = pb.EvaluateGateRequest(deployment=DEPLOYMENT, rung="RUNG_CANARY")
        answer = await stub.EvaluateGate(request)
        assert {check.verdict for check in answer.checks} == {UNSURE}
        assert "Too few to judge" in by_name(answer)["largest_subgroup_gap.false_positive_rate"].sentence
        full = await stub.EvaluateGate(pb.EvaluateGateRequest(deployment=DEPLOYMENT, rung="FULL"))
        assert full.verdict == UNSURE
        assert "says nothing" in full.reasons[0]
        beside = await stub.EvaluateGate(
            pb.EvaluateGateRequest(deployment=DEPLOYMENT, rung="canary", model_version=SHADOW)
        )
        assert beside.model_version == SHADOW
        wrong = pb.EvaluateGateRequest(deployment=DEPLOYMENT, rung="moon")
        status = await refusal(stub.EvaluateGate(wrong), grpc.StatusCode.INVALID_ARGUMENT)
        assert violations(status) == ["rung"]
        for request in (
            pb.EvaluateGateRequest(deployment="nobody", rung="full"),
            pb.EvaluateGateRequest(deployment=DEPLOYMENT, rung="full", model_version="c" * 64),
        ):
            await refusal(stub.EvaluateGate(request), grpc.StatusCode.NOT_FOUND)


async def test_appeals_and_audits_count(tmp_path: Path, task: task_pb2.Task) -> None:
    task.gates.add(rung="full", maximum_open_appeals=0, audit_within_days=1)
    lake = MadeLake(tmp_path / "lake", made_task=task)
    lake.add_reference(CHAMPION, SHADOW)
    lake.add_days(0, 1, count=5)
    request = pb.EvaluateGateRequest(deployment=DEPLOYMENT, rung="full")
    async with monitoring(tmp_path) as stub:
        await until(stub, counted(5))
        await stub.RunAudit(pb.RunAuditRequest(request_id="audit", deployment=DEPLOYMENT))
        assert (await stub.EvaluateGate(request)).verdict == PASS
        filing = pb.FileAppealRequest(request_id="1", prediction_id=lake.ids[0][0], statement="Wrong.")
        await stub.FileAppeal(filing)
        answer = await stub.EvaluateGate(request)
        assert answer.verdict == FAIL
        assert by_name(answer)["maximum_open_appeals"].verdict == FAIL
        assert by_name(answer)["audit_within_days"].verdict == PASS
