"""Settings of the training service, read once in its entry point."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from services.common.settings import Settings


class TrainingSettings(Settings):
    """What every service reads, and how training jobs are run."""

    training_parallel_jobs: int = Field(
        default=1, ge=1, le=64, description="Jobs that run at once; the others wait in the order they came."
    )
    training_queue_limit: int = Field(
        default=1000, ge=1, le=100_000, description="Jobs that may wait; one more is refused."
    )
    training_threads: int = Field(
        default=0, ge=0, le=1024, description="Threads a worker computes with; 0: half of the cores."
    )
    training_resume_limit: int = Field(
        default=3, ge=0, le=100, description="How often a job whose worker was killed is taken up again."
    )
    training_stop_grace_s: float = Field(
        default=3.0,
        ge=0,
        le=60,
        description="How long a worker may take to stop before it is killed, in seconds.",
    )

    training_compute: Literal["process", "ray"] = Field(
        default="process",
        description="Where jobs run: on this machine, or on a Ray cluster (needs the extra `ray`).",
    )
    ray_address: str = Field(
        default="",
        description="The Ray cluster's address; empty: a Ray of this machine, started for each job.",
    )

    @property
    def worker_threads(self) -> int:
        """Threads of one worker. Services share the machine: threads that wait for a core make it slower."""
        return self.training_threads or max(1, (os.cpu_count() or 1) // 2)

    @property
    def jobs_path(self) -> Path:
        """Work folders of jobs that have not ended: checkpoints and finished parts."""
        return self.home / "training"

    @property
    def job_logs_path(self) -> Path:
        """What the workers wrote, a file for each job."""
        return self.logs_path / "training_jobs"

    @property
    def weights_path(self) -> Path:
        """Pretrained weights that users have put there, by the names that plans give."""
        return self.home / "weights"

    @property
    def mlflow_path(self) -> Path:
        """Folder of MLflow's artifacts; its database lies beside it (`mlflow.db`)."""
        return self.home / "mlflow"
