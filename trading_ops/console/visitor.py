"""Who asks for a page, and what every page is given to show."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from trading_ops.api.tokens import Identity
from trading_ops.console.calls import Calls
from trading_ops.console.orders import ORDERS
from trading_ops.console.sessions import Session, csrf_of

ROOT = "/console"
HOME = f"{ROOT}/fleet"
REFRESH = "X-Console-Refresh"
"""Header of a request that a page sends automatically: `idle` while the user is inactive."""


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """One request of an operator who is logged in."""

    request: web.Request
    identity: Identity
    session: Session
    cookie: str
    calls: Calls

    @property
    def csrf(self) -> str:
        """What a form must carry."""
        return csrf_of(self.cookie)

    @property
    def is_refresh(self) -> bool:
        """Whether the page sent the request automatically."""
        return REFRESH in self.request.headers

    def can(self, order: str) -> bool:
        """Whether the role allows an order."""
        return self.calls.may(self.identity, ORDERS[order].call)

    async def get(self, path: str, *, parts: Mapping[str, str] | None = None, **query: Any) -> Any:
        """Return what the API answers; what is None or empty is not asked for."""
        asked = {name: value for name, value in query.items() if value not in {None, ""}}
        return await self.calls(self.identity, f"GET {path}", path=parts, query=asked)

    def asked(self, name: str) -> str:
        """Return a parameter of the page's own address."""
        return self.request.query.get(name, "").strip()


@dataclass(frozen=True, kw_only=True)
class Grafana:
    """Links to the boards."""

    base: str
    """Empty: there are no links."""

    def link(
        self,
        board: str,
        *,
        begin: datetime | None = None,
        end: datetime | None = None,
        **variables: str,
    ) -> str:
        """Return the address of a board with its time and variables."""
        span = {
            "from": "now-1h" if begin is None else f"{begin.timestamp() * 1000:.0f}",
            "to": "now" if end is None else f"{end.timestamp() * 1000:.0f}",
        }
        chosen = {f"var-{name}": value for name, value in variables.items()}
        return f"{self.base.rstrip('/')}/d/{quote(board, safe='')}?{urlencode(chosen | span)}"


def address(path: str, **query: object) -> str:
    """Return the address of a page of ours; what is None or empty is left out."""
    kept = {name: str(value) for name, value in query.items() if value not in {None, ""}}
    return f"{ROOT}/{path}" + (f"?{urlencode(kept)}" if kept else "")


def local(address: str) -> str:
    """Return where to go next: a page of ours, whatever was asked for."""
    plain = address.isascii() and address.isprintable() and "\\" not in address
    return address if plain and address.startswith(f"{ROOT}/") else HOME
