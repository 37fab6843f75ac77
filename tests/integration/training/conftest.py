"""Fixtures of training's tests: a home with a lake, neighbours, and services in it."""

from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from boarfish.v1 import ingestion_pb2_grpc, monitoring_pb2_grpc

from tests.integration.training.running_training import Neighbours, Training, people, put_records


@pytest.fixture
def neighbours() -> Iterator[tuple[Neighbours, str]]:
    """Monitoring and ingestion on one port, and its address."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    told = Neighbours()
    monitoring_pb2_grpc.add_MonitoringServiceServicer_to_server(told, server)
    ingestion_pb2_grpc.add_IngestionServiceServicer_to_server(told, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield told, f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose lake holds the dataset `people`."""
    put_records(tmp_path, "people", people())
    return tmp_path


@pytest.fixture
def start_training(home: Path, neighbours: tuple[Neighbours, str]):
    """Starts services in `home`; all are stopped at the end."""
    started: list[Training] = []

    def start(**settings: object) -> Training:
        training = Training(home, neighbours[1], **settings)
        started.append(training)
        training.start()
        return training

    yield start
    for training in started:
        if training.process.poll() is None:
            training.stop()
        training.channel.close()


@pytest.fixture
def training(start_training) -> Training:
    """A service with default settings."""
    return start_training()
