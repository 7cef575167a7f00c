"""Alertmanager's API v2: what is silenced and what is inhibited.

Source: alertmanager `api/v2/openapi.yaml`; the parts used are the same from 0.25 to 0.34.
"""

from datetime import datetime

import msgspec

from trading_ops.clients.http import Http
from trading_ops.domain.alert import Fingerprint
from trading_ops.domain.sighting import RoutedAlert
from trading_ops.errors import Unreachable


class _Status(msgspec.Struct):
    state: str
    silencedBy: list[str]  # noqa: N815 - Alertmanager's own names
    inhibitedBy: list[str]  # noqa: N815


class _Alert(msgspec.Struct):
    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: datetime  # noqa: N815
    endsAt: datetime  # noqa: N815
    status: _Status


class Alertmanager:
    """One Alertmanager."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def alerts(self) -> dict[Fingerprint, RoutedAlert]:
        """Return every alert that it has, silenced and inhibited ones too.

        Right after its start the list is empty or partial: absence means nothing by itself.

        Raises:
            Unreachable: no usable answer.
        """
        body = await self._http.get("/api/v2/alerts")
        try:
            alerts = msgspec.json.decode(body, type=list[_Alert])
        except msgspec.DecodeError as error:
            raise Unreachable(f"Alertmanager's answer is not its API's: {error}") from error
        return {
            Fingerprint(one.fingerprint): RoutedAlert(
                fingerprint=Fingerprint(one.fingerprint),
                labels=one.labels,
                annotations=one.annotations,
                starts_at=one.startsAt,
                ends_at=one.endsAt,
                silenced=bool(one.status.silencedBy),
                inhibited=bool(one.status.inhibitedBy),
            )
            for one in alerts
        }
