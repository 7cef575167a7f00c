"""The Prometheus of the stack that runs on this machine, if one does."""

import urllib.request

from trading_ops.config.loading import load_settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Kind

TIMEOUT_SECONDS = 2.0


def running_prometheus() -> str | None:
    """Return its address as a URL, or None when it does not answer.

    Raises:
        ConfigError: targets.yml, which names it, cannot be read.
    """
    targets = load_targets(load_settings().targets_file)
    url = f"http://{targets.one(Kind.PROMETHEUS).address}"
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=TIMEOUT_SECONDS):  # noqa: S310
            return url
    except OSError:
        return None
