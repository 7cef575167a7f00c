"""notify.yml and the URLs: what is refused, and in which words."""

import textwrap
from pathlib import Path

import pytest

from trading_ops.errors import ConfigError
from trading_ops.notify.channels import load_channels
from trading_ops.notify.config import load_notify

DAY = "from: '07:00', to: '08:00'"
ROUTE = "routes: [{name: all, to: [mail]}]"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_no_file_is_no_messages(tmp_path: Path) -> None:
    assert load_notify(tmp_path / "notify.yml") is None


def test_the_documented_example_is_valid(tmp_path: Path) -> None:
    """Both blocks of docs/messages.md."""
    page = (Path(__file__).parents[3] / "docs" / "messages.md").read_text()
    yaml = textwrap.dedent(page.partition("```yaml\n")[2].partition("   ```")[0])
    config = load_notify(write(tmp_path / "notify.yml", yaml))
    assert config is not None
    urls = textwrap.dedent(page.partition("```\n")[2].partition("   ```")[0])
    assert set(load_channels(write(tmp_path / "urls", urls))) == set(config.channels)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("routes: [", "line"),
        ("version: 2\n" + ROUTE, "version"),
        ("version: 1\nroutes: []", "routes"),
        ("version: 1\nroute: []", "`route`"),
        ("version: 1\nroutes: [{name: a, to: [mail], kinds: [trades]}]", "trades"),
        ("version: 1\nroutes: [{name: a, to: [mail], color: red}]", "color"),
        ("version: 1\nroutes: [{name: a, to: [mail], digest: 10}]", "digest"),
        ("version: 1\nroutes: [{name: a, to: [mail], digest: ten}]", "ten"),
        ("version: 1\nroutes: [{name: a, to: [mail], digest: 2d}]", "longer than a day"),
        ("version: 1\nroutes: [{name: a, to: [x]}, {name: a, to: [y]}]", "two routes"),
        (f"version: 1\ntimezone: Mars/Base\n{ROUTE}", "Mars/Base"),
        (f"version: 1\nlink: javascript:alert(1)\n{ROUTE}", "link"),
        (f"version: 1\ntemplates: nowhere\n{ROUTE}", "nowhere"),
        ("version: 1\nroutes: [{name: a, to: [m], quiet: {from: '7', to: '08:00'}}]", "quiet"),
        ("version: 1\nroutes: [{name: a, to: [m], hours: {from: '07:00', to: '07:00'}}]", "empty"),
        (
            f"version: 1\nroutes: [{{name: a, to: [m], quiet: {{{DAY}, days: [x]}}}}]",
            "'x'",
        ),
    ],
)
def test_what_is_invalid_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"notify\.yml") as caught:
        load_notify(write(tmp_path / "notify.yml", text))
    assert message in str(caught.value)


def test_a_line_of_the_urls_is_never_repeated(tmp_path: Path) -> None:
    path = write(tmp_path / "urls", "mail mailto://u:hunter2@host\nhunter3\n")
    with pytest.raises(ConfigError, match="line 2") as caught:
        load_channels(path)
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        (
            "mailtos://bob:hunter2pw@smtp.example.com?from=a%40example.com&to=owner@example.com",
            ["bob:", "hunter2pw", "owner@example.com", "owner%40example.com"],
        ),
        ("tgram://123456:ABC-DEF/987654321", ["123456", "ABC-DEF", "987654321"]),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/", ["TIiajkdnlazkcOXrIdevi7FQ"]),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", ["JHMHI8qBe7bk2ZwO5U711o3dV_js"]),
    ],
)
def test_no_part_of_a_url_is_in_an_error(tmp_path: Path, url: str, secrets: list[str]) -> None:
    """Neither the URL as it is written nor its parts, as a library repeats them."""
    channel = load_channels(write(tmp_path / "urls", f"# ours\n\none {url}\n"))["one"]
    text = channel.redact(
        f"failed: {url} " + " ".join(f"refused for {secret};" for secret in secrets)
    )
    assert "refused" in text
    assert [secret for secret in secrets if secret in text.replace("refused for bob:", "")] == []
