"""The sum of what threads waited: it grows with each of them, and never shrinks."""

from pathlib import Path

import pytest

from trading_ops.exporter.cpu_wait import CpuWait


def thread(proc: Path, number: int, waited: int) -> Path:
    folder = proc / "7" / "task" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schedstat").write_text(f"999 {waited} 3\n")
    return folder


def test_threads_that_come_and_go_never_lower_the_sum(tmp_path: Path) -> None:
    """A number that is used again counts from its beginning."""
    thread(tmp_path, 7, 1_000_000_000)
    ends = thread(tmp_path, 8, 500_000_000)
    wait = CpuWait(7, tmp_path)
    assert wait.read() == pytest.approx(1.5)
    thread(tmp_path, 7, 1_200_000_000)
    (ends / "schedstat").unlink()
    ends.rmdir()
    assert wait.read() == pytest.approx(1.7)
    thread(tmp_path, 8, 100_000_000)
    assert wait.read() == pytest.approx(1.8)
    thread(tmp_path, 8, 50_000_000)
    assert wait.read() == pytest.approx(1.85)


@pytest.mark.parametrize("text", ["", "1", "1 many 2"])
def test_a_kernel_that_does_not_count_gives_nothing(tmp_path: Path, text: str) -> None:
    """Rather than zero, which would mean that nothing waits."""
    (thread(tmp_path, 7, 0) / "schedstat").write_text(text)
    assert CpuWait(7, tmp_path).read() is None
    assert CpuWait(8, tmp_path).read() is None
