"""The session that requests to our processes and to Prometheus and Alertmanager are made over."""

from collections.abc import Callable

import aiohttp

from trading_ops.config.settings import Settings
from trading_ops.listener import KnownListeners, trusted_users
from trading_ops.tls.contexts import TlsFiles, calling
from trading_ops.tls.expiry import OnCertificate

OPERATOR = "operator"
"""Whose certificate the command line shows."""


def session_of(
    settings: Settings,
    *,
    name: str = OPERATOR,
    on_impostor: Callable[[str], None] = lambda _why: None,
    on_certificate: OnCertificate = lambda _address, _expiry: None,
) -> aiohttp.ClientSession:
    """Return a session that sends tokens to trusted users, and over TLS to holders of our CA only.

    Args:
        settings: where the TLS files are, and which users are trusted.
        name: of the target that asks; its certificate is shown.
        on_impostor: called with the reason when a listener was refused.
        on_certificate: called with the address and expiry of each certificate that was accepted.
    """
    connector = KnownListeners(
        trusted_users(settings.listener_users),
        on_impostor=on_impostor,
        tls=calling(TlsFiles(settings.tls, name)),
        on_certificate=on_certificate,
    )
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
