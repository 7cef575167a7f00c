"""The mails that a mail server got, in Chromium: a phone and a desktop, both themes."""

from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import SHOTS
from tests.browser.test_console import DESKTOP, FAULTS, PHONE
from tests.mails.received import GOLDEN, html_of

pytestmark = pytest.mark.browser

MAILS = {path.stem: html_of(path.read_text("utf-8")) for path in sorted(GOLDEN.glob("*.eml"))}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_mail(chromium: Browser, theme: Any, size: Any) -> None:
    """It fits, can be read in the theme, runs no script and loads nothing."""
    context = chromium.new_context(viewport=size, color_scheme=theme)
    page = context.new_page()
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    page.on("dialog", lambda dialog: loaded.append(dialog.message))
    SHOTS.mkdir(parents=True, exist_ok=True)
    faults = {}
    for name, html in MAILS.items():
        page.set_content(html)
        faults[name] = page.evaluate(FAULTS)
        path = SHOTS / f"mail-{name}-{theme}-{size['width']}.png"
        page.screenshot(path=path, full_page=True)
    assert {name: found for name, found in faults.items() if found} == {}
    assert loaded == []
    context.close()
