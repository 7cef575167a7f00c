"""A job comes due while the reconciler is frozen."""

from datetime import timedelta

from trading_ops import clock
from trading_ops.domain.target import Kind, Target
from trading_ops.errors import NotPossibleHere
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.frozen_processes import Frozen

WITHIN = timedelta(minutes=1)


class MissedJob(Frozen):
    """Prometheus knows when the job should have started; the run starts late."""

    blocks_notifications = True

    def __init__(self, job: str = "") -> None:
        """Freeze the only reconciler; without `job`, any job may come due."""
        super().__init__(Kind.RECONCILER)
        self.describe = f"the reconciler's process is frozen while {job or 'a job'} comes due"
        self._job = job

    async def ready(self, scene: Scene, bot: Target) -> None:
        """Look for a job that runs each minute.

        Raises:
            NotPossibleHere: there is none.
        """
        await super().ready(scene, bot)
        jobs = [job for job in await scene.reconciler.jobs() if self._job in {"", job.name}]
        soon = clock.now() + WITHIN
        if not any(job.due_at is not None and job.due_at <= soon for job in jobs):
            raise NotPossibleHere(
                f"{self._job or 'no job'} does not run each minute: write `jobs: "
                f'{{{self._job or "clean_up"}: {{schedule: "* * * * *", jitter: 0s}}}}` to jobs.yml'
                " before the stack is started"
            )
