"""A Ray cluster, `python -m services.training.compute.ray FOLDER COUNT [ADDRESS]`: the job by Ray Train.

This process is the driver: it asks the cluster for COUNT workers (a GPU each where there are any), whose
first is the job's worker and whose others fit along with it, and passes on what the first one reports. The
job's folder, the lake and the model store must be seen by every machine under the same path. When a worker
dies the driver ends as one that was stopped, and the service takes the job up again from its checkpoint.
Without ADDRESS a Ray of this machine is started for the job. Needs the extra `ray`.
"""

import logging
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

from services.training.job_folder import JobFolder, Report, send
from services.training.worker import claim_stdout, leave, listen
from services.training.worker_process import STOPPED_EXIT_CODE

logger = logging.getLogger(__name__)

POLL_S = 0.3
OBJECT_STORE_BYTES = 100 * 1024 * 1024


class Mailbox:
    """An actor between driver and workers: reports go one way, the word to stop the other."""

    def __init__(self) -> None:
        self._reports: list[Report] = []
        self._stopped = False

    def put(self, report: Report) -> None:
        """A worker reports."""
        self._reports.append(report)

    def take(self) -> list[Report]:
        """The driver takes the reports that have come."""
        taken, self._reports = self._reports, []
        return taken

    def stop(self) -> None:
        """The driver wants the workers to end."""
        self._stopped = True

    def is_stopped(self) -> bool:
        """A worker asks whether it should end."""
        return self._stopped


def take_part(config: dict[str, Any]) -> None:
    """What each worker of the cluster runs; Ray Train has bound them into one process group.

    Raises:
        RuntimeError: this worker did not end well; it has reported why.
    """
    import ray

    from models.distributed import group
    from services.training.compute.member import fit_along
    from services.training.worker import work

    logging.basicConfig(level=logging.INFO)
    mailbox, folder, stopped = config["mailbox"], JobFolder(Path(config["folder"])), threading.Event()

    def hear() -> None:
        while not stopped.wait(POLL_S):
            if ray.get(mailbox.is_stopped.remote()):
                stopped.set()

    threading.Thread(target=hear, daemon=True).start()
    if group().first:
        code = work(folder, lambda report: ray.get(mailbox.put.remote(report)), stopped)
    else:
        code = fit_along(folder, stopped)
    if code not in (0, STOPPED_EXIT_CODE):
        raise RuntimeError(f"worker {group().rank} of the job ended with {code}")


def start(address: str | None, count: int) -> None:
    """Joins the cluster, or starts one of this machine."""
    import ray

    # Ray Train would have its workers work in folders of their own; paths may be relative to ours.
    environment = {"env_vars": {"RAY_CHDIR_TO_TRIAL_DIR": "0"}}
    if address:
        ray.init(address, runtime_env=environment)
        return
    ray.init(
        num_cpus=count + 1,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        runtime_env=environment,
    )


def train(folder: Path, count: int, mailbox: Any) -> None:
    """Runs the job on the cluster until it has ended; raises what Ray Train raises."""
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from models.distributed import TIMEOUT

    on_gpu = ray.cluster_resources().get("GPU", 0) >= count  # type: ignore[no-untyped-call]
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    TorchTrainer(
        take_part,
        train_loop_config={"mailbox": mailbox, "folder": str(folder)},
        torch_config=TorchConfig(backend=backend, timeout_s=int(TIMEOUT.total_seconds())),
        scaling_config=ScalingConfig(num_workers=count, use_gpu=on_gpu),
        run_config=RunConfig(storage_path=str(folder.resolve() / "ray"), name="job"),
    ).fit()


def main(arguments: list[str]) -> int:
    """Drives the job in the folder; the exit status."""
    descriptor = claim_stdout()
    stopped = listen()
    import ray

    start(arguments[2] if len(arguments) > 2 else None, int(arguments[1]))
    mailbox: Any = ray.remote(Mailbox).options(num_cpus=0).remote()
    tell, ended = partial(send, descriptor), threading.Event()

    def pass_on() -> None:
        for report in ray.get(mailbox.take.remote()):
            tell(report)
        if stopped.is_set():
            mailbox.stop.remote()

    def pass_on_until_ended() -> None:
        while not ended.wait(POLL_S):
            pass_on()

    courier = threading.Thread(target=pass_on_until_ended, daemon=True)
    courier.start()
    code = 0
    try:
        train(Path(arguments[0]), int(arguments[1]), mailbox)
    except Exception:
        logger.exception("the cluster did not bring the job to its end")
        code = STOPPED_EXIT_CODE
    ended.set()
    courier.join()
    pass_on()
    ray.shutdown()
    return STOPPED_EXIT_CODE if stopped.is_set() else code


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
