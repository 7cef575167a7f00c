"""Facts in any order, doubled or lost, end in the same state: that of the last look around."""

from datetime import timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.open_incidents import open_incidents
from tests.property.incident_driver import BOTS, Alert, IncidentDriver
from trading_ops.domain.attempt import AttemptState
from trading_ops.store import attempts

facts = st.lists(
    st.tuples(st.sampled_from(["fires", "ends"]), st.sampled_from(BOTS[:3])), max_size=10
)


def rest(reported: list[tuple[str, str]], firing: set[Alert]) -> tuple[object, ...]:
    """Tell these facts, then look around until nothing changes; return what is left."""
    driver = IncidentDriver(firing=firing)
    try:
        for kind, bot in reported:
            (driver.notify if kind == "fires" else driver.notify_resolved)(("BotDown", bot))
        for _ in range(4):
            driver.make_pass()
            for attempt in attempts.running(driver.connection):
                attempts.finish(
                    driver.connection,
                    attempt,
                    AttemptState.FAILED,
                    detail="",
                    now=driver.now,
                    only_from=(attempt.state,),
                )
            driver.commit()
            driver.now += timedelta(seconds=60)
        left = open_incidents(driver.connection)
        done = attempts.of_open_incidents(driver.connection)
        return (
            sorted((incident.fingerprint, incident.escalated_at is not None) for incident in left),
            sorted(tuple(step.action for step in steps) for steps in done.values()),
            attempts.running(driver.connection),
        )
    finally:
        driver.end()


@settings(max_examples=max(5, settings().max_examples // 16), deadline=None)
@given(facts, st.sets(st.sampled_from(BOTS[:3])), st.randoms(use_true_random=False))
def test_the_order_of_facts_does_not_matter(
    reported: list[tuple[str, str]], firing: set[str], random: Random
) -> None:
    """What fires in the end is what is worked on, and it ends with the same on-call engineer."""
    truth = {("BotDown", bot) for bot in firing}
    # Of what has long ended, only its end: several others that look unhealthy for a moment make
    # the fleet look unhealthy, and on-call is paged instead. That errs to the safe side.
    reported = [(kind, bot) for kind, bot in reported if kind == "ends" or bot in firing]
    doubled = reported + random.sample(reported, k=len(reported) // 2)
    random.shuffle(doubled)
    kept = [fact for fact in doubled if random.random() < 0.7]
    expected = rest([], set(truth))  # every notification was lost
    assert rest(reported, set(truth)) == expected
    assert rest(doubled, set(truth)) == expected
    assert rest(kept, set(truth)) == expected
