"""The API's OpenAPI document as rows of a page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

REFERENCE = "#/components/schemas/"


@dataclass(frozen=True, kw_only=True)
class ApiOperation:
    """One operation."""

    method: str
    path: str
    summary: str
    role: str
    parameters: Sequence[tuple[str, str, str]]
    """Name, place and type."""

    body: str
    answer: str
    statuses: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Schema:
    """A type of request or response bodies."""

    name: str
    description: str
    fields: Sequence[tuple[str, str, bool]]
    """Name, type, and whether it is required."""

    values: Sequence[str] = ()
    """Values of an enumeration."""


def operations(described: Mapping[str, Any], tag: str) -> list[ApiOperation]:
    """Return the operations of one tag."""
    return [_operation(*entry) for entry in _tagged(described, tag)]


def schemas(described: Mapping[str, Any], tag: str) -> list[Schema]:
    """Return the types that these operations use, directly or indirectly."""
    components = described["components"]["schemas"]
    wanted = list(_references([operation for _, _, operation in _tagged(described, tag)]))
    found: dict[str, Schema] = {}
    while wanted:
        name = wanted.pop()
        if name in found or name == "Problem":
            continue
        schema = components[name]
        found[name] = _schema(name, schema)
        wanted += _references(schema)
    return [found[name] for name in sorted(found)]


def _tagged(described: Mapping[str, Any], tag: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield method.upper(), path, operation


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> ApiOperation:
    succeeded = next(iter(operation["responses"].values()))
    return ApiOperation(
        method=method,
        path=path,
        summary=operation["summary"],
        role=operation["x-role"],
        parameters=[
            (given["name"], given["in"], _type(given["schema"]))
            for given in operation["parameters"]
        ],
        body=_content(operation.get("requestBody", {})),
        answer=_content(succeeded),
        statuses=list(operation["responses"]),
    )


def _content(holder: Mapping[str, Any]) -> str:
    for media, content in holder.get("content", {}).items():
        return _type(content["schema"]) if "schema" in content else str(media)
    return ""


def _schema(name: str, schema: Mapping[str, Any]) -> Schema:
    required = schema.get("required", ())
    return Schema(
        name=name,
        description=str(schema.get("description", "")).split("\n\n")[0],
        fields=[
            (field, _type(field_schema), field in required)
            for field, field_schema in schema.get("properties", {}).items()
        ],
        values=[str(value) for value in schema.get("enum", ())],
    )


def _type(schema: Any) -> str:
    if not isinstance(schema, Mapping):  # JSON Schema's short form for anything
        return "any"
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(REFERENCE)
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(str(value) for value in schema["enum"])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format", kind))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if "$ref" in value:
            yield str(value["$ref"]).removeprefix(REFERENCE)
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
