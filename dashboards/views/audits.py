"""Audits, documents and the ledger.

What was found on which date, what there is to hand to others, and who did what, in a chain that shows any
later change.
"""

import json

import streamlit as st
from boarfish.errors import FailedPrecondition
from google.protobuf.json_format import MessageToDict

from dashboards import papers, queries


def show_audits(name: str) -> None:
    """The audits of a deployment, newest first, with the whole report of the chosen one."""
    found = queries.audits(name)
    if not found:
        st.info(f"No audit has been run yet. Run one with `boarfish audit run {name}`.")
        return
    index = st.selectbox(
        "Audit",
        range(len(found)),
        format_func=lambda i: (
            f"{found[i].create_time.ToDatetime():%d %b %Y %H:%M} by {found[i].requested_by or 'nobody named'}"
        ),
    )
    audit = queries.audit(found[index].id)
    for finding in audit.findings:
        st.markdown(f"- {finding}")
    report = json.dumps(MessageToDict(audit.report), indent=2)
    columns = st.columns(2)
    columns[0].download_button(
        "Download the report (HTML)", audit.html, f"audit-{audit.id}.html", "text/html", on_click="ignore"
    )
    columns[1].download_button(
        "Download the report (JSON)", report, f"audit-{audit.id}.json", "application/json", on_click="ignore"
    )
    with st.expander("Read the report here"):
        st.iframe(audit.html, height=900)
    st.caption(f"SHA-256 of the report, as it stands in the ledger: {audit.sha256}")


def show_documents(name: str) -> None:
    """A document of the reader's choice: what is open in it first, then the whole, to read or take along."""
    kind = st.selectbox("Document", list(papers.KINDS), format_func=lambda one: papers.KINDS[one])
    try:
        made = papers.document(name, kind)
    except FailedPrecondition as error:
        st.info(error.message)
        return
    if made.open_questions:
        count = len(made.open_questions)
        st.warning(f"{count} {'question is' if count == 1 else 'questions are'} open; a person must answer.")
        with st.expander("Open questions"):
            for question in made.open_questions:
                st.markdown(f"- {question}")
            st.caption("Answer a question in the task file, in its own words, under ethics_checklist.")
    else:
        st.success("Every question is answered.")
    stem = papers.KINDS[kind].partition(" (")[0].lower().replace(" ", "-")
    content = json.dumps(MessageToDict(made.content), indent=2, ensure_ascii=False)
    files = [("HTML", made.html, "html", "text/html"), ("JSON", content, "json", "application/json")]
    if made.markdown:
        files.append(("Markdown", made.markdown, "md", "text/markdown"))
    for column, (form, text, ending, mime) in zip(st.columns(len(files)), files, strict=True):
        column.download_button(
            f"Download the document ({form})", text, f"{name}-{stem}.{ending}", mime, on_click="ignore"
        )
    with st.expander("Read the document here"):
        st.iframe(made.html, height=900)


def show_ledger() -> None:
    """The newest entries and whether the chain holds."""
    entries, verdict = queries.ledger()
    if verdict.valid:
        st.success(f"The chain holds: {verdict.entry_count:,} entries, newest hash {verdict.head_hash[:16]}.")
    else:
        st.error(f"The chain does not hold at entry {verdict.first_bad_sequence}: {verdict.reason}")
    st.dataframe(
        [
            {
                "Entry": entry.sequence,
                "When": entry.record_time.ToDatetime(),
                "Who": entry.actor,
                "Did": entry.action,
                "To": entry.subject,
                "Hash": entry.hash[:16],
            }
            for entry in entries
        ],
        hide_index=True,
        width="stretch",
    )
    show_checkpoint()


def show_checkpoint() -> None:
    """The public key, and what to keep elsewhere to see later whether the ledger was altered or cut off."""
    try:
        signed = papers.checkpoint()
    except FailedPrecondition as error:
        st.error(error.message)
    else:
        st.markdown(
            "Keep a checkpoint where the ledger is not: it shows later whether entries were altered or cut "
            "off."
        )
        kept = f"{signed.verifier_key}\n{signed.note}"
        st.download_button(
            "Download the signed checkpoint", kept, "checkpoint.txt", "text/plain", on_click="ignore"
        )
        st.caption(f"Public key: {signed.verifier_key}")
    st.download_button(
        "Download the whole ledger", papers.ledger_file, "ledger.txt", "text/plain", on_click="ignore"
    )
    st.caption("`boarfish ledger verify ledger.txt --checkpoint checkpoint.txt` checks both, offline.")


def main() -> None:
    """Draws the page."""
    st.title("Audits and ledger")
    st.header("Audits")
    show_audits(st.session_state["deployment"])
    st.header("Documents")
    show_documents(st.session_state["deployment"])
    st.header("Ledger")
    show_ledger()


main()
