"""The pages on training and on cleaning data in Chromium, over a stage that plays the services."""

import os
import subprocess
import sys
import time
import urllib.request

import pytest
from playwright.sync_api import expect

from tests.browser.stage import VERSIONS, Stage, serve
from tests.browser.walking import PATIENCE_MS, keep_picture, settled, visit
from tests.story import ROOT, free_port

pytestmark = pytest.mark.timeout(300)
READY_WITHIN_S = 60


@pytest.fixture(scope="module")
def dashboards():
    """The stage's setter and the address of dashboards that look at it; each test sets a stage of its own."""
    stage = Stage()
    server, address = serve(stage)
    port = free_port()
    environment = {
        **os.environ,
        **{
            f"BOARFISH_{name}_ADDRESS": address
            for name in ("TRAINING", "INGESTION", "INFERENCE", "MONITORING")
        },
    }
    command = [
        *(sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboards" / "app.py")),
        *("--server.headless=true", "--server.address=127.0.0.1", f"--server.port={port}"),
        *(
            "--browser.gatherUsageStats=false",
            "--server.fileWatcherType=none",
            "--client.toolbarMode=minimal",
        ),
    ]
    process = subprocess.Popen(command, env=environment, cwd=ROOT)
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/_stcore/health", process)
        yield stage, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)
        server.stop(None).wait()


def wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the dashboards did not start")


@pytest.fixture
def stage(dashboards) -> Stage:
    return dashboards[0]


@pytest.fixture
def page(browser, dashboards):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{dashboards[1]}/training")
    expect(page.get_by_role("heading", name="Training", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    yield page
    page.close()


def choose(page, label: str, option: str) -> None:
    """Chooses by keyboard: types part of the option and presses Enter."""
    box = page.get_by_role("combobox", name=label)
    box.click()
    box.fill(option)
    page.get_by_role("option", name=option).first.wait_for()
    page.keyboard.press("Enter")
    settled(page)


def test_a_run_is_seen_as_it_trains_and_ends_without_a_touch(page, stage):
    expect(
        page.get_by_text("conv net: epoch 1 of 6, 412 rows a second, about 2 minutes left")
    ).to_be_visible()
    stage.advance(3)
    expect(page.get_by_text("epoch 3 of 6")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("50% done")).to_be_visible()
    expect(page.locator(".js-plotly-plot:visible")).to_have_count(2, timeout=PATIENCE_MS)
    keep_picture(page, "training-live")
    stage.advance(6)
    expect(page.get_by_text("and made one model version")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)


def test_a_finished_run_says_first_whether_it_beats_the_baseline_and_draws_every_figure(page):
    choose(page, "Run", "Shapes, 20 Sep 2026")
    expect(page.get_by_test_id("stAlert").get_by_text("better than always")).to_be_visible()
    for title in (
        "What is taken for what",
        "Most confused",
        "What it finds hardest",
        "How much of each class is found",
        "Activations while it trained",
        "Classes in two dimensions",
        "Redundant columns",
    ):
        expect(page.get_by_role("heading", name=title)).to_be_attached()
    keep_picture(page, "training-run")
    page.get_by_role("heading", name="What is taken for what").scroll_into_view_if_needed()
    page.mouse.wheel(0, 700)
    expect(page.locator(".js-plotly-plot:visible").nth(2)).to_contain_text("triangle", timeout=PATIENCE_MS)
    keep_picture(page, "training-confusion")
    page.get_by_role("heading", name="Redundant columns").scroll_into_view_if_needed()
    assert page.locator("[data-testid='stImage'] img").count() == 24
    keep_picture(page, "training-figures")


def test_a_failed_run_says_why(page):
    choose(page, "Run", "failed")
    expect(page.get_by_text("Every training row has the same label")).to_be_visible()


def test_versions_are_compared_with_intervals_and_settings(page):
    page.get_by_role("tab", name="Compare versions").click()
    expect(page.get_by_text("Settings, those that differ first")).to_be_visible()
    expect(page.get_by_text("accuracy 0.910, better than").last).to_be_visible()
    keep_picture(page, "training-compare")


def test_a_learning_rate_is_found(page):
    page.get_by_role("tab", name="Find a learning rate").click()
    page.get_by_role("button", name="Sweep the learning rate").click()
    expect(page.get_by_text("Suggested peak rate: 0.006 (the valley)")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator(".js-plotly-plot:visible")).to_contain_text("steepest: 0.003", timeout=PATIENCE_MS)
    keep_picture(page, "training-rate")


def test_hard_pictures_are_relabelled_and_deleted_and_the_new_version_is_trained_on(page, stage):
    visit(page, "Data cleaner")
    expect(page.get_by_text("its newest is 4, and that is what will be amended")).to_be_visible()
    keep_picture(page, "cleaner")
    decisions = page.get_by_role("combobox", name="Row shape-")
    expect(decisions).to_have_count(8)
    hard = [box.get_attribute("aria-label").split("Row ")[1] for box in decisions.all()[:2]]
    choose(page, f"Row {hard[0]}", "It is: triangle")
    choose(page, f"Row {hard[1]}", "Delete")
    page.get_by_role("button", name="Make a new dataset version").click()
    expect(page.get_by_text("Please give your name")).to_be_visible(timeout=PATIENCE_MS)
    assert not stage.amended
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("textbox", name="Why").fill("Drawn by a child")
    page.get_by_role("button", name="Make a new dataset version").click()
    expect(page.get_by_text("Version 5 of “shapes” is there: 1 relabelled, 1 deleted, by Ada")).to_be_visible(
        timeout=PATIENCE_MS
    )
    expect(page.get_by_text("2 that you have amended are not shown again")).to_be_visible()
    expect(page.get_by_role("combobox", name=f"Row {hard[1]}")).to_have_count(0)
    page.get_by_role("button", name="Train on version 5").scroll_into_view_if_needed()
    keep_picture(page, "cleaner-done")
    request = stage.amended[0]
    assert {one.row_id: (one.label, one.delete) for one in request.amendments} == {
        hard[0]: ("triangle", False),
        hard[1]: ("", True),
    }
    assert (request.amended_by, request.reason) == ("Ada", "Drawn by a child")
    page.get_by_role("button", name="Train on version 5").click()
    expect(page.get_by_text("it will train on version 5 of the dataset")).to_be_visible(timeout=PATIENCE_MS)
    assert stage.created[0].dataset_version == 5


def test_a_number_is_typed_where_labels_are_numbers(page, stage):
    visit(page, "Data cleaner")
    choose(page, "Model version", "houses: xgboost")
    row = page.get_by_role("combobox", name="Elm St").first
    row_id = row.get_attribute("aria-label").split("Row ")[1]
    row.fill("125.5")
    page.keyboard.press("Enter")
    keep_picture(page, "cleaner-table")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("textbox", name="Why").fill("A digit too many")
    page.get_by_role("button", name="Make a new dataset version").click()
    expect(page.get_by_text("Version 2 of “houses” is there: 1 relabelled")).to_be_visible(
        timeout=PATIENCE_MS
    )
    [amendment] = stage.amended[-1].amendments
    assert (amendment.row_id, amendment.label) == (row_id, "125.5")


def test_a_version_without_hard_rows_says_so(page):
    visit(page, "Data cleaner")
    choose(page, "Model version", "random forest")
    expect(page.get_by_text("keeps no list of its hardest rows by id")).to_be_visible()
    assert VERSIONS["forest"]
