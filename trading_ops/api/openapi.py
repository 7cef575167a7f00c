"""Generates the OpenAPI document from the table of routes."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from trading_ops import __version__
from trading_ops.api.auth import Role
from trading_ops.api.requests import JSON, Problem, fields_of
from trading_ops.api.route import Route

PATH = "/api/v1/openapi.json"
DESCRIPTION = """\
The API of the reconciler. Send tokens in the header \
`Authorization: Bearer …`; `x-role` is the role that an operation requires. See docs/api.md."""


def document(table: Iterable[Route]) -> dict[str, Any]:
    """Return the document as JSON values."""
    routes = list(table)
    schemas, components = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "trading-ops reconciler",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def as_text(table: Iterable[Route]) -> bytes:
    """Return the document as committed."""
    return msgspec.json.format(msgspec.json.encode(document(table)), indent=2) + b"\n"


class OpenApi:
    """Serves the document."""

    def __init__(self) -> None:
        self._table: Iterable[Route] = ()
        self._body = b""

    def describe(self, table: Iterable[Route]) -> None:
        """Set the table; the first request builds the document, so that a start is not slower."""
        self._table, self._body = table, b""

    async def show(self) -> web.Response:
        """Return this document."""
        self._body = self._body or msgspec.json.encode(document(self._table))
        return web.Response(body=self._body, content_type=JSON)


def _schemas(routes: list[Route]) -> tuple[Mapping[Any, Any], Mapping[str, Any]]:
    """Return the schemas of all request and response types, and the components."""
    kinds = [Problem]
    for route in routes:
        kinds += [kind for kind in (route.takes.get("body"), _json_of(route)) if kind is not None]
    kinds = list(dict.fromkeys(kinds))
    schemas, components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    return dict(zip(kinds, schemas, strict=True)), dict(sorted(components.items()))


def _json_of(route: Route) -> Any:
    """Return the response type, if the response is JSON."""
    is_response = isinstance(route.gives, type) and issubclass(route.gives, web.StreamResponse)
    return None if is_response else route.gives


def _operation(route: Route, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _name(route),
        "summary": route.summary,
        "tags": [route.tag],
        "x-role": route.role.value,
        "security": [] if route.role is Role.ANYONE else [{"token": []}],
        "parameters": _parameters(route),
        "responses": _responses(route, schemas),
    }
    if (body := route.takes.get("body")) is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": schemas[body]}}}
    elif route.role is Role.INTAKE:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": {}}}}
    return operation


def _name(route: Route) -> str:
    kind = route.handler.__qualname__.split(".")[0]
    return f"{kind[0].lower()}{kind[1:]}_{route.handler.__name__}"


def _parameters(route: Route) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in route.in_path
    ]
    if (query := route.takes.get("query")) is not None:
        required = {field.name for field in msgspec.structs.fields(query) if field.required}
        found += [
            {"name": name, "in": "query", "required": name in required, "schema": _plain(schema)}
            for name, schema in fields_of(query).items()
        ]
    return found


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter's schema without null: it is omitted instead."""
    plain = {key: value for key, value in schema.items() if value is not None}
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        del plain["anyOf"]
        plain |= options[0]
    if plain.get("format") == "date-time":
        # A query also accepts seconds since the epoch, which need no URL encoding.
        return {"anyOf": [plain, {"type": "number"}]}
    return plain


def _responses(route: Route, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if (kind := _json_of(route)) is not None:
        success["content"] = {JSON: {"schema": schemas[kind]}}
    elif route.gives is not None and route.status == HTTPStatus.OK:
        success["content"] = {
            route.media: {"schema": {} if route.media == JSON else {"type": "string"}}
        }
    problem = {JSON: {"schema": schemas[Problem]}}
    errors = {
        str(status): {"description": HTTPStatus(status).phrase, "content": problem}
        for status in (*route.errors, int(HTTPStatus.INTERNAL_SERVER_ERROR))
        if status != HTTPStatus.SERVICE_UNAVAILABLE
    }
    errors["503"] = {"description": "The database does not answer", "content": problem}
    return {str(route.status): success, **dict(sorted(errors.items()))}
