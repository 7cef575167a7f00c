"""`GET /api/v1/capacity`: bounded, cached, and unknown where there is no data."""

import re
from pathlib import Path

from tests.service.api.conftest import ask
from tests.service.reconciler.conftest import Start


async def test_without_data_everything_is_unknown(start: Start) -> None:
    """Prometheus here answers no range query: each resource is listed and none is ok."""
    async with start() as running:
        plan = await running.call("GET", "/api/v1/capacity")
        assert {resource["level"] for resource in plan["resources"]} == {"unknown"}
        assert len({resource["resource"] for resource in plan["resources"]}) >= 14
        assert plan["bottlenecks"] == []
        of_bot = await running.call("GET", "/api/v1/capacity?bot=alpha")
        assert 0 < len(of_bot["resources"]) < len(plan["resources"])


async def test_a_wrong_question_or_file_is_refused(start: Start, tmp_path: Path) -> None:
    """An unknown bot, and a capacity.yml with a mistake: the reconciler runs all the same."""
    path = tmp_path / "capacity.yml"
    path.write_text("thresholds: {dsk: {warning: 0.5, critical: 0.6}}\n")
    async with start(capacity_file=path) as running:
        status, _ = await ask(running, "GET", "/api/v1/capacity?bot=nobody")
        assert status == 404
        status, problem = await ask(running, "GET", "/api/v1/capacity")
        assert status == 422
        assert re.search(r"capacity\.yml.*thresholds\.dsk", problem["detail"])
