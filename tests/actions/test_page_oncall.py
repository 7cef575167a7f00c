"""A notice pages one plain sentence, by a metric and a rule."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.builders import make_target
from tests.fakes import RecordingChannel
from trading_ops.actions.base import Call, Probe
from trading_ops.actions.page_oncall import LONGEST, PageOncall
from trading_ops.domain.attempt import AttemptId, DeliverySemantics
from trading_ops.domain.target import Kind
from trading_ops.errors import ActionError


@pytest.fixture
def call() -> Call:
    return Call(
        attempt_id=AttemptId("one"),
        fence=1,
        target=make_target(name="alpha"),
        params={"message": "Ada looks after alpha until 18:00"},
        within=timedelta(seconds=30),
    )


async def test_the_message_is_about_the_target(call: Call) -> None:
    """As it is, but for its spaces; a new line would end a mail's header."""
    channel = RecordingChannel(room=2)
    assert (
        await PageOncall(channel).perform(call)
        == "on-call is notified: Ada looks after alpha until 18:00"
    )
    spaced = replace(call, params={"message": " look \r\n at\tit "})
    await PageOncall(channel).perform(spaced)
    assert channel.messages == [
        ("alpha", "Ada looks after alpha until 18:00"),
        ("alpha", "look at it"),
    ]


@pytest.mark.parametrize(
    "message",
    ["", "  ", "x" * (LONGEST + 1), "see <a>", "{{ .Labels }}", 'a "b"', "a\\b", "nul\0", "\u202e"],
)
async def test_what_is_no_plain_sentence_is_not_reported(call: Call, message: str) -> None:
    """Nothing that a template, a shell or a page would take for more than words."""
    channel = RecordingChannel()
    with pytest.raises(ActionError, match="one sentence"):
        await PageOncall(channel).perform(replace(call, params={"message": message}))
    assert channel.messages == []


async def test_too_much_is_not_reported(call: Call) -> None:
    """A flood is no notice, and anyone who ordered it hears that it was not said."""
    with pytest.raises(ActionError, match="too many"):
        await PageOncall(RecordingChannel(room=0)).perform(call)


async def test_after_a_crash_it_may_be_reported_again(call: Call) -> None:
    """What is shown ends with its process; to say it twice is once, as the same alert."""
    action = PageOncall(RecordingChannel())
    assert await action.probe(call) is Probe.NOT_DONE
    assert await action.precondition(call) is None
    assert action.delivery is DeliverySemantics.IDEMPOTENT
    assert {Kind.FREQTRADE, Kind.BARE_BOT, Kind.VENUE} < action.kinds
