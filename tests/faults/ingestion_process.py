"""Ingestion as a real process, for tests that harm it."""

import asyncio
import os
import subprocess
import sys
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.processes import ended_with_parent, stop_group
from services.common.settings import Settings


class Service:
    """Ingestion on a free port, over one home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._child: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Starts it and waits until it is ready."""
        self.settings.logs_path.mkdir(parents=True, exist_ok=True)
        values = self.settings.model_dump(exclude_defaults=True)
        environment = {f"BOARFISH_{key.upper()}": str(value) for key, value in values.items()}
        # Small bounds, so that kills also meet compactions.
        environment |= {"BOARFISH_SMALL_FILE_LIMIT": "6"}
        with (self.settings.logs_path / "ingestion.log").open("ab") as log:
            self._child = subprocess.Popen(
                ended_with_parent([sys.executable, "-m", "services.ingestion"]),
                stdout=log, stderr=log, start_new_session=True, env={**os.environ, **environment},
            )  # fmt: skip
        deadline = time.monotonic() + 40
        async with grpc.aio.insecure_channel(self.settings.ingestion_address) as channel:
            while time.monotonic() < deadline:
                try:
                    request = health_pb2.HealthCheckRequest()
                    answer = await health_pb2_grpc.HealthStub(channel).Check(
                        request, timeout=2, wait_for_ready=True
                    )
                except grpc.aio.AioRpcError:
                    continue
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
                await asyncio.sleep(0.05)
        raise AssertionError((self.settings.logs_path / "ingestion.log").read_text()[-2000:])

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._child is not None
        return self._child.pid

    def kill(self) -> None:
        """`kill -9`."""
        assert self._child is not None
        self._child.kill()
        self._child.wait()

    def stop(self) -> None:
        """Stops it."""
        if self._child is not None and self._child.poll() is None:
            stop_group(self._child, 20.0)

    def log(self) -> str:
        """What it wrote."""
        return (self.settings.logs_path / "ingestion.log").read_text()
