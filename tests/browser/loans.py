"""Real monitoring over a made lake of loans, its neighbours played: for pages on which more happens than the
story may bear, such as labels that are corrected.
"""

import os
import subprocess
import sys
from concurrent import futures
from pathlib import Path

import grpc
from boarfish.v1 import (
    inference_pb2,
    inference_pb2_grpc,
    ingestion_pb2,
    ingestion_pb2_grpc,
    task_pb2,
    training_pb2,
    training_pb2_grpc,
)

from tests.integration.monitoring import made_lake
from tests.integration.monitoring.made_lake import CHAMPION, SHADOW, MadeLake
from tests.story import ROOT

DAYS, LABELLED = 24, 16


def task() -> task_pb2.Task:
    """The made task with gates: one that holds, one that the data cannot tell yet, one that does not hold."""
    made = made_lake.task()
    made.ethics_checklist.add(question="Who handles appeals and mistakes?")
    made.ethics_checklist.add(question="Should we be doing this at all?", answer="Yes.", answered_by="Ada")
    made.gates.add(rung="assisted", minimum_labelled_count=1000, minimum_accuracy=0.7, maximum_open_alerts=5)
    canary = made.gates.add(
        rung="canary", minimum_labelled_count=10_000, minimum_accuracy=0.7, largest_drift=0.15
    )
    canary.largest_subgroup_gap.false_positive_rate = 0.2
    made.gates.add(rung="full", maximum_open_appeals=0, checklist_answered=True, audit_within_days=30)
    return made


class Neighbours(
    training_pb2_grpc.TrainingServiceServicer,
    ingestion_pb2_grpc.IngestionServiceServicer,
    inference_pb2_grpc.InferenceServiceServicer,
):
    """What the pages ask of the other services. Labels that are logged go into the lake, each once."""

    def __init__(self, lake: MadeLake) -> None:
        self.lake = lake
        self.task = task()
        self.logged: list[ingestion_pb2.LogLabelsRequest] = []

    def GetModelVersion(self, request, context):  # noqa: N802
        version = training_pb2.ModelVersion(
            id=request.id, task_name="loans", dataset="loans", model="xgboost"
        )
        return training_pb2.GetModelVersionResponse(model_version=version)

    def GetDataset(self, request, context):  # noqa: N802
        return ingestion_pb2.GetDatasetResponse(dataset=ingestion_pb2.Dataset(name="loans", task=self.task))

    def GetDeployment(self, request, context):  # noqa: N802
        deployment = inference_pb2.Deployment(name=request.name, rung=inference_pb2.RUNG_SHADOW)
        deployment.champion.model_version = CHAMPION
        return inference_pb2.GetDeploymentResponse(deployment=deployment)

    def LogLabels(self, request, context):  # noqa: N802
        known = request.request_id in {one.request_id for one in self.logged}
        if not known:
            self.logged.append(request)
            labels = request.rows.labels
            rows = self.lake.labels_of(
                [one.prediction_id for one in labels], [one.value.string_value for one in labels], DAYS
            )
            self.lake.append_labels(rows.set_column(2, "source", [["HUMAN"] * len(labels)]))
        return ingestion_pb2.LogLabelsResponse(accepted_count=1, duplicate=known)


def made(root: Path) -> MadeLake:
    """The lake: predictions of three weeks and some days, two weeks of them labelled."""
    lake = MadeLake(root, made_task=task())
    lake.add_reference(CHAMPION, SHADOW)
    lake.add_days(0, DAYS)
    lake.add_labels(0, LABELLED, delay=1)
    return lake


def serve(neighbours: Neighbours) -> tuple[grpc.Server, str]:
    """The neighbours behind one address."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    training_pb2_grpc.add_TrainingServiceServicer_to_server(neighbours, server)
    ingestion_pb2_grpc.add_IngestionServiceServicer_to_server(neighbours, server)
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(neighbours, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def start(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """A process of the suite."""
    command = [sys.executable, "-m", *arguments]
    return subprocess.Popen(command, env={**os.environ, **environment}, cwd=ROOT)
