"""The forms: shows them, validates input, and sends it to the API."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from trading_ops import logs
from trading_ops.console.calls import problem_of
from trading_ops.console.orders import (
    HALT_ALL,
    LENGTHS,
    ORDERS,
    Order,
    new_key,
    outcome_of,
    values_of,
)
from trading_ops.console.pages import Page
from trading_ops.console.reading import Reading
from trading_ops.console.sessions import Notice
from trading_ops.console.visitor import Visitor, local
from trading_ops.domain.target import Registry
from trading_ops.errors import TradingOpsError

log = logs.get(__name__)

Form = Mapping[str, list[str]]


class Ordering:
    """Shows forms and executes them."""

    def __init__(self, reading: Reading, registry: Registry) -> None:
        self._reading = reading
        self._registry = registry

    async def show(self, visitor: Visitor) -> Page:
        """Show the form of an order."""
        values = {name: [value] for name, value in visitor.request.query.items()}
        return await self._form(visitor, values, problem="")

    async def carry_out(self, visitor: Visitor, form: Form) -> Page:
        """Execute an order and redirect to the next page, or show the form with the problem.

        Raises:
            web.HTTPSeeOther: it was carried out.
            web.HTTPForbidden: the role is too low.
        """
        order, subject = _order(visitor), _one(form, "subject")
        if order.typed and _one(form, "typed").casefold() != _confirmation(order, subject):
            problem = f"Type “{_confirmation(order, subject)}” to confirm."
            return await self._form(visitor, form, problem=problem)
        values = values_of(order, form, visitor.session.owner)
        try:
            answer = await visitor.calls(
                visitor.identity,
                order.call,
                path={order.path: subject} if order.path else {},
                query=values if order.in_query else None,
                body=None if order.in_query else values,
            )
        except web.HTTPForbidden:
            raise
        except web.HTTPException as error:
            return await self._form(visitor, form, problem=problem_of(error))
        except TradingOpsError as error:
            return await self._form(visitor, form, problem=str(error))
        finally:
            self._reading.forget()
        text, failed = outcome_of(answer)
        visitor.session.notices.append(Notice(text=text, failed=failed))
        raise web.HTTPSeeOther(local(_one(form, "next")))

    async def _form(self, visitor: Visitor, form: Form, *, problem: str) -> Page:
        order, subject = _order(visitor), _one(form, "subject")
        name = visitor.request.match_info["order"]
        if not visitor.can(name):
            raise web.HTTPForbidden(text=f"this needs the role {visitor.calls.role(order.call)}")
        actions = await self._actions(visitor) if name == "run" else []
        return "order.html", {
            "name": name,
            "what": order,
            "subject": subject,
            "title": order.title.format(subject=subject or "an action"),
            "confirmation": _confirmation(order, subject) if order.typed else "",
            "given": {key: one[0] for key, one in form.items() if one},
            "chosen": form.get("holds", []),
            "problem": problem,
            "next": local(_one(form, "next")),
            "key": _one(form, "key") or new_key(),
            "lengths": LENGTHS,
            "targets": self._targets(name),
            "holds": await self._holds(visitor, subject) if name == "resume" else [],
            "actions": actions,
            "params": next((one.params for one in actions if one.name == subject), []),
            "choose": name == "run" and not subject,
            "status": 422 if problem else 200,
        }

    def _targets(self, name: str) -> list[str]:
        among = self._registry.bots if name == "run" else self._registry
        return [one.name for one in among]

    async def _actions(self, visitor: Visitor) -> list[Any]:
        page = await visitor.get("/api/v1/actions")
        return [one for one in page.actions if visitor.identity.may(one.role)]

    async def _holds(self, visitor: Visitor, bot: str) -> list[Any]:
        page = await visitor.get("/api/v1/targets")
        return next((one.holds for one in page.targets if one.name == bot), [])


def _order(visitor: Visitor) -> Order:
    found = ORDERS.get(visitor.request.match_info["order"])
    if found is None:
        raise web.HTTPNotFound
    return found


def _one(form: Form, name: str) -> str:
    return (form.get(name) or [""])[0].strip()


def _confirmation(order: Order, subject: str) -> str:
    """Return the text that must be typed."""
    return (subject if order.path else HALT_ALL).casefold()
