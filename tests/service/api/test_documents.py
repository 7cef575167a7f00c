"""What is generated from the routes is what is committed."""

import json
from pathlib import Path

from tests.service.api.conftest import ask
from tests.service.reconciler.conftest import Start
from trading_ops.api.documents import BEGIN, put_in, route_table
from trading_ops.api.openapi import as_text, document
from trading_ops.api.routes import described

DOCS = Path(__file__).parents[3] / "docs"
FIX = "run: python -m trading_ops.api.documents"


def test_the_committed_openapi_is_that_of_the_routes() -> None:
    """Byte for byte."""
    assert (DOCS / "openapi.json").read_bytes() == as_text(described()), FIX


def test_the_committed_table_is_that_of_the_routes() -> None:
    """Every route with its role."""
    page = (DOCS / "api.md").read_text()
    assert BEGIN in page
    assert page == put_in(page, route_table(described())), FIX


async def test_it_is_served(start: Start) -> None:
    """Without a token: it says nothing that the repository does not."""
    async with start() as running:
        status, served = await ask(running, "GET", "/api/v1/openapi.json", None)
    assert status == 200
    assert served == json.loads(as_text(described()))


def test_every_reference_leads_somewhere() -> None:
    """And every operation has a name of its own, a summary, and its errors."""
    schema = document(described())
    text = json.dumps(schema)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in schema["components"]["schemas"]
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    assert (
        len({operation["operationId"] for operation in operations})
        == len(operations)
        == len(described())
    )
    for operation in operations:
        assert operation["summary"].endswith("."), operation["operationId"]
        assert "500" in operation["responses"]
        if operation["security"]:
            assert {"401", "403"} <= set(operation["responses"])
