"""Which targets a silence covers, and when it is too wide."""

from datetime import timedelta

import pytest

from tests.builders import NOW
from trading_ops.domain.silences import Coverage, Matcher, Silence, TooWide
from trading_ops.domain.target import Kind, Registry, Target

DAY = timedelta(days=1)
ALERTS = {
    "TradingBotDown": "bot",
    "TradingBotDiskLow": "bot",
    "TradingVenueDown": "venue",
    "TradingHostDiskLow": "instance",
    "TradingOpsPollFailing": "alertname",
    "Watchdog": "alertname",
}
BOTS = ("alpha", "beta")


def ours(*bots: str, **external: str) -> Coverage:
    """Return what is registered: bots on one venue."""
    targets = [Target(name="paper", kind=Kind.VENUE, address="v:1")]
    targets += [
        Target(name=bot, kind=Kind.BOT, address="b:1", venue="paper") for bot in bots or BOTS
    ]
    return Coverage(alerts=ALERTS, registry=Registry(tuple(targets)), external=external)


def silence(*matchers: Matcher, length: timedelta = timedelta(hours=1)) -> Silence:
    """Return one that starts now."""
    return Silence(
        id="1",
        starts_at=NOW,
        ends_at=NOW + length,
        created_by="ada",
        comment="",
        matchers=matchers,
    )


def regex(name: str, value: str) -> Matcher:
    return Matcher(name, value, is_regex=True)


DOWN = Matcher("alertname", "TradingBotDown")
ALPHA = Matcher("bot", "alpha")
CRITICAL = Matcher("severity", "critical")


@pytest.mark.parametrize(
    ("matchers", "covered"),
    [
        ((DOWN, ALPHA), {"alpha"}),
        ((ALPHA,), {"alpha"}),
        ((DOWN,), {"alpha", "beta"}),
        ((regex("bot", "alpha|beta"),), {"alpha", "beta"}),
        ((regex("bot", "alpha"), CRITICAL), {"alpha"}),
        ((Matcher("bot", "alpha", is_equal=False), DOWN), {"beta"}),
        ((regex("alertname", ".+"),), {"alpha", "beta", "paper"}),
        ((Matcher("alertname", "TradingVenueDown"),), {"paper"}),
        ((Matcher("venue", "paper"),), {"alpha", "beta", "paper"}),
        ((Matcher("alertname", "TradingHostDiskLow"), Matcher("instance", "a:1")), set()),
        ((Matcher("team", "checkout"),), set()),
        ((Matcher("alertname", "CheckoutSlow"),), set()),
    ],
)
def test_it_covers_the_targets_whose_alerts_it_may_match(
    matchers: tuple[Matcher, ...], covered: set[str]
) -> None:
    """By name and venue; other teams' silences cover nothing of ours."""
    assert {target.name for target in ours().covered(silence(*matchers))} == covered


@pytest.mark.parametrize(
    ("matchers", "bots", "is_wide"),
    [
        ((DOWN, ALPHA), BOTS, False),
        ((DOWN,), BOTS, True),
        ((DOWN,), ("alpha",), False),
        ((CRITICAL,), ("alpha",), True),
        ((regex("alertname", ".*"),), ("alpha",), True),
        ((Matcher("alertname", "Watchdog"),), BOTS, True),
        ((Matcher("severity", "none"),), BOTS, True),
        ((Matcher("alertname", "TradingHostDiskLow"),), BOTS, False),
        ((Matcher("alertname", "TradingOpsPollFailing"),), BOTS, False),
        ((Matcher("venue", "paper"),), ("alpha",), False),
        ((Matcher("venue", "paper"),), BOTS, True),
        ((Matcher("team", "checkout"), CRITICAL), BOTS, False),
        ((Matcher("team", "checkout", is_equal=False),), BOTS, True),
    ],
)
def test_it_is_too_wide_when_it_covers_more_than_one_target(
    matchers: tuple[Matcher, ...], bots: tuple[str, ...], is_wide: bool
) -> None:
    """Or our monitoring itself; in a fleet of one bot too."""
    reasons = ours(*bots).too_wide(silence(*matchers), longest=DAY)
    assert reasons == ({TooWide.TARGETS} if is_wide else set())


def test_it_is_too_long_only_if_it_silences_something_of_ours() -> None:
    """Another team may silence its own alerts for a year."""
    year = timedelta(days=365)
    long = silence(DOWN, ALPHA, length=year)
    assert ours().too_wide(long, longest=DAY) == {TooWide.LENGTH}
    assert ours().too_wide(long, longest=year) == set()
    host = silence(Matcher("alertname", "TradingHostDiskLow"), length=year)
    assert ours().too_wide(host, longest=DAY) == {TooWide.LENGTH}
    foreign = silence(Matcher("team", "checkout"), length=year)
    assert ours().too_wide(foreign, longest=DAY) == set()


def test_the_external_labels_of_prometheus_are_on_our_alerts() -> None:
    """A silence of this cluster covers them, one of another cluster does not."""
    here = silence(Matcher("cluster", "prod"), DOWN)
    assert ours(cluster="prod").covered(here)
    assert not ours(cluster="test").covered(here)


def test_a_pattern_is_never_run() -> None:
    """It may be written to take for ever; it counts as matching anything."""
    assert regex("bot", "(a+)+$").may_match("a" * 64 + "!")
    negated = Matcher("bot", "(a+)+$", is_regex=True, is_equal=False)
    assert negated.may_match("a" * 64)


@pytest.mark.parametrize(
    ("matcher", "text"),
    [
        (DOWN, 'alertname="TradingBotDown"'),
        (Matcher("bot", "a", is_equal=False), 'bot!="a"'),
        (regex("bot", "a|b"), 'bot=~"a|b"'),
        (Matcher("bot", "a|b", is_regex=True, is_equal=False), 'bot!~"a|b"'),
    ],
)
def test_it_is_written_as_in_alertmanager(matcher: Matcher, text: str) -> None:
    """So that it can be copied to amtool."""
    assert str(matcher) == text
