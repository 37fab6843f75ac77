"""The appeals desk and the gates in Chromium, over real monitoring: filed, taken, upheld, delivered."""

import contextlib
import time
import urllib.request

import grpc
import pytest
from boarfish import Client
from boarfish.v1 import monitoring_pb2 as pb
from playwright.sync_api import expect

from tests.browser import loans
from tests.browser.loans import Neighbours
from tests.browser.walking import PATIENCE_MS, keep_picture, settled, visit
from tests.story import ROOT, free_port

pytestmark = pytest.mark.timeout(180)
READY_WITHIN_S = 90


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """The neighbours, a client of everything, and the dashboards' address."""
    home = tmp_path_factory.mktemp("loans")
    neighbours = Neighbours(loans.made(home / "lake"))
    server, address = loans.serve(neighbours)
    watching, pages = f"127.0.0.1:{free_port()}", free_port()
    environment = {
        "BOARFISH_HOME": str(home),
        "BOARFISH_MONITORING_ADDRESS": watching,
        "BOARFISH_MONITORING_METRICS_ADDRESS": "",
        **{f"BOARFISH_{name}_ADDRESS": address for name in ("TRAINING", "INGESTION", "INFERENCE")},
    }
    streamlit = [
        *("streamlit", "run", str(ROOT / "dashboards" / "app.py")),
        *("--server.headless=true", "--server.address=127.0.0.1", f"--server.port={pages}"),
        *(
            "--browser.gatherUsageStats=false",
            "--server.fileWatcherType=none",
            "--client.toolbarMode=minimal",
        ),
    ]
    processes = [loans.start("services.monitoring", **environment), loans.start(*streamlit, **environment)]
    client = Client(address, address, address, watching)
    try:
        wait_until(lambda: counted(client))
        wait_until(lambda: urllib.request.urlopen(f"http://127.0.0.1:{pages}/_stcore/health", timeout=1))
        yield neighbours, client, f"http://127.0.0.1:{pages}"
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=20)
        client.close()
        server.stop(None).wait()


def wait_until(there) -> None:
    """Waits for something to be there; not answering yet is not there."""
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, grpc.RpcError, Exception):
            if there():
                return
        time.sleep(0.1)
    pytest.fail("the services did not start, or did not count the lake")


def counted(client: Client) -> bool:
    [health] = client.health()
    return health.labelled_count == 200 * loans.LABELLED and not health.backlog_count


@pytest.fixture
def page(browser, suite):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{suite[2]}/appeals")
    expect(page.get_by_role("heading", name="Appeals", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    yield page
    page.close()


def reload_until(page, text: str) -> None:
    """Loads the page again until it shows `text`: what it asks for is kept for some seconds."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        page.reload()
        expect(page.get_by_role("heading", name="Appeals", exact=True)).to_be_visible(timeout=PATIENCE_MS)
        settled(page)
        if page.get_by_text(text).count():
            return
    pytest.fail(f"{text!r} was not shown")


def file(page, prediction_id: str, statement: str) -> None:
    """Files an appeal by the form."""
    page.get_by_test_id("stExpander").filter(has_text="File an appeal").locator("summary").click()
    page.get_by_label("Prediction id").fill(prediction_id)
    page.get_by_label("Their name").fill("Mr Lee")
    page.get_by_label("What they say").fill(statement)
    page.get_by_role("button", name="File the appeal").click()


def take(page, reviewer: str, button: str = "Take it on") -> None:
    """Takes the chosen appeal."""
    settled(page)
    page.get_by_label("Your name").fill(reviewer)
    page.get_by_label("Your role").fill("loan officer")
    page.get_by_role("button", name=button).click()


def test_an_appeal_is_filed_reviewed_and_upheld_and_its_label_reaches_the_lake(page, suite):
    neighbours, client, _ = suite
    expect(page.get_by_text("Nobody waits for an answer.")).to_be_visible()
    file(page, "nobody", "It is wrong.")
    expect(page.get_by_text("no prediction has the id 'nobody'")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    person, truth = neighbours.lake.ids[20][3], neighbours.lake.truth[20]
    page.get_by_label("Prediction id").fill(person)
    page.get_by_role("button", name="File the appeal").click()
    expect(page.get_by_text("Filed. An answer is owed by")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    decision = "grant" if truth.positive[3] else "refuse"
    expect(page.get_by_text(f"the model decided {decision}")).to_be_visible()
    expect(page.get_by_text("No outcome is known of them yet.")).to_be_visible()
    keep_picture(page, "appeals-filed")

    entry = pb.AppendLedgerEntryRequest(
        request_id="approved",
        actor="Ada",
        action="model_version.approved",
        subject=f"model_version/{client.health()[0].model_version}",
    )
    client.monitoring.AppendLedgerEntry(entry)
    take(page, "Ada")
    expect(page.get_by_text("Ada may not review appeal")).to_be_visible(timeout=PATIENCE_MS)
    take(page, "Rosa")
    expect(page.get_by_text("Rosa reviews this appeal now")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(page.get_by_text("Please say what is found")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    page.get_by_text("The person is right").click()
    expect(page.get_by_text("What would have been right")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    page.get_by_label("What the person is told").fill("You are right: your income was entered wrongly.")
    keep_picture(page, "appeals-review")
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(page.get_by_text("Answered in the name of Rosa")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)
    [logged] = neighbours.logged
    [label] = logged.rows.labels
    assert (label.prediction_id, label.value.string_value) == (person, "0" if decision == "grant" else "1")
    undelivered = pb.ListAppealsRequest(only_undelivered=True)
    wait_until(lambda: not client.monitoring.ListAppeals(undelivered).appeals)


def test_a_label_that_nobody_logged_is_sent_again_from_the_desk(page, suite):
    neighbours, client, _ = suite
    filing = pb.FileAppealRequest(
        request_id="bare", prediction_id=neighbours.lake.ids[21][0], statement="Look again."
    )
    appeal = client.monitoring.FileAppeal(filing).appeal
    client.monitoring.ResolveAppeal(
        pb.ResolveAppealRequest(
            request_id="bare-answer",
            id=appeal.id,
            upheld=True,
            answer="You are right.",
            reviewed_by="Rosa",
            corrected_label="0" if appeal.decision == "grant" else "1",
        )
    )
    reload_until(page, "not been seen in the lake yet: 1")
    page.get_by_role("button", name="Send them again").click()
    expect(page.get_by_text("Corrected labels sent: 1.")).to_be_visible(timeout=PATIENCE_MS)
    assert neighbours.logged[-1].request_id == f"appeal-{appeal.id}"


def test_who_appeals_and_who_is_upheld_is_told_by_group(page, suite):
    neighbours, client, _ = suite
    for place in range(60):
        filing = pb.FileAppealRequest(
            request_id=f"many-{place}", prediction_id=neighbours.lake.ids[19][place], statement="I object."
        )
        client.monitoring.FileAppeal(filing)
    reload_until(page, "of the decisions on people who are female were appealed")
    page.get_by_role("heading", name="Who appeals, and who is upheld").scroll_into_view_if_needed()
    keep_picture(page, "appeals-groups")


def test_gates_say_what_holds_what_does_not_and_what_cannot_be_told(page):
    visit(page, "Gates")
    expect(page.get_by_text("stands on the rung shadow")).to_be_visible()
    alerts = page.get_by_test_id("stAlert")
    expect(alerts.filter(has_text="Everything that is asked for holds.")).to_have_count(1)
    expect(alerts.filter(has_text="not everything can be told yet")).to_have_count(1)
    expect(alerts.filter(has_text="something does not hold")).to_have_count(1)
    expect(page.get_by_text("“Who handles appeals and mistakes?”")).to_be_visible()
    keep_picture(page, "gates")
    page.get_by_role("radio", name="The shadow").click()
    expect(page.get_by_text("that version bbbbbbbbbbbb was trained for")).to_be_visible(timeout=PATIENCE_MS)
    settled(page)


def test_the_desk_is_worked_by_keyboard_alone(page, suite):
    neighbours, client, _ = suite
    filing = pb.FileAppealRequest(
        request_id="keys", prediction_id=neighbours.lake.ids[22][0], statement="By keyboard."
    )
    client.monitoring.FileAppeal(filing)
    reload_until(page, "The reviewer must not be someone")
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "document.activeElement.ariaLabel || document.activeElement.innerText || ''"
        ).strip()
        seen.append(name)
        if name == "Your name":
            break
    assert seen[-1] == "Your name", seen
    page.keyboard.type("Rosa")
    page.keyboard.press("Tab")
    page.keyboard.type("loan officer")
    page.keyboard.press("Enter")
    keep_picture(page, "appeals-keys")
    expect(page.get_by_text("Rosa reviews this appeal now")).to_be_visible(timeout=PATIENCE_MS)
