"""`doctor`: check the installation, and that a test alert reaches on-call and the reconciler.

Each check says what it checked, what it found, and how to fix it. Only the last one has an effect:
it fires a test alert. A check is skipped if one that it depends on has failed.
"""

from collections.abc import AsyncIterator

from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.doctor.check import Check
from trading_ops.doctor.state import check_database, check_dead_man_switch
from trading_ops_lab.doctor.local_checks import (
    check_configs,
    check_plans,
    check_processes,
    check_secrets,
    check_tools,
)
from trading_ops_lab.doctor.loop_checks import check_connections, check_whole_way
from trading_ops_lab.drills.lab_clients import open_scene


async def examine(settings: Settings, *, test_alert: bool) -> AsyncIterator[Check]:
    """Yield the checks as they complete.

    Raises:
        ConfigError: targets.yml or a runbook is invalid.
    """
    registry = load_targets(settings.targets_file)
    basics = [*check_tools(), *check_secrets(settings, registry), check_database(settings)]
    basics += [check_plans(settings), check_dead_man_switch(settings)]
    for check in basics:
        yield check
    if not all(check.ok for check in basics):
        return
    running = check_processes(settings)
    for check in (*check_configs(settings), *running):
        yield check
    if not all(check.ok for check in running):
        return
    async with open_scene(settings) as scene:
        async for check in check_connections(scene):
            yield check
        if test_alert:
            async for check in check_whole_way(scene):
                yield check
