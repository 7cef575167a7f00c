"""The external dead man's switch: Alertmanager sends it a heartbeat.

Alertmanager 0.25 cannot read a webhook URL from a file, so the URL is written into a copy.
"""

import json
from urllib.parse import urlsplit

from trading_ops.errors import ConfigError, SetupError

RECEIVER = "  - name: dead-man-switch\n"
"""The receiver in the committed alertmanager.yml, which has no address there."""

LOOPBACK = ("127.0.0.1", "localhost")


def with_switch(text: str, url: str) -> str:
    """Set the receiver's address.

    Args:
        text: the committed alertmanager.yml.
        url: called once a minute; the service behind it pages when the calls stop.

    Raises:
        ConfigError: invalid URL, or plain HTTP to another machine.
        SetupError: the receiver is not in the text.
    """
    _check(url)
    if text.count(RECEIVER) != 1:
        raise SetupError(
            "alertmanager.yml no longer has the receiver `dead-man-switch`, so the URL of "
            "`dead_man_switch` cannot be set: restore the receiver, or remove the setting"
        )
    webhook = (
        "    webhook_configs:\n"
        f"      - url: {json.dumps(url)}\n"
        "        send_resolved: false\n"
        "        http_config: {follow_redirects: false}\n"
    )
    return text.replace(RECEIVER, RECEIVER + webhook)


def _check(url: str) -> None:
    fix = "write https://…, as the service shows it"
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise ConfigError("settings", "dead_man_switch", "it is not a URL", fix) from error
    if not url.isprintable() or parts.scheme not in {"http", "https"} or not host:
        raise ConfigError("settings", "dead_man_switch", "it is not a URL", fix)
    if parts.scheme == "http" and host not in LOOPBACK:
        # Anyone who knows the URL can prevent the switch from triggering.
        raise ConfigError(
            "settings", "dead_man_switch", "an http:// URL outside loopback is not allowed", fix
        )
