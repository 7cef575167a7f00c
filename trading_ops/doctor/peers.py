"""Checks of Prometheus' and Alertmanager's own status responses; no I/O."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from trading_ops.doctor.check import Check

OLDEST = {"Prometheus": (2, 42), "Alertmanager": (0, 25)}
"""The oldest versions with which rules and routes are tested."""

GRACE_PERIOD, CORS_ORIGIN = "rules.alert.for-grace-period", "web.cors.origin"
SHORT_ENOUGH = re.compile(r"1m|(\d+s)?(\d+ms)?")
"""Prometheus prints 60s as 1m."""

ANY_ORIGIN = ".*"

WEBHOOK = "/api/v1/webhook/alertmanager"
VERSION = re.compile(r"v?(\d+)\.(\d+)")
SHOWN = 3


def version_check(name: str, version: str) -> Check:
    """Check whether this version is supported."""
    found, oldest = VERSION.match(version), OLDEST[name]
    wanted = ".".join(map(str, oldest))
    if found is None:
        detail = f"answers, with an unknown version: {version[:40]!r}"
        return Check(name=name, ok=True, warning=True, detail=detail, fix=f"use {wanted} or later")
    if (int(found[1]), int(found[2])) < oldest:
        detail = f"version {version} is not supported"
        return Check(name=name, ok=False, detail=detail, fix=f"upgrade it to {wanted} or later")
    return Check(name=name, ok=True, detail=f"version {version}")


def flags_check(flags: Mapping[str, Any]) -> Check:
    """Check the flags that this Prometheus should have been started with.

    Args:
        flags: its `/api/v1/status/flags`.
    """
    missing = []
    if not SHORT_ENOUGH.fullmatch(str(flags.get(GRACE_PERIOD, "1m"))):
        missing.append((f"--{GRACE_PERIOD}=1m", "a restart delays every alert by up to 10 minutes"))
    if str(flags.get(CORS_ORIGIN, "none")) == ANY_ORIGIN:
        missing.append((f"--{CORS_ORIGIN}=none", "any web page may read its API"))
    name = "flags of Prometheus"
    if not missing:
        return Check(name=name, ok=True, detail="as recommended")
    detail = "; ".join(f"without {flag} {effect}" for flag, effect in missing)
    fix = f"start it with {' '.join(flag for flag, _ in missing)}"
    return Check(name=name, ok=True, warning=True, detail=detail, fix=fix)


def rules_check(wanted: Collection[str], loaded: Collection[str], folder: str) -> Check:
    """Check whether our alerts are in this Prometheus."""
    missing = sorted(set(wanted) - set(loaded))
    if not missing:
        return Check(name="rules in Prometheus", ok=True, detail=f"all {len(set(wanted))} alerts")
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    return Check(
        name="rules in Prometheus",
        ok=False,
        detail=f"{len(missing)} of {len(set(wanted))} alerts are not loaded: "
        f"{', '.join(missing[:SHOWN])}{more}",
        fix=f"add {folder}/*.yml to `rule_files` of its prometheus.yml and reload it",
    )


def delivery_check(active: Collection[str], alertmanagers: Collection[str]) -> Check:
    """Check whether this Prometheus sends alerts to Alertmanager, with TLS if needed.

    Args:
        active: the URLs that Prometheus sends to.
        alertmanagers: URLs of the registered ones; Prometheus may use other host names.
    """
    name = "alerts to Alertmanager"
    if not active:
        fix = "add `alerting.alertmanagers` to its prometheus.yml, see docs/adopt.md"
        return Check(
            name=name, ok=False, detail="Prometheus sends alerts to no Alertmanager", fix=fix
        )
    sent = {(parts.scheme, parts.netloc) for parts in map(urlsplit, active)}
    hosts = {host for _, host in sent}
    for scheme, host, *_ in map(urlsplit, alertmanagers):
        if host in hosts and (scheme, host) not in sent:
            detail = f"Prometheus does not send to {host} with {scheme}, so no alert arrives"
            fix = f"write `scheme: {scheme}` under `alerting.alertmanagers` in its prometheus.yml"
            return Check(name=name, ok=False, detail=detail, fix=fix)
    return Check(name=name, ok=True, detail=", ".join(sorted(hosts)))


def receiver_check(config: Any, accepted: Collection[str]) -> Check:
    """Check whether Alertmanager has a receiver with our webhook, a route to it, and our setting.

    Args:
        config: Alertmanager's own configuration.
        accepted: the names in the setting `alertmanager_receivers`.
    """
    name = "receiver in Alertmanager"
    found = _with_webhook(config)
    if not found:
        fix = "add the receiver and the route of docs/adopt.md to its alertmanager.yml"
        return Check(name=name, ok=False, detail=f"no webhook ends with {WEBHOOK}", fix=fix)
    routed = found & set(_routed(config.get("route")))
    if not routed:
        fix = "add the route of docs/adopt.md, with `continue: true`"
        detail = f"no route leads to {', '.join(sorted(found))}"
        return Check(name=name, ok=False, detail=detail, fix=fix)
    unknown = routed - set(accepted)
    if unknown:
        fix = f"write alertmanager_receivers: {','.join(sorted(routed))} into settings.yml"
        detail = f"alerts of the receiver {', '.join(sorted(unknown))} do not become incidents"
        return Check(name=name, ok=False, detail=detail, fix=fix)
    return Check(name=name, ok=True, detail=", ".join(sorted(routed)))


def _with_webhook(config: Any) -> set[str]:
    receivers = config.get("receivers") if isinstance(config, Mapping) else None
    return {
        str(receiver.get("name"))
        for receiver in receivers or ()
        for webhook in receiver.get("webhook_configs") or ()
        # Alertmanager 0.26 and later hide the URL; such a webhook may be ours.
        if str(webhook.get("url", "")).rstrip("/").endswith((WEBHOOK, "<secret>"))
    }


def _routed(route: Any) -> Iterator[str]:
    if not isinstance(route, Mapping):
        return
    if "receiver" in route:
        yield str(route["receiver"])
    for inner in route.get("routes") or ():
        yield from _routed(inner)
