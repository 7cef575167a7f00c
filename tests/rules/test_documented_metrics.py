"""What the documents say of metrics is what the catalogue says, and the examples are the files."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.each import each
from tests.rules.configuration import ROOT, read_yaml
from tests.rules.documented import DOCS, METRICS, PAGES, blocks, metric_names_in, unknown_metrics
from tests.unit.stack.registries import changed
from trading_ops.instrument import CATALOGUE, Metric
from trading_ops.instrument.documents import page, topics

INSTRUMENT = DOCS / "instrument-your-bot.md"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
JOBS = {
    scrape_config["job_name"]
    for scrape_config in read_yaml(ROOT / "prometheus" / "prometheus.yml")["scrape_configs"]
}
BEFORE = "  - name: exporter\n"


def shown(path: Path) -> str:
    """Return a path as it is named in the repository."""
    return str(path.relative_to(ROOT))


def test_the_page_of_all_metrics_is_what_the_catalogue_says() -> None:
    """Byte for byte: no one has edited it, and no one has forgotten to write it again."""
    assert METRICS.read_text(encoding="utf-8") == page()


@each("path", PAGES, name=shown)
def test_every_code_block_is_closed(path: Path) -> None:
    """One that is not shows the rest of the page as code."""
    fences = re.findall(r"^ *```", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) % 2 == 0


@each("path", PAGES, name=shown)
def test_a_query_asks_for_a_job_that_is_scraped(path: Path) -> None:
    """One of another name returns nothing, and nothing looks like all is well."""
    asked = set(re.findall(r'\bjob="([^"]*)"', path.read_text(encoding="utf-8")))
    assert asked <= JOBS


def test_the_command_writes_the_same_and_notices_a_difference(tmp_path: Path) -> None:
    """As `python -m` in a folder of its own; --check writes nothing."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-W", "error"]
        return subprocess.run(
            [*command, "-m", "trading_ops.instrument.documents", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    (tmp_path / "docs").mkdir()
    missing = run("--check")
    assert (missing.returncode, missing.stderr.count("Fix: run")) == (1, 1)
    assert not (tmp_path / "docs" / "metrics.md").exists()
    assert run().returncode == 0
    written = tmp_path / "docs" / "metrics.md"
    assert written.read_bytes() == METRICS.read_bytes()
    assert run("--check").returncode == 0
    written.write_text(written.read_text() + "more\n")
    assert run("--check").returncode == 1


@each("metric", CATALOGUE, name=lambda metric: metric.name)
def test_every_entry_is_on_the_page(metric: Metric) -> None:
    """Once, with everything that the entry says."""
    text = METRICS.read_text(encoding="utf-8")
    _, _, after = text.partition(f"\n#### {metric.name}\n")
    entry = re.split(r"^#", after, maxsplit=1, flags=re.MULTILINE)[0]
    assert text.count(f"\n#### {metric.name}\n") == 1
    facts = entry.strip().partition("\n")[0]
    assert facts.startswith(metric.kind)
    assert ("**vital**" in facts) is metric.vital
    expected = [metric.unit, metric.exemplar, *metric.labels]
    expected += [value for values in metric.values.values() for value in values]
    assert all(value in facts for value in expected)
    assert metric.help in entry
    assert metric.why in entry
    assert all(f"{bound:g}" in entry for bound in metric.buckets)


def test_every_topic_has_its_own_heading() -> None:
    """Two files with one title could not be distinguished in the page."""
    titles = [topic.title for topic in topics()]
    assert len(set(titles)) == len(titles) > 10


@each("path", PAGES, name=shown)
def test_documents_name_only_metrics_that_exist(path: Path) -> None:
    """Anyone who asks Prometheus for what a page names must not get an empty answer."""
    assert not unknown_metrics(path.read_text(encoding="utf-8"))


def test_a_metric_that_does_not_exist_is_noticed() -> None:
    """And a module, a path or a table of the same prefix is not taken for one."""
    text = (
        "`trading_sate{x}` in trading_ops/instrument/topics, trading_ops.instrument, trading_state"
    )
    assert metric_names_in(text) == {"trading_sate", "trading_state"}
    assert unknown_metrics(text) == {"trading_sate"}


LINKED = {"share_bot.py": "brokers.md"}
"""Examples that a page links instead of showing them whole."""


def test_the_examples_on_the_page_are_the_files() -> None:
    """Whole and in order of the page: what is read is what the tests run."""
    shown = list(blocks(INSTRUMENT, "python"))
    files = {
        path.read_text(encoding="utf-8"): path.name for path in EXAMPLES if path.name not in LINKED
    }
    assert sorted(files[text] for text in shown[1:]) == sorted(files.values())
    for name, where in LINKED.items():
        assert f"(../examples/{name})" in (ROOT / "docs" / where).read_text(encoding="utf-8")
    # The first block is the three lines, which are in an example too.
    bare = (ROOT / "examples" / "bare_metrics.py").read_text(encoding="utf-8")
    for line in shown[0].splitlines():
        assert line.partition("(")[0] in bare


@each("path", EXAMPLES, name=shown)
def test_an_example_fits_a_screen(path: Path) -> None:
    """The first ones are read whole."""
    lines = path.read_text(encoding="utf-8").splitlines()
    limits = {"bare_metrics.py": 25, "asyncio_bot.py": 40, "ccxt_bot.py": 225, "share_bot.py": 265}
    assert len(lines) <= limits.get(path.name, 120)


def test_the_entries_of_the_registry_that_the_page_shows_are_taken() -> None:
    """Each of them, as it stands there."""
    shown = list(blocks(INSTRUMENT, "yaml"))
    assert shown
    for number, block in enumerate(shown):
        entry = textwrap.indent(textwrap.dedent(block), "  ").replace("mybot", f"mybot{number}")
        assert changed((BEFORE, f"{entry}\n{BEFORE}")).find(f"mybot{number}") is not None
