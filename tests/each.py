"""One test for many values: a check per value that takes microseconds needs no test of its own."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any


def each(
    argument: str, values: Iterable[Any], *, name: Callable[[Any], str] = str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test's body once per value, and report every value for which it fails.

    In place of `pytest.mark.parametrize` for cheap checks of rules, metrics and pages: a test per
    value costs each worker more than the check itself.

    Args:
        argument: the argument that takes the value.
        values: at least one.
        name: how a value is named in the failure.
    """
    chosen = list(values)
    assert chosen, f"no {argument} to test"

    def decorate(check: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(check)
        def run(*arguments: Any, **fixtures: Any) -> None:
            failures = []
            for value in chosen:
                try:
                    check(*arguments, **fixtures, **{argument: value})
                except AssertionError as error:
                    failures.append(f"{name(value)}: {error}")
            assert not failures, "\n".join(failures)

        signature = inspect.signature(check)
        left = [parameter for key, parameter in signature.parameters.items() if key != argument]
        run.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return run

    return decorate
