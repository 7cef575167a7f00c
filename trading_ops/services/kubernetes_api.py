"""The few requests of Kubernetes' API that a service manager needs.

The node runs in the cluster, so it has a URL, a token that is renewed in its file, and a CA. No
client library: it would take as much memory as the rest of the node (docs/decisions/0013).
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from trading_ops.errors import SetupError
from trading_ops.services.manager import ManagerUnavailable

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
URL = "https://kubernetes.default.svc"
REQUEST_SECONDS = 5.0
NOT_FOUND, CONFLICT = 404, 409
DENIED = (401, 403)
FAILURES = 500
TOO_MANY = 429
MERGE = "application/merge-patch+json"


class Missing(SetupError):
    """There is no such object."""


class KubernetesApi:
    """A connection to the API server, as a service account."""

    def __init__(self, url: str, account: Path) -> None:
        """Set the URL, and the folder with `token` and `ca.crt` of the service account."""
        self._url = url.rstrip("/")
        self._account = account
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """Return an object or a list."""
        return await self._ask("GET", path, query=query)

    async def merge(self, path: str, change: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields of an object; return it."""
        return await self._ask("PATCH", path, body=change, content=MERGE)

    async def delete(self, path: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Delete an object with DeleteOptions; return it."""
        return await self._ask("DELETE", path, body=options)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
    ) -> dict[str, Any]:
        """Send one request.

        Raises:
            Missing: there is no such object.
            SetupError: the request is not allowed, or is invalid.
            ManagerUnavailable: no answer, or the object was changed concurrently.
        """
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": content}
        data = None if body is None else json.dumps(body)
        try:
            async with (
                asyncio.timeout(REQUEST_SECONDS),
                self._connected().request(
                    verb,
                    self._url + path,
                    params=query or {},
                    data=data,
                    headers=headers,
                    allow_redirects=False,
                ) as response,
            ):
                text = await response.text()
                found = json.loads(text)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            reason = str(error) or "no answer in time"
            raise ManagerUnavailable(f"cannot query Kubernetes: {reason}") from error
        if response.ok and isinstance(found, dict):
            return found
        raise _refusal(verb, path, response.status, found)

    def _token(self) -> str:
        """Read it for each request: the kubelet rotates it."""
        try:
            return (self._account / "token").read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise ManagerUnavailable(
                f"no token of a service account in {self._account}: {error}. Fix: run the node in "
                "the cluster, or set kubernetes_account"
            ) from error

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            authority = self._account / "ca.crt"
            try:
                context = ssl.create_default_context(cafile=authority)
            except OSError as error:
                raise ManagerUnavailable(f"cannot load {authority}: {error}") from error
            connector = aiohttp.TCPConnector(ssl=context, limit=8)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session


def _refusal(verb: str, path: str, status: int, answer: Any) -> Exception:
    message = answer.get("message") if isinstance(answer, dict) else None
    text = f"Kubernetes refused {verb} {path}: {message or f'status {status}'}"
    if status == NOT_FOUND:
        return Missing(f"{text}. Fix: create it, or correct targets.yml")
    if status in DENIED:
        fix = "apply the Role that `trading-ops node --rbac` prints"
        return SetupError(f"{text}. Fix: {fix}")
    if status == CONFLICT:
        return ManagerUnavailable(f"{text}: it was changed concurrently")
    if status == TOO_MANY or status >= FAILURES:
        return ManagerUnavailable(text)
    return SetupError(text)
