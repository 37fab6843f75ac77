"""What the README promises is there, and what it says is missing is missing."""

import re
from pathlib import Path
from typing import Any

import pytest
from boarfish.v1 import inference_pb2_grpc, ingestion_pb2_grpc, monitoring_pb2_grpc, training_pb2_grpc

from services.inference.service import InferenceService
from services.ingestion.service import IngestionService
from services.monitoring.service import MonitoringService
from services.training.service import TrainingService

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
SERVICES: tuple[tuple[type[Any], type[Any]], ...] = (
    (IngestionService, ingestion_pb2_grpc.IngestionServiceServicer),
    (TrainingService, training_pb2_grpc.TrainingServiceServicer),
    (InferenceService, inference_pb2_grpc.InferenceServiceServicer),
    (MonitoringService, monitoring_pb2_grpc.MonitoringServiceServicer),
)


def unimplemented() -> set[str]:
    return {
        name
        for service, contract in SERVICES
        for name in vars(contract)
        if name[0].isupper() and getattr(service, name) is getattr(contract, name)
    }


def test_rpcs_that_are_not_there_yet_are_listed():
    section = README.split("### Not there yet")[1].split("\n## ")[0]
    every = {name for _, contract in SERVICES for name in vars(contract) if name[0].isupper()}
    assert set(re.findall(r"`(\w+)`", section)) & every == unimplemented()


def test_the_protos_say_the_same():
    listed = set()
    for path in (ROOT / "protos" / "boarfish" / "v1").glob("*.proto"):
        listed |= set(re.findall(r"Not yet implemented[^\n]*\n  rpc (\w+)", path.read_text()))
    assert listed == unimplemented()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([a-z][a-z-]+)", README))))
def test_every_make_target_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_every_link_into_the_tree_leads_somewhere(link):
    if "://" not in link:
        assert (ROOT / link).exists()


@pytest.mark.parametrize("module", sorted(set(re.findall(r"-m (benchmarks\.[a-z]+)", README))))
def test_every_benchmark_is_there(module):
    assert (ROOT / f"{module.replace('.', '/')}.py").exists()
