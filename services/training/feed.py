"""What watchers see: the newest state of each job that runs, in memory, and a wake-up when it changes.

A watcher always gets the newest state and never a backlog: one that reads slowly costs nothing.
"""

import asyncio
from weakref import WeakValueDictionary

from boarfish.v1 import training_pb2


class JobFeed:
    """Newest snapshots of running jobs. Used on the event loop's thread alone."""

    def __init__(self) -> None:
        self._running: dict[str, training_pb2.TrainingJob] = {}
        # An event lives as long as a watcher waits for it.
        self._wakes: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    def running(self, job_id: str) -> training_pb2.TrainingJob | None:
        """The newest snapshot of a job that runs; `None` for any other (the book has it)."""
        return self._running.get(job_id)

    def change(self, job_id: str) -> asyncio.Event:
        """An event that is set at the next change.

        Take it before looking at the job, so that no change is missed.
        """
        event = self._wakes.get(job_id)
        if event is None:
            event = self._wakes[job_id] = asyncio.Event()
        return event

    def publish(self, job: training_pb2.TrainingJob) -> None:
        """Tells of a new state of a job."""
        if job.state == training_pb2.TRAINING_JOB_STATE_RUNNING:
            self._running[job.id] = job
        else:
            self._running.pop(job.id, None)
        self._wake(job.id)

    def publish_progress(self, job_id: str, progress: training_pb2.TrainingProgress) -> None:
        """Tells how far a running job is; of one that has ended nothing is told."""
        present = self._running.get(job_id)
        if present is None:
            return
        changed = training_pb2.TrainingJob()
        changed.CopyFrom(present)
        changed.progress.CopyFrom(progress)
        self._running[job_id] = changed
        self._wake(job_id)

    def _wake(self, job_id: str) -> None:
        event = self._wakes.pop(job_id, None)
        if event is not None:
            event.set()
