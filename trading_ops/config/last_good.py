"""The last valid registry, for commands that must work while targets.yml is invalid."""

import logging

from trading_ops import durable
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Registry
from trading_ops.errors import ConfigError

# The standard library: `logs` takes its policy from this package.
_log = logging.getLogger(__name__)


def keep_last_good(settings: Settings) -> None:
    """Copy targets.yml to the var folder after it was loaded."""
    try:
        path = settings.last_good_targets
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write(path, settings.targets_file.read_bytes(), mode=None, by_several=True)
    except OSError as error:
        _log.warning("targets_not_kept", extra={"reason": str(error)})


def registry_or_last_good(settings: Settings) -> tuple[Registry, ConfigError | None]:
    """Return all current and former targets, and the problem with targets.yml, if any.

    A target that was removed from the file stays in the result until the stack or the reconciler
    restarts: its process may run until then.

    Raises:
        ConfigError: targets.yml is invalid and there is no valid copy.
    """
    try:
        current, problem = load_targets(settings.targets_file), None
    except ConfigError as error:
        current, problem = Registry(()), error
    try:
        kept = load_targets(settings.last_good_targets)
    except ConfigError:
        if problem is not None:
            raise problem from None
        return current, None
    removed = tuple(target for target in kept if current.find(target.name) is None)
    return Registry((*current, *removed)), problem
