"""The dashboards in Chromium, used as a person would use them, over the played story."""

from pathlib import Path

import pytest
from boarfish import ledger_check
from playwright.sync_api import Page, expect

from services.common.lake import Lake, TableKind
from tests.browser.walking import PATIENCE_MS, keep_picture, settled, visit
from tests.story import Played

pytestmark = [pytest.mark.xdist_group("story"), pytest.mark.timeout(600)]


@pytest.fixture
def page(browser, story: Played):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"http://{story.addresses['dashboards']}/")
    yield page
    page.close()


def unfold(page: Page, title: str) -> None:
    """Opens the alert whose title holds `title`."""
    page.get_by_test_id("stExpander").filter(has_text=title).locator("summary").first.click()


def test_overview_says_what_needs_a_person(page):
    expect(page.get_by_role("heading", name="Employment in Massachusetts")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    expect(page.get_by_text("People predicted", exact=True)).to_be_visible()
    expect(page.get_by_text("20,890").first).to_be_visible()
    unfold(page, "DIS moved")
    expect(page.get_by_text("simulated incident: disability-code-swap").first).to_be_visible()
    keep_picture(page, "overview")


def test_an_alert_is_acknowledged_by_name(page):
    settled(page)
    alert = page.get_by_test_id("stExpander").filter(has=page.get_by_role("button", name="Acknowledge")).first
    alert.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("Please give your name")).to_be_visible()
    alert.get_by_label("Your name").fill("Ada")
    alert.get_by_label("What you found or will do").fill("The file is sorted that way")
    title = alert.locator("summary").inner_text().split("—")[0].strip()[-40:]
    alert.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("Noted: Ada has seen it")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    unfold(page, title)
    expect(page.get_by_text("Acknowledged by Ada: The file is sorted that way").first).to_be_visible(
        timeout=PATIENCE_MS
    )


def test_model_rot_shows_accuracy_and_names_the_inputs_that_moved(page):
    visit(page, "Model rot")
    expect(page.get_by_text("Is it still right?")).to_be_visible()
    expect(page.get_by_text("some input had moved")).to_contain_text("DIS")
    expect(page.locator(".js-plotly-plot")).to_have_count(3, timeout=PATIENCE_MS)
    keep_picture(page, "model-rot")


def test_subgroup_errors_are_words_first_and_can_be_crossed(page):
    visit(page, "Subgroup errors")
    expect(page.get_by_text("What a positive decision means here")).to_be_visible()
    expect(page.get_by_role("heading", name="What is seen")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_be_visible()
    keep_picture(page, "subgroups")
    page.get_by_text("Cross the groups").click()
    # While Streamlit redraws, the old chart may stand beside the new one.
    expect(page.locator(".js-plotly-plot").filter(has_text="female and White")).to_have_count(
        1, timeout=PATIENCE_MS
    )
    settled(page)


def test_audits_and_ledger(page):
    visit(page, "Audits and ledger")
    expect(page.get_by_text("The chain holds")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the report (HTML)").click()
    assert Path(download.value.path()).read_text().lstrip().lower().startswith("<!doctype html>")
    keep_picture(page, "audits")


def test_a_document_is_chosen_read_and_taken_along(page):
    visit(page, "Audits and ledger")
    expect(page.get_by_text("open; a person must answer").first).to_be_visible()
    page.get_by_role("combobox", name="Document").click()
    page.get_by_role("option", name="Bias audit").click()
    settled(page)
    page.get_by_text("Read the document here").click()
    expect(page.locator("iframe").last.content_frame.get_by_role("heading", level=1)).to_contain_text(
        "Bias audit", timeout=PATIENCE_MS
    )
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the document (HTML)").click()
    assert "Impact ratio" in Path(download.value.path()).read_text()
    keep_picture(page, "documents")


def test_the_ledger_and_its_checkpoint_are_taken_along_and_hold(page):
    visit(page, "Audits and ledger")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the signed checkpoint").click()
    kept = ledger_check.read_checkpoint(Path(download.value.path()).read_text())
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the whole ledger").click()
    with Path(download.value.path()).open(encoding="utf-8", newline="\n") as lines:
        check = ledger_check.check_export(lines, kept=kept, trusted_key=kept.verifier_key)
    assert check.problems == ()
    assert check.entry_count >= kept.size > 0


def test_gates_say_in_words_what_holds(page):
    visit(page, "Gates")
    expect(page.get_by_text("stands on the rung full")).to_be_visible()
    expect(page.get_by_text("Accuracy by labels is").first).to_be_visible()
    expect(page.get_by_text("“Who handles appeals and mistakes?”, and 1 more")).to_be_visible()
    keep_picture(page, "story-gates")


def test_an_appeal_is_filed_by_its_prediction_id_and_answered(page, story: Played):
    predictions = Lake(story.home / "lake").table(TableKind.PREDICTIONS, "employment")
    person = predictions.read(version=1, columns=["prediction_id"]).column(0)[0].as_py()
    visit(page, "Appeals")
    page.get_by_test_id("stExpander").filter(has_text="File an appeal").locator("summary").click()
    page.get_by_label("Prediction id").fill(person)
    page.get_by_label("What they say").fill("I was at work in that week.")
    page.get_by_role("button", name="File the appeal").click()
    expect(page.get_by_text("Filed. An answer is owed by")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("What “at work” means:")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    keep_picture(page, "story-appeals")
    page.get_by_label("Your name").fill("Rosa")
    page.get_by_role("button", name="Take it on").click()
    expect(page.get_by_text("Rosa reviews this appeal now")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    page.get_by_text("The decision stands").click()
    told = page.get_by_label("What the person is told")
    # While Streamlit redraws, the old field may stand beside the new one.
    expect(told).to_have_count(1, timeout=PATIENCE_MS)
    settled(page)
    told.fill("The survey says otherwise.")
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(page.get_by_text("Answered in the name of Rosa")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("Nobody waits for an answer.")).to_be_visible(timeout=PATIENCE_MS)


def test_the_runs_behind_the_deployment_can_be_looked_into(page):
    visit(page, "Training")
    expect(page.get_by_text("better than always").first).to_be_visible()
    for title in ("How gradient boosting learnt", "What is taken for what", "What it finds hardest"):
        expect(page.get_by_role("heading", name=title)).to_be_attached()
    keep_picture(page, "training")


def test_a_row_that_the_model_finds_hard_is_deleted(page):
    visit(page, "Data cleaner")
    decision = page.get_by_role("combobox", name="Row ").first
    expect(decision).to_be_visible()
    decision.click()
    page.get_by_role("option", name="Delete").click()
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("textbox", name="Why").fill("Entered twice")
    page.get_by_role("button", name="Make a new dataset version").click()
    expect(page.get_by_text("0 relabelled, 1 deleted, by Ada")).to_be_visible(timeout=PATIENCE_MS)
    keep_picture(page, "cleaner")


def test_pages_can_be_walked_by_keyboard(page):
    settled(page)
    seen = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate(
                "document.activeElement.innerText || document.activeElement.ariaLabel || ''"
            ).strip()
        )
    assert any("Model rot" in text for text in seen), seen
