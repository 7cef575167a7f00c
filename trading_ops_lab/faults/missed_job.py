"""A job comes due while the reconciler is frozen."""

from datetime import timedelta

from trading_ops import clock
from trading_ops.domain.target import Kind, Target
from trading_ops.errors import NotPossibleHere
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.frozen_processes import Frozen

WITHIN = timedelta(minutes=1)


class MissedJob(Frozen):
    """Prometheus knows when the job should have started; the run is made up later."""

    blocks_notifications = True

    def __init__(self) -> None:
        """It is the only one that could run it."""
        super().__init__(Kind.RECONCILER)
        self.describe = "the reconciler's process is frozen while a job comes due"

    async def ready(self, scene: Scene, bot: Target) -> None:
        """Look for a job that runs each minute.

        Raises:
            NotPossibleHere: there is none.
        """
        await super().ready(scene, bot)
        jobs = await scene.reconciler.jobs()
        soon = clock.now() + WITHIN
        if not any(job.due_at is not None and job.due_at <= soon for job in jobs):
            raise NotPossibleHere(
                'no job runs each minute: write `jobs: {clean_up: {schedule: "* * * * *", jitter: '
                "0s}}` to jobs.yml before the stack is started"
            )
