"""Parses requests strictly, and answers errors in one format, never with a traceback.

An error names the field and the allowed values.
"""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
from aiohttp import web

from trading_ops import logs
from trading_ops.api.auth import Role
from trading_ops.domain.target import Registry, Selection
from trading_ops.errors import (
    ClientError,
    CommitUnknown,
    RequestRefused,
    StoreError,
    TradingOpsError,
)
from trading_ops.store.search import PagePosition, read_position

log = logs.get(__name__)

JSON = "application/json"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUSES: Mapping[type[TradingOpsError], HTTPStatus] = {
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    RequestRefused: HTTPStatus.CONFLICT,
    ClientError: HTTPStatus.BAD_GATEWAY,
}


class Problem(msgspec.Struct, kw_only=True):
    """An error response."""

    error: str
    """Machine-readable code, such as `not_found`."""

    detail: str = ""
    """Human-readable message: the problem and the fix."""


def answer_problem(
    status: int, detail: str = "", headers: dict[str, str] | None = None
) -> web.Response:
    """Return the response for an error."""
    name = HTTPStatus(status).name.lower()
    body = msgspec.json.encode(Problem(error=name, detail=detail))
    return web.Response(status=status, body=body, content_type=JSON, headers=headers)


def unauthorized() -> web.Response:
    """Return 401: the same for every missing or invalid token."""
    return answer_problem(HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})


def forbidden(needed: Role) -> web.Response:
    """Return 403: the identity's role is too low."""
    return answer_problem(HTTPStatus.FORBIDDEN, f"requires the role {needed}")


def not_found(detail: str) -> NoReturn:
    """Answer 404."""
    raise web.HTTPNotFound(text=detail)


def conflict(detail: str) -> NoReturn:
    """Answer 409."""
    raise web.HTTPConflict(text=detail)


def invalid(detail: str) -> NoReturn:
    """Answer 422."""
    raise web.HTTPUnprocessableEntity(text=detail)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Convert every error to a response."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _http_problem(error)
    except TradingOpsError as error:
        return _own_problem(error)
    except ConnectionError:
        raise  # the client has disconnected
    except Exception:
        key = uuid.uuid4().hex[:12]
        log.exception("request_failed", method=request.method, path=request.path, error_id=key)
        detail = f"internal error; see the log, error_id {key}"
        return answer_problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def _own_problem(error: TradingOpsError) -> web.Response:
    """Return the response for one of our own errors, with its message."""
    detail = str(error)
    if isinstance(error, CommitUnknown):
        detail += "; check the state before you retry"
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return answer_problem(status, detail)
    return answer_problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)


def _http_problem(error: web.HTTPException) -> web.Response:
    """Return the response for an aiohttp error, whose default text only repeats the status."""
    text = (error.text or "").strip()
    detail = "" if text == f"{error.status}: {error.reason}" else text
    if error.status == HTTPStatus.NOT_FOUND and not detail:
        detail = "path not found"
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = "request body too large"
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    return answer_problem(error.status, detail, headers)


DEADLINE_SECONDS = 10.0
LIMIT = 1000
GREATEST = 2**62
"""Within the integer range of every database."""

PLAIN = r"^[^\u0000-\u001f\u007f]*$(?!\n)"
"""Text without control characters: it is logged, printed and stored."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=PLAIN)]
"""A name or a reason."""

Person = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=PLAIN)]
"""The operator behind a token, as given by the client."""

Note = Annotated[str, msgspec.Meta(max_length=500, pattern=PLAIN)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=PLAIN)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=LIMIT)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Cursor = Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[0-9]{1,19}_[!-~]{1,80}$(?!\n)")]
"""`next` of the previous page."""

Count = Annotated[int, msgspec.Meta(ge=0, le=GREATEST)]


class Selected(msgspec.Struct, kw_only=True):
    """The part of the fleet that a request is about; default: all."""

    team: Key | None = None
    """Only targets with this label `team` in targets.yml."""

    host: Key | None = None
    """Only targets on this host: their label `host`, by default their node."""

    def names(self, registry: Registry) -> frozenset[str] | None:
        """Return the names of the targets; None: no restriction.

        Raises:
            NothingSelected: no target has this team or host.
        """
        selection = Selection(team=self.team, host=self.host)
        return (
            frozenset(target.name for target in registry.select(selection)) if selection else None
        )


T = TypeVar("T")

_AT = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]*)`")
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")
_PLAIN = re.compile(PLAIN)
_NUMBERS = {"integer": "a whole number", "number": "a number"}
_KINDS = {"boolean": "true or false", "object": "an object whose values are texts"}


async def read_body(request: web.Request) -> bytes:
    """Return the body; 408 if it does not arrive in time."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="timeout while reading the request body") from error


async def read_json(request: web.Request, kind: type[T]) -> T:
    """Parse the JSON body; 422 if it is invalid."""
    try:
        return msgspec.json.decode(await read_body(request), type=kind)
    except msgspec.ValidationError as error:
        invalid(explain(str(error), kind, "the body"))
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        invalid(f"invalid JSON in the body: {str(error).removeprefix('JSON is malformed: ')}")


def read_query(request: web.Request, kind: type[T]) -> T:
    """Parse the query parameters; 422 if they are invalid."""
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name in given:
            invalid(f"`{name}` is given twice")
        _check_text(value, name)
        given[name] = value
    try:
        query = msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        invalid(explain(str(error), kind, "the query"))
    struct: Any = query
    # Not `msgspec.structs.fields`, which evaluates every annotation again.
    for encoded, name in zip(
        struct.__struct_encode_fields__, struct.__struct_fields__, strict=True
    ):
        # The converter would read the text `null` as None.
        if encoded in given and getattr(query, name) is None:
            invalid(f"`{encoded}` must not be null: omit it")
    return query


def read_path(request: web.Request, name: str) -> str:
    """Return a path parameter; 404 if no stored name can have its characters."""
    value = request.match_info[name]
    try:
        value.encode()
    except UnicodeError:
        value = "\0"
    if not _PLAIN.match(value):
        not_found("invalid characters in the path")
    return value


def place_of(cursor: str | None) -> PagePosition | None:
    """Parse the cursor of a page; 422 if it is invalid."""
    if cursor is None:
        return None
    place = read_position(cursor)
    if place is None:
        invalid("`cursor` must be the `next` of the previous page")
    return place


def _check_text(value: str, name: str) -> None:
    try:
        value.encode()
    except UnicodeError:
        invalid(f"`{name}` is not valid UTF-8")


def explain(message: str, kind: Any, place: str) -> str:
    """Return an error message for a type, from msgspec's message."""
    fields = fields_of(kind)
    if found := _MISSING.search(message):
        name = found.group(1)
        return f"`{name}` is missing: it must be {_allowed(fields, name)}"
    if found := _UNKNOWN.search(message):
        # The unknown name comes from the client: truncate it; JSON escapes the rest.
        known = ", ".join(fields) or "none"
        return f"unknown field `{found.group(1)[:50]}` in {place}: allowed: {known}"
    if (found := _AT.search(message)) and found.group(1):
        name = re.split(r"[.\[]", found.group(1))[0]
        return f"`{name}` must be {_allowed(fields, name)}"
    return f"{place} must be an object with {', '.join(fields)}"


def fields_of(kind: Any) -> Mapping[str, Mapping[str, Any]]:
    """Return the JSON schema of each field of a struct, references resolved."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="{name}")
    properties: Mapping[str, Mapping[str, Any]] = components[schema["$ref"]]["properties"]
    return {name: _resolved(field, components) for name, field in properties.items()}


def _resolved(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        return _resolved(components[schema["$ref"]], components)
    if "anyOf" in schema:
        return {**schema, "anyOf": [_resolved(option, components) for option in schema["anyOf"]]}
    return schema


def _allowed(fields: Mapping[str, Mapping[str, Any]], name: str) -> str:
    return _describe(fields[name]) if name in fields else "something else"


def _describe(schema: Mapping[str, Any]) -> str:
    """Describe the values that a schema allows."""
    if "anyOf" in schema:
        return " or ".join(
            _describe(option) for option in schema["anyOf"] if option.get("type") != "null"
        )
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    kind = str(schema.get("type"))
    if kind in _NUMBERS:
        return _NUMBERS[kind] + _range(schema)
    if schema.get("format") == "date-time":
        return "a time as 2026-03-01T12:00:00Z, or Unix seconds"
    if kind == "array":
        return "a list; each item " + _describe(schema.get("items", {}))
    return _KINDS.get(kind, "text" + _lengths(schema))


def _range(schema: Mapping[str, Any]) -> str:
    phrases = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    given = [f"{phrase} {schema[key]:g}" for key, phrase in phrases.items() if key in schema]
    return ", " + " and ".join(given) if given else ""


def _lengths(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    return f" of {least} to {most} characters without control characters" if most else ""
