"""What Prometheus does not answer is unknown."""

import aiohttp

from trading_ops import clock
from trading_ops.capacity.limits import Choices
from trading_ops.capacity.plan import Level
from trading_ops.capacity.read import Capacity
from trading_ops.clients.http import Http
from trading_ops.clients.prometheus import Prometheus


async def test_a_prometheus_that_does_not_answer_is_unknown() -> None:
    """Every resource is listed, and none of them is ok."""
    async with aiohttp.ClientSession() as session:
        prometheus = Prometheus(Http(session, "http://127.0.0.1:9"))
        plan = await Capacity(prometheus, Choices).plan(now=clock.now())
    assert len(plan.resources) >= 14
    assert {resource.level for resource in plan.resources} == {Level.UNKNOWN}
    assert plan.bottlenecks == []
