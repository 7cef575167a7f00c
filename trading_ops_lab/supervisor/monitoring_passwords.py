"""Passwords for the lab's Prometheus and Alertmanager, so that other local users cannot use them.

`monitoring_passwords: true` writes a random password for each, and a `web.config.file` with its
hash.
"""

import ctypes
import re
import secrets
import string

from trading_ops.config.secret_files import is_filled, new_token, write_secret
from trading_ops.config.settings import Settings
from trading_ops.domain.target import Target
from trading_ops.errors import SetupError
from trading_ops.project.monitoring_configs import MONITORING, web_yml
from trading_ops_lab.supervisor.process import AskHttp

WEB_CONFIG = "web.yml"
LIBRARY = "libcrypt.so.1"
BCRYPT = re.compile(r"\$2b\$05\$[./A-Za-z0-9]{53}")

COST = "05"
"""Low: the password has 256 random bits, and every request computes the hash."""


def users_of(settings: Settings) -> dict[str, str]:
    """Return the user of each server; empty if passwords are disabled."""
    if not settings.monitoring_passwords:
        return {}
    found = (settings.prometheus_user, settings.alertmanager_user)
    return dict(zip(MONITORING, found, strict=True))


def write_passwords(settings: Settings) -> None:
    """Write missing files; keep existing ones.

    Raises:
        OSError: a folder cannot be written.
        SetupError: this system cannot compute the hash.
    """
    for server, user in users_of(settings).items():
        password = settings.secrets / f"{server}_password"
        config = settings.var / server / WEB_CONFIG
        if is_filled(password) and is_filled(config):
            continue
        value = new_token()
        # The hash is written last: after an interruption both are created again.
        config.unlink(missing_ok=True)
        write_secret(password, value)
        write_secret(config, web_yml(user, bcrypt(value)))


def health_question(settings: Settings, target: Target, path: str) -> AskHttp:
    """Return the readiness or health check of Prometheus or Alertmanager."""
    user = users_of(settings).get(target.kind)
    password = settings.secrets / f"{target.kind}_password"
    return AskHttp(
        url=f"{target.url}{path}", user=user or "", password_file=password if user else None
    )


def bcrypt(password: str) -> str:
    """Return the hash that Prometheus and Alertmanager accept.

    Raises:
        SetupError: the system's library is missing or too old.
    """
    letters = string.ascii_letters + string.digits
    # The last character of a salt has only two bits.
    salt = "".join(secrets.choice(letters) for _ in range(21)) + "."
    try:
        crypt = ctypes.CDLL(LIBRARY).crypt
    except OSError as error:
        raise SetupError(_fix("is missing")) from error
    crypt.restype = ctypes.c_char_p
    hashed = (crypt(password.encode(), f"$2b${COST}${salt}".encode()) or b"").decode("ascii")
    if not BCRYPT.fullmatch(hashed):
        raise SetupError(_fix("does not support bcrypt"))
    return hashed


def _fix(problem: str) -> str:
    return (
        f"{LIBRARY} {problem}, so no password can be hashed. Fix: install Debian's libcrypt1, or "
        "remove `monitoring_passwords` from settings.yml"
    )
