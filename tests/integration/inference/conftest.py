from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
from boarfish.v1 import inference_pb2_grpc

from services.common.server import serving
from services.inference.__main__ import start
from services.inference.settings import InferenceSettings


@pytest.fixture
def inference_settings(tmp_path: Path, free_port: Callable[[], int]) -> InferenceSettings:
    """State under `tmp_path`, neighbours away."""
    return InferenceSettings(
        home=tmp_path / "home",
        drain_s=1.0,
        ingestion_address=f"127.0.0.1:{free_port()}",
        monitoring_address=f"127.0.0.1:{free_port()}",
        inference_metrics_address="",
        spool_batch_s=0.01,
    )


@pytest.fixture
async def stub(
    inference_settings: InferenceSettings,
) -> AsyncIterator[inference_pb2_grpc.InferenceServiceStub]:
    """A stub of a served InferenceService."""
    async with (
        serving("inference", "127.0.0.1:0", inference_settings, start) as harness,
        grpc.aio.insecure_channel(
            f"127.0.0.1:{harness.port}", options=[("grpc.max_send_message_length", 256 * 1024 * 1024)]
        ) as channel,
    ):
        yield inference_pb2_grpc.InferenceServiceStub(channel)
