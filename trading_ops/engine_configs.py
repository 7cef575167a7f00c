"""prometheus.yml and alertmanager.yml with what passwords and TLS add to the committed files.

A file of Prometheus or Alertmanager that names a missing certificate is refused as a whole, so the
committed files name none.
"""

from collections.abc import Mapping
from typing import Any

import yaml

AUTHORITY = "secrets/ca.crt"
"""Paths count from the folder of prometheus.yml or alertmanager.yml."""

ENGINES = ("prometheus", "alertmanager")
"""Scrape jobs, which are named like what they scrape."""


def prometheus_yml(text: str, *, users: Mapping[str, str], name: str | None) -> str:
    """Return prometheus.yml with what Prometheus needs to reach the others.

    Args:
        text: of the committed file.
        users: for HTTP Basic, by `prometheus` and `alertmanager`; the password is in
            `secrets/prometheus_password` and `secrets/alertmanager_password`.
        name: of the certificate in `secrets` that it shows; None: without TLS.
    """
    config = yaml.safe_load(text)
    jobs: dict[str, dict[str, Any]] = {job["job_name"]: job for job in config["scrape_configs"]}
    for engine in ENGINES:
        if engine in users:
            jobs[engine]["basic_auth"] = _basic(users, engine)
    for alertmanager in config["alerting"]["alertmanagers"]:
        if "alertmanager" in users:
            alertmanager["basic_auth"] = _basic(users, "alertmanager")
    if name is not None:
        for client in (*jobs.values(), *config["alerting"]["alertmanagers"]):
            client["tls_config"] = _tls(name)
    return _written(config)


def alertmanager_yml(text: str, *, receiver: str, url: str, name: str) -> str:
    """Return alertmanager.yml with a webhook over TLS.

    Args:
        text: of the file.
        receiver: whose webhooks go to the reconciler.
        url: of the reconciler.
        name: of the certificate in `secrets` that Alertmanager shows.
    """
    config = yaml.safe_load(text)
    for one in config["receivers"]:
        if one["name"] == receiver:
            for webhook in one["webhook_configs"]:
                webhook["url"] = f"{url}/api/v1/webhook/alertmanager"
                webhook["http_config"]["tls_config"] = _tls(name)
    return _written(config)


def web_yml(user: str, hashed: str) -> str:
    """Return the `web.config.file` that asks for a password; `hashed` is its bcrypt hash."""
    return _written({"basic_auth_users": {user: hashed}})


def _basic(users: Mapping[str, str], engine: str) -> dict[str, str]:
    return {"username": users[engine], "password_file": f"secrets/{engine}_password"}


def _tls(name: str) -> dict[str, str]:
    return {
        "ca_file": AUTHORITY,
        "cert_file": f"secrets/{name}.crt",
        "key_file": f"secrets/{name}.key",
    }


def _written(config: Any) -> str:
    return yaml.safe_dump(config, sort_keys=False, width=1000)
