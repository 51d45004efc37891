"""A headless Chromium for tests of pages: the requests it makes, its complaints, and what axe-core finds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")


def installed() -> str | None:
    """Where the first browser of `NAMES` is."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def opened() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Seen:
    """What a page did: its complaints on the console, and the address of every request."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def page_of(browser: Browser, **context: Any) -> Iterator[tuple[Page, Seen]]:
    """Open an empty page; `context` is for `browser.new_context`: ``viewport``, ``color_scheme``, ``has_touch``."""
    session, seen = browser.new_context(**context), Seen()
    page = session.new_page()
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("console", lambda line: seen.errors.append(line.text) if line.type in {"error", "warning"} else None)
    page.on("request", lambda request: seen.requests.append(request.url))
    try:
        yield page, seen
    finally:
        session.close()


def serious_violations(page: Page) -> list[str]:
    """What axe-core calls serious or critical, with the first element of each."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {violation['help']}: {violation['nodes'][0]['html'][:200]}" for violation in violations
        if violation["impact"] in {"serious", "critical"}
    ]  # fmt: skip
