"""The registry of service managers."""

from trading_ops.config.targets import UNITS
from trading_ops.domain.target import Manager
from trading_ops.services.registry import MANAGERS


def test_every_service_manager_is_registered() -> None:
    """Each name that targets.yml accepts has an implementation; the supervisor serves itself."""
    assert MANAGERS.keys() | {Manager.SUPERVISOR} == set(Manager) == UNITS.keys()
