"""Minimal HTTP for scrapes: one request head, one response, then the connection closes."""

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Self
from urllib.parse import urlsplit

HEAD_LIMIT = 8192
"""Maximum bytes of a request's line and headers; Prometheus sends about 300."""

_VERSIONS = ("HTTP/1.1", "HTTP/1.0")


class BadHead(Exception):
    """Invalid HTTP request head; the message gives the reason without quoting the request."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A parsed request head."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    """By name in lower case; the first one of each name."""


def parse_head(head: bytes) -> Request:
    """Return the request.

    Raises:
        BadHead: its line or a header is malformed.
    """
    # As aiohttp decodes it, so that a token of any bytes is compared in the same way.
    first, *lines = head.decode("utf-8", "surrogateescape").removesuffix("\r\n\r\n").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or parts[2] not in _VERSIONS:  # noqa: PLR2004 - method, target, version
        raise BadHead("the first line is not METHOD TARGET HTTP/1.1")
    try:
        target = urlsplit(parts[1])
    except ValueError as error:
        raise BadHead("the request target is not a URL") from error
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadHead("a header is not NAME: VALUE")
        headers.setdefault(name.lower(), value.strip())
    return Request(method=parts[0], path=target.path, query=target.query, headers=headers)


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int
    body: bytes
    content_type: str
    headers: dict[str, str] = field(default_factory=dict)
    with_body: bool = True

    @classmethod
    def refusal(cls, status: int, error: str, detail: str, **headers: str) -> Self:
        """Return an error response in JSON, in the agent's format."""
        body = json.dumps({"error": error, "detail": detail}).encode()
        return cls(status, body, "application/json; charset=utf-8", headers)

    def without_body(self) -> Self:
        """Return the response to HEAD: the same headers without the body."""
        return replace(self, with_body=False)

    def encoded(self) -> bytes:
        """Return the response as bytes."""
        headers = {
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
            "Connection": "close",
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return head + self.body if self.with_body else head


def bearer_is_one_of(header: str | None, tokens: Iterable[str]) -> bool:
    """Whether an Authorization header has one of these tokens; an empty token never matches."""
    scheme, _, given = (header or "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    candidate = given.strip().encode("utf-8", "surrogateescape")
    # No short cut on the first hit: each comparison takes its time.
    hits = [
        hmac.compare_digest(candidate, token.encode("utf-8")) for token in tokens if token != ""
    ]
    return any(hits)
