"""How the browser tests walk through pages, as a person would.

With BOARFISH_SCREENSHOTS naming a folder, each page is also saved there as a picture.
"""

import os
from pathlib import Path

from playwright.sync_api import Page, expect

PATIENCE_MS = 30_000


def settled(page: Page) -> None:
    """Waits until Streamlit has finished drawing, and fails on any error that it shows."""
    page.get_by_test_id("stApp").and_(page.locator("[data-test-script-state='notRunning']")).wait_for()
    assert page.get_by_test_id("stException").count() == 0, page.get_by_test_id(
        "stException"
    ).first.inner_text()


def visit(page: Page, title: str) -> None:
    """Goes to a page by its link in the sidebar."""
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=title).click()
    expect(page.get_by_role("heading", name=title, exact=True, level=1)).to_be_visible(timeout=PATIENCE_MS)
    settled(page)


def keep_picture(page: Page, name: str) -> None:
    """Saves what is seen, when the environment names a folder for it."""
    folder = os.environ.get("BOARFISH_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=False)
