"""The demo's tenth from end to end: what a newcomer who typed `make run FAST=1` has in front of them."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from boarfish import Client
from boarfish.v1 import inference_pb2, ingestion_pb2, monitoring_pb2, training_pb2
from deltalake import DeltaTable

from examples.employment import replay
from tests.story import ROOT, Played, environment_for, wait_for

pytestmark = [pytest.mark.xdist_group("story"), pytest.mark.timeout(600)]
PEOPLE = 20_890


@pytest.fixture(scope="module")
def client(story: Played):
    addresses = {name: story.addresses[name] for name in ("ingestion", "training", "inference", "monitoring")}
    with Client(**addresses) as client:
        yield client


@pytest.fixture(scope="module")
def alerts(client):
    request = monitoring_pb2.ListAlertsRequest(deployment="employment", page_size=1000)
    return list(client.monitoring.ListAlerts(request).alerts)


def test_everyone_is_predicted_once_by_champion_and_shadow_and_labelled_once(story):
    predictions = DeltaTable(story.home / "lake" / "predictions" / "employment").to_pyarrow_table(
        columns=["prediction_id", "role", "score"]
    )
    ids = np.asarray(predictions.column("prediction_id"))
    roles = np.asarray(predictions.column("role"))
    for role in ("CHAMPION", "SHADOW"):
        own = ids[roles == role]
        assert len(own) == PEOPLE
        assert len(np.unique(own)) == PEOPLE
    assert set(ids[roles == "CHAMPION"]) == set(ids[roles == "SHADOW"])
    labels = DeltaTable(story.home / "lake" / "labels" / "employment").to_pyarrow_table(
        columns=["prediction_id", "value"]
    )
    assert labels.num_rows == PEOPLE
    assert set(np.asarray(labels.column("prediction_id"))) == set(ids)


def test_records_of_2015_are_in_the_lake(client):
    """The story's own version: people who use its pages may have amended rows since."""
    request = ingestion_pb2.ListDatasetVersionsRequest(dataset="employment", page_size=1000)
    versions = client.ingestion.ListDatasetVersions(request).versions
    assert (68_785, 68_785) in {(one.version, one.row_count) for one in versions}


def test_both_models_beat_the_majority_rule_and_the_better_one_answers(client):
    versions = client.training.ListModelVersions(
        training_pb2.ListModelVersionsRequest(task_name="employment")
    ).model_versions
    assert {version.model for version in versions} == {"tabular_net", "gradient_boosting"}
    assert all(version.baseline.better for version in versions)
    best = max(versions, key=lambda version: version.metrics["auc"].value)
    deployed = client.inference.GetDeployment(
        inference_pb2.GetDeploymentRequest(name="employment")
    ).deployment
    assert deployed.champion.model_version == best.id
    assert deployed.champion.runtime == inference_pb2.RUNTIME_KIND_ONNX_RUNTIME
    assert deployed.shadow.runtime == inference_pb2.RUNTIME_KIND_TORCHSERVE
    assert deployed.champion.ready
    assert deployed.shadow.ready


def test_quality_that_monitoring_reports_is_that_of_the_rows(story, client):
    health = client.monitoring.GetHealth(
        monitoring_pb2.GetHealthRequest(deployment="employment")
    ).deployments[0]
    assert health.prediction_count == PEOPLE
    assert health.labelled_count == PEOPLE
    predictions = DeltaTable(story.home / "lake" / "predictions" / "employment").to_pandas(
        columns=["prediction_id", "role", "score"]
    )
    labels = DeltaTable(story.home / "lake" / "labels" / "employment").to_pandas(
        columns=["prediction_id", "value"]
    )
    joined = predictions[predictions["role"] == "CHAMPION"].merge(
        labels, on="prediction_id", validate="one_to_one"
    )
    by_hand = ((joined["score"] >= 0.5) == (joined["value"] == "1")).mean()
    assert health.overall_quality.accuracy.value == pytest.approx(by_hand, abs=1e-12)


def test_the_swapped_codes_are_one_alert_noticed_within_days_and_marked_as_simulated(alerts):
    found = [alert for alert in alerts if "disability-code-swap" in alert.simulations]
    assert len(found) == 1, [alert.title for alert in alerts]
    [alert] = found
    assert alert.kind == monitoring_pb2.ALERT_KIND_DRIFT
    assert alert.columns[0] == "DIS"
    assert "DIS" in alert.title
    late = alert.detect_time.ToDatetime().date() - replay.INCIDENT_FIRST_DAY
    assert 0 <= late.days <= 6
    assert alert.HasField("resolve_time")


def test_the_quiet_year_stays_quiet_and_there_are_few_alerts(alerts):
    drift = [alert for alert in alerts if alert.kind == monitoring_pb2.ALERT_KIND_DRIFT]
    assert len(drift) <= 4, [alert.title for alert in drift]
    assert not [alert.title for alert in drift if alert.detect_time.ToDatetime().year == 2016]


def test_the_people_of_group_quarters_are_the_true_drift(alerts):
    """By hand.

    The share of RELP 16 and 17 falls from 7 % to none on 1 January 2017 and is nearly all of Christmas.
    """
    table = pq.read_table(replay.DATA / "2016_2018.parquet", columns=["year", "RELP"]).to_pandas()
    grouped = table["RELP"].isin([16, 17])
    assert 0.06 < grouped[table["year"] == 2016].mean() < 0.08
    year_2017 = grouped[table["year"] == 2017].to_numpy()
    assert year_2017[: len(year_2017) * 11 // 12].sum() == 0
    columns = {column for alert in alerts if not alert.simulations for column in alert.columns}
    assert "RELP" in columns


def test_the_subgroup_finding_is_true_of_the_rows(story, client):
    """By hand: among people who are not employed, women are taken to be at work more often than men."""
    columns = ["prediction_id", "role", "score", "SEX"]
    predictions = DeltaTable(story.home / "lake" / "predictions" / "employment").to_pandas(columns=columns)
    labels = DeltaTable(story.home / "lake" / "labels" / "employment").to_pandas(
        columns=["prediction_id", "value"]
    )
    joined = predictions[predictions["role"] == "CHAMPION"].merge(labels, on="prediction_id")
    idle = joined[joined["value"] == "0"]
    by_hand = (idle["score"] >= 0.5).groupby(idle["SEX"]).mean()
    assert by_hand[2] - by_hand[1] > 0.04

    request = monitoring_pb2.QueryProfilesRequest(
        deployment="employment", merge=True, parts=[monitoring_pb2.WINDOW_PART_SUBGROUPS]
    )
    [window] = client.monitoring.QueryProfiles(request).windows
    women = next(group for group in window.subgroups if dict(group.group) == {"SEX": "2"})
    assert women.quality.false_positive_rate.value == pytest.approx(by_hand[2], abs=1e-12)
    gap = next(gap for gap in women.gaps if gap.rate == "false_positive_rate")
    assert gap.significant
    audit = client.monitoring.ListAudits(monitoring_pb2.ListAuditsRequest(deployment="employment")).audits[0]
    assert any("female" in finding for finding in audit.findings)


def test_audit_and_ledger_hold(story, client):
    assert story.boarfish("ledger", "verify").returncode == 0
    audits = client.monitoring.ListAudits(monitoring_pb2.ListAuditsRequest(deployment="employment")).audits
    assert len(audits) == 1
    assert audits[0].findings
    actions = {
        entry.action
        for entry in client.monitoring.ListLedgerEntries(monitoring_pb2.ListLedgerEntriesRequest()).entries
    }
    assert {"model_version.registered", "audit.completed", "alert.opened"} <= actions


def test_the_three_commands(story):
    status = story.boarfish("status", "--json")
    assert status.returncode == 0, status.stderr
    json.loads(status.stdout)
    predicted = story.boarfish("predict", "employment", "--input", "examples/employment/row.json", "--json")
    assert predicted.returncode == 0, predicted.stderr
    [answer] = json.loads(predicted.stdout)["predictions"]
    assert 0 <= answer["score"] <= 1
    refused = story.boarfish("predict", "employment", "--input", "-", stdin='{"AGEP": 200}')
    assert refused.returncode == 2
    assert "AGEP" in refused.stderr
    verified = story.boarfish("ledger", "verify", "--json")
    assert json.loads(verified.stdout)["valid"] is True


def test_a_port_in_use_is_named(tmp_path, story):
    environment, _ = environment_for(tmp_path / "state", FAST="1", EXIT="1")
    environment["BOARFISH_TRAINING_ADDRESS"] = story.addresses["training"]
    result = subprocess.run(
        [sys.executable, "-m", "examples.employment"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert story.addresses["training"].split(":")[1] in result.stdout
    assert "BOARFISH_TRAINING_ADDRESS" in result.stdout


def test_a_second_run_starts_in_seconds_and_plays_nothing_again(tmp_path_factory, story):
    """Last of this file.

    Stops the story's services, starts them again as a second `make run` does, and leaves it so.
    """
    children = psutil.Process(story.process.pid).children(recursive=True)
    story.process.send_signal(signal.SIGINT)
    assert story.process.wait(timeout=60) == 0
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive, [process.cmdline() for process in alive]
    output = tmp_path_factory.mktemp("second") / "output.txt"
    began = time.monotonic()
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "examples.employment"],
            env=story.environment,
            cwd=ROOT,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(process, output, "Ctrl-C stops everything", 90)
        took_s = time.monotonic() - began
        assert took_s < 45
        with Client(monitoring=story.addresses["monitoring"]) as client:
            health = client.monitoring.GetHealth(
                monitoring_pb2.GetHealthRequest(deployment="employment")
            ).deployments[0]
        assert health.labelled_count == PEOPLE
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
