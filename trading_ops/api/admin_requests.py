"""Counts the requests that need the role admin, whether the API or the console makes them."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import wraps
from typing import Any

from trading_ops.actions.registry import ACTIONS
from trading_ops.api.auth import Role
from trading_ops.api.catalogue import role_of_action
from trading_ops.api.route import Route

Count = Callable[[str], None]
"""Called with the operation of each request whose token has the role."""


def admin_operations(table: Iterable[Route]) -> tuple[str, ...]:
    """Return the operations that need the role admin: handlers of routes, and one-shot actions."""
    handlers = (entry.handler.__name__ for entry in table if entry.role is Role.ADMIN)
    return (*handlers, *(name for name in ACTIONS if role_of_action(name) is Role.ADMIN))


def count_admin_requests(table: Iterable[Route], count: Count) -> list[Route]:
    """Return the routes, with those counted that need the role admin."""
    return [
        replace(entry, handler=_counted(entry.handler, count))
        if entry.role is Role.ADMIN
        else entry
        for entry in table
    ]


def _counted(handler: Callable[..., Awaitable[Any]], count: Count) -> Callable[..., Awaitable[Any]]:
    @wraps(handler)
    async def carry_out(**given: Any) -> Any:
        count(handler.__name__)
        return await handler(**given)

    return carry_out
