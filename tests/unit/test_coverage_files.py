"""What a killed process leaves of its coverage data is no warning, and costs no one else's data."""

import warnings
from pathlib import Path

import coverage

from tests.coverage_files import remove_unfinished


def test_only_complete_files_are_combined(tmp_path: Path) -> None:
    """Without the removal, combining warns of the half of a file."""
    data_file = tmp_path / ".coverage"
    complete = coverage.CoverageData(str(data_file), suffix=True)
    complete.add_lines({"a.py": [1, 2]})
    complete.write()
    half = coverage.CoverageData(str(data_file), suffix=True)
    half.add_lines({"a.py": [3]})
    half.close()
    Path(half.data_filename()).write_bytes(Path(half.data_filename()).read_bytes()[:5000])

    remove_unfinished(tmp_path)

    combined = coverage.Coverage(data_file=str(data_file), config_file=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        combined.combine()
    assert combined.get_data().lines("a.py") == [1, 2]
