"""What the processes of a job do that are not its first: they fit along with it the nets that ask for
several.

They read the same rows and run the same recipes, tell nothing and write nothing; `models.distributed` binds
them to the first, which is a common worker.
"""

import logging
import threading

from services.training import staging
from services.training.job_folder import JobFolder
from services.training.worker import Worker
from services.training.worker_process import STOPPED_EXIT_CODE

logger = logging.getLogger(__name__)


class Member(Worker):
    """A process beside the first."""

    def __init__(self, folder: JobFolder, stopped: threading.Event) -> None:
        super().__init__(folder, lambda report: None, stopped)

    def run(self) -> tuple[str, ...]:
        """Fits along; it makes no versions. Raises as `Worker.run` does."""
        prepared = self._prepare()
        for planned in self.plan:
            if planned.process_count > 1 and not staging.is_staged(self._staged(planned)):
                context = self._context(planned)
                planned.recipe().fit(prepared.problem, prepared.train, prepared.valid, context)
        return ()


def fit_along(folder: JobFolder, stopped: threading.Event) -> int:
    """Runs a member on `folder`; the exit status."""
    from models.progress import TrainingStopped

    try:
        Member(folder, stopped).run()
    except TrainingStopped:
        return STOPPED_EXIT_CODE
    except BaseException:
        logger.exception("a process beside the first failed")
        return 1
    return 0
