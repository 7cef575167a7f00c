"""The forms: shows them, validates input, and sends it to the API."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from trading_ops import logs
from trading_ops.console.calls import problem_of
from trading_ops.console.forms import (
    FORMS,
    HALT_ALL,
    LENGTHS,
    Form,
    new_key,
    outcome_of,
    values_of,
)
from trading_ops.console.pages import Page
from trading_ops.console.reading import FleetReader
from trading_ops.console.sessions import Notice
from trading_ops.console.visitor import Visitor, local
from trading_ops.domain.target import Registry
from trading_ops.errors import TradingOpsError

log = logs.get(__name__)

Posted = Mapping[str, list[str]]


class FormHandlers:
    """Shows forms and executes them."""

    def __init__(self, reading: FleetReader, registry: Registry) -> None:
        self._reading = reading
        self._registry = registry

    async def show(self, visitor: Visitor) -> Page:
        """Show a form."""
        values = {name: [value] for name, value in visitor.request.query.items()}
        return await self._form(visitor, values, problem="")

    async def carry_out(self, visitor: Visitor, posted: Posted) -> Page:
        """Send a form to the API, and redirect to the next page, or show the form with the problem.

        Raises:
            web.HTTPSeeOther: it was carried out.
            web.HTTPForbidden: the role is too low.
        """
        form, subject = _form_of(visitor), _one(posted, "subject")
        if form.typed and _one(posted, "typed").casefold() != _confirmation(form, subject):
            problem = f"Type “{_confirmation(form, subject)}” to confirm."
            return await self._form(visitor, posted, problem=problem)
        values = values_of(form, posted, visitor.session.owner)
        try:
            answer = await visitor.calls(
                visitor.identity,
                form.call,
                path={form.path: subject} if form.path else {},
                query=values if form.in_query else None,
                body=None if form.in_query else values,
            )
        except web.HTTPForbidden:
            raise
        except web.HTTPException as error:
            return await self._form(visitor, posted, problem=problem_of(error))
        except TradingOpsError as error:
            return await self._form(visitor, posted, problem=str(error))
        finally:
            self._reading.forget()
        text, failed = outcome_of(answer)
        visitor.session.notices.append(Notice(text=text, failed=failed))
        raise web.HTTPSeeOther(local(_one(posted, "next")))

    async def _form(self, visitor: Visitor, posted: Posted, *, problem: str) -> Page:
        form, subject = _form_of(visitor), _one(posted, "subject")
        name = visitor.request.match_info["form"]
        if not visitor.can(name):
            raise web.HTTPForbidden(text=f"this needs the role {visitor.calls.role(form.call)}")
        actions = await self._actions(visitor) if name == "run" else []
        return "order.html", {
            "name": name,
            "what": form,
            "subject": subject,
            "title": form.title.format(subject=subject or "an action"),
            "confirmation": _confirmation(form, subject) if form.typed else "",
            "given": {key: values[0] for key, values in posted.items() if values},
            "chosen": posted.get("holds", []),
            "problem": problem,
            "next": local(_one(posted, "next")),
            "key": _one(posted, "key") or new_key(),
            "lengths": LENGTHS,
            "targets": self._targets(name),
            "holds": await self._holds(visitor, subject) if name == "resume" else [],
            "actions": actions,
            "params": next((action.params for action in actions if action.name == subject), []),
            "choose": name == "run" and not subject,
            "status": 422 if problem else 200,
        }

    def _targets(self, name: str) -> list[str]:
        among = self._registry.bots if name == "run" else self._registry
        return [choice.name for choice in among]

    async def _actions(self, visitor: Visitor) -> list[Any]:
        page = await visitor.get("/api/v1/actions")
        return [action for action in page.actions if visitor.identity.may(action.role)]

    async def _holds(self, visitor: Visitor, bot: str) -> list[Any]:
        page = await visitor.get("/api/v1/targets")
        return next((target.holds for target in page.targets if target.name == bot), [])


def _form_of(visitor: Visitor) -> Form:
    found = FORMS.get(visitor.request.match_info["form"])
    if found is None:
        raise web.HTTPNotFound
    return found


def _one(posted: Posted, name: str) -> str:
    return (posted.get(name) or [""])[0].strip()


def _confirmation(form: Form, subject: str) -> str:
    """Return the text that must be typed."""
    return (subject if form.path else HALT_ALL).casefold()
