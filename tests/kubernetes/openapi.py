"""The OpenAPI document that Kubernetes publishes: what it says of a request and of an object."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MODULE = "k8s.io/kubernetes@v1.34.2"
TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "number": (int, float),
}


class OpenApi:
    """The document, from Kubernetes' own source."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._definitions = document["definitions"]
        self._paths = [
            (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operations)
            for path, operations in document["paths"].items()
        ]
        self._kinds = {
            (kind["group"], kind["version"], kind["kind"]): name
            for name, definition in self._definitions.items()
            for kind in definition.get("x-kubernetes-group-version-kind", ())
        }

    @classmethod
    def published(cls) -> "OpenApi | None":
        """Download it with Go; None where that cannot be done."""
        if shutil.which("go") is None:
            return None
        command = ["go", "mod", "download", "-json", MODULE]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            return None
        file = Path(json.loads(done.stdout)["Dir"]) / "api" / "openapi-spec" / "swagger.json"
        return cls(json.loads(file.read_text(encoding="utf-8")))

    def faults_of_request(
        self, method: str, path: str, query: Mapping[str, str], content: str, body: Any
    ) -> Iterator[str]:
        """Yield what is wrong with a request."""
        operations = next((item for form, item in self._paths if form.fullmatch(path)), None)
        operation = (operations or {}).get(method.lower())
        if operations is None or operation is None:
            yield f"there is no {method} {path}"
            return
        parameters = [*operation.get("parameters", ()), *operations.get("parameters", ())]
        known = {parameter["name"] for parameter in parameters if parameter.get("in") == "query"}
        known |= {
            parameter["$ref"].split("/")[-1].rsplit("-", 1)[0]
            for parameter in parameters
            if "$ref" in parameter
        }
        yield from (f"{method} {path}: unknown query {name}" for name in query if name not in known)
        if body is None:
            return
        consumed = operation.get("consumes", ["*/*"])
        if "*/*" not in consumed and content not in consumed:
            yield f"{method} {path}: it does not take {content}"
        # A merge patch has the form of the object, with any of its fields.
        answer = operation["responses"]["200"]["schema"]
        schema = {"$ref": _DELETE_OPTIONS} if method == "DELETE" else answer
        yield from self.faults(body, schema, path)

    def faults_of_object(self, found: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with a manifest."""
        group, _, version = found["apiVersion"].rpartition("/")
        name = self._kinds.get((group, version, found["kind"]))
        if name is None:
            yield f"there is no {found['kind']} in {found['apiVersion']}"
            return
        where = f"{found['kind']} {found['metadata']['name']}"
        yield from self.faults(found, {"$ref": f"#/definitions/{name}"}, where)
        yield from self._missing(found, {"$ref": f"#/definitions/{name}"}, where)

    def faults(self, value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
        """Yield unknown fields, and values of another type."""
        schema = self._resolved(schema)
        kind = schema.get("type", "object")
        if kind == "array" and isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.faults(item, schema["items"], f"{where}[{index}]")
        elif kind == "object" and isinstance(value, dict):
            other = schema.get("additionalProperties")
            for key, item in value.items():
                inner = schema.get("properties", {}).get(key) or other
                if inner is not None:
                    yield from self.faults(item, inner, f"{where}.{key}")
                elif "properties" in schema:
                    yield f"{where}: unknown field {key}"
        elif not _is_of(value, kind, schema.get("format", "")):
            yield f"{where}: {value!r} is not of type {kind}"

    def _missing(self, value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
        schema = self._resolved(schema)
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._missing(item, schema.get("items", {}), f"{where}[{index}]")
        elif isinstance(value, dict):
            yield from (
                f"{where}: {key} is missing"
                for key in schema.get("required", ())
                if key not in value
            )
            for key, item in value.items():
                inner = schema.get("properties", {}).get(key, {})
                yield from self._missing(item, inner, f"{where}.{key}")

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].removeprefix("#/definitions/")]
        return schema


def _is_of(value: Any, kind: str, form: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if form == "int-or-string":
        return isinstance(value, int | str)
    return kind in TYPES and isinstance(value, TYPES[kind])


_DELETE_OPTIONS = "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
