"""A logged-in operator's request, and links."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from trading_ops.api.auth import Identity
from trading_ops.console.calls import Calls
from trading_ops.console.forms import FORMS
from trading_ops.console.sessions import LoginSession, csrf_of

ROOT = "/console"
HOME = f"{ROOT}/fleet"
REFRESH = "X-Console-Refresh"
"""Header of a request that a page sends automatically: `idle` while the user is inactive."""


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """A request of a logged-in operator."""

    request: web.Request
    identity: Identity
    session: LoginSession
    cookie: str
    calls: Calls

    @property
    def csrf(self) -> str:
        """Return the CSRF token for forms."""
        return csrf_of(self.cookie)

    @property
    def is_refresh(self) -> bool:
        """Return whether the page sent the request automatically."""
        return REFRESH in self.request.headers

    def can(self, form: str) -> bool:
        """Return whether the role allows a form."""
        return self.calls.may(self.identity, FORMS[form].call)

    async def get(self, path: str, *, parts: Mapping[str, str] | None = None, **query: Any) -> Any:
        """Return the API's result; parameters that are None or empty are omitted."""
        parameter = {name: value for name, value in query.items() if value not in {None, ""}}
        return await self.calls(self.identity, f"GET {path}", path=parts, query=parameter)

    def parameter(self, name: str) -> str:
        """Return a query parameter of the page."""
        return self.request.query.get(name, "").strip()


@dataclass(frozen=True, kw_only=True)
class Grafana:
    """Links to Grafana boards."""

    base: str
    """Empty: no links."""

    def link(
        self,
        board: str,
        *,
        begin: datetime | None = None,
        end: datetime | None = None,
        **variables: str,
    ) -> str:
        """Return the URL of a board with its time range and variables."""
        span = {
            "from": "now-1h" if begin is None else f"{begin.timestamp() * 1000:.0f}",
            "to": "now" if end is None else f"{end.timestamp() * 1000:.0f}",
        }
        chosen = {f"var-{name}": value for name, value in variables.items()}
        return f"{self.base.rstrip('/')}/d/{quote(board, safe='')}?{urlencode(chosen | span)}"


def address(path: str, **query: object) -> str:
    """Return the URL of one of our pages; parameters that are None or empty are omitted."""
    kept = {name: str(value) for name, value in query.items() if value not in {None, ""}}
    return f"{ROOT}/{path}" + (f"?{urlencode(kept)}" if kept else "")


def local(address: str) -> str:
    """Return a local URL to redirect to, whatever was requested."""
    plain = address.isascii() and address.isprintable() and "\\" not in address
    return address if plain and address.startswith(f"{ROOT}/") else HOME
