"""Where a job's worker runs: one process, several of this machine, or a Ray cluster.

Whichever it is, the service sees one process: it reads that one's reports, stops it by SIGTERM and knows by
its exit how it ended (`services.training.worker_process`).
"""

import sys
from pathlib import Path

from services.training.settings import TrainingSettings


def worker_command(settings: TrainingSettings, folder: Path, process_count: int) -> list[str]:
    """The command that does the job in `folder`, whose nets ask for `process_count` processes at most."""
    python = [sys.executable, "-m"]
    if settings.training_compute == "ray":
        address = [settings.ray_address] if settings.ray_address else []
        return [*python, "services.training.compute.ray", str(folder), str(process_count), *address]
    if process_count > 1:
        return [*python, "services.training.compute.process", str(folder), str(process_count)]
    return [*python, "services.training.worker", str(folder)]
