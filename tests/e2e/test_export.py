"""`trading-ops export` beside the stack that runs: what its own exporter would read."""

import re

import pytest

from tests.stack import Stack

pytestmark = pytest.mark.slow

UP = re.compile(r'^trading_process_up\{process="(.+)"\} (\S+)$', re.MULTILINE)


def test_every_process_of_the_stack_is_found(stack: Stack) -> None:
    """By the lives that the supervisor writes down."""
    targets = str(stack.settings.targets_file)
    done = stack.run("export", "--targets", targets, "--once", "processes", "host")
    assert done.returncode == 0, done.stderr
    supervised = [target.name for target in stack.registry if target.service]
    assert dict(UP.findall(done.stdout)) == dict.fromkeys(supervised, "1.0")
    assert done.stderr.count(": ok\n") == 2
