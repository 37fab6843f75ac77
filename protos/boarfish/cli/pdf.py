"""A page as PDF, printed by the Chromium or Chrome of this machine."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
TIMEOUT_S = 90.0


class NotPrinted(Exception):
    """No PDF was written; the text says why and what to do."""


def write_pdf(html: Path, pdf: Path) -> None:
    """Prints the page `html` to `pdf`. Raises `NotPrinted` without a browser, or when it does not print."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise NotPrinted(
            "There is no Chromium or Chrome here to print a PDF by: install one, or print the HTML from a "
            "browser."
        )
    # A sandbox cannot be set up by root.
    options = ["--headless", "--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with tempfile.TemporaryDirectory() as profile:
        command = [
            *(browser, *options, f"--user-data-dir={profile}", "--no-pdf-header-footer"),
            f"--print-to-pdf={pdf.absolute()}",
            html.absolute().as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            raise NotPrinted(f"{browser} did not print {pdf} within {TIMEOUT_S:g} s.") from None
    if done.returncode or not pdf.exists():
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotPrinted(f"{browser} did not print {pdf}: {last}")
