"""`kill -9` of monitoring while it counts: after the restart every prediction and label is counted once.

`BOARFISH_FAULT_POINTS` sets at how many random points the process is killed (default 6).
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from boarfish.v1 import monitoring_pb2, monitoring_pb2_grpc

from tests.integration.monitoring.made_lake import CHAMPION, SHADOW, MadeLake

POINTS = int(os.environ.get("BOARFISH_FAULT_POINTS", "6"))
DAYS, PEOPLE = 60, 100


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Monitoring:
    """The service as a process that can be killed."""

    def __init__(self, home: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = {
            **os.environ,
            "BOARFISH_HOME": str(home),
            "BOARFISH_MONITORING_ADDRESS": self.address,
            "BOARFISH_MONITORING_METRICS_ADDRESS": "",
            "BOARFISH_POLL_INTERVAL_S": "0.01",
            # Small batches: many transactions, so that kills fall between and into them.
            "BOARFISH_MONITORING_BATCH_ROWS": "300",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.monitoring"],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def health(self, deadline_s: float) -> monitoring_pb2.DeploymentHealth:
        """Health once nothing is left to count."""
        end = time.monotonic() + deadline_s
        with grpc.insecure_channel(self.address) as channel:
            stub = monitoring_pb2_grpc.MonitoringServiceStub(channel)
            while True:
                answer = stub.GetHealth(monitoring_pb2.GetHealthRequest(), wait_for_ready=True, timeout=30)
                for health in answer.deployments:
                    if not health.backlog_count and health.labelled_count == DAYS * PEOPLE:
                        return health
                assert time.monotonic() < end, f"still counting: {answer}"
                time.sleep(0.1)

    def call(self, method: str, request: object) -> object:
        with grpc.insecure_channel(self.address) as channel:
            stub = monitoring_pb2_grpc.MonitoringServiceStub(channel)
            return getattr(stub, method)(request, timeout=30)


@pytest.mark.timeout(120 + 20 * POINTS)
def test_what_is_counted_is_exact_after_kills_at_random_points(tmp_path: Path) -> None:
    lake = MadeLake(tmp_path / "lake")
    lake.add_reference(CHAMPION, SHADOW)
    lake.add_days(0, DAYS - 12, count=PEOPLE)
    lake.add_days(DAYS - 12, DAYS, count=PEOPLE, home=(0.1, 0.2, 0.7))
    lake.add_labels(0, DAYS)
    monitoring = Monitoring(tmp_path)
    seed = random.SystemRandom().randrange(10**6)
    rng = random.Random(seed)
    for _ in range(POINTS):
        monitoring.start()
        time.sleep(rng.uniform(0.8, 3.0))
        monitoring.kill()
    monitoring.start()
    try:
        health = monitoring.health(60)
        people = lake.truth
        right = sum(int((one.positive == one.label).sum()) for one in people)
        positive = sum(int(one.positive.sum()) for one in people)
        assert health.prediction_count == DAYS * PEOPLE, seed
        assert health.overall_quality.accuracy.value == pytest.approx(right / (DAYS * PEOPLE)), seed
        assert health.overall_quality.selection_rate.value == pytest.approx(positive / (DAYS * PEOPLE)), seed
        assert health.shadow_quality.labelled_count == DAYS * PEOPLE, seed
        deadline = time.monotonic() + 30
        while True:
            alerts = monitoring.call("ListAlerts", monitoring_pb2.ListAlertsRequest()).alerts  # type: ignore[attr-defined]
            drifts = [alert for alert in alerts if alert.kind == monitoring_pb2.ALERT_KIND_DRIFT]
            if drifts or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        assert [list(alert.columns) for alert in drifts] == [["HOME"]], seed
        entries = monitoring.call("ListLedgerEntries", monitoring_pb2.ListLedgerEntriesRequest()).entries  # type: ignore[attr-defined]
        opened = [entry.subject for entry in entries if entry.action == "alert.opened"]
        assert sorted(opened) == sorted(f"alerts/{alert.id}" for alert in alerts), seed
        verdict = monitoring.call("VerifyLedger", monitoring_pb2.VerifyLedgerRequest())
        assert verdict.valid  # type: ignore[attr-defined]
    finally:
        monitoring.kill()
