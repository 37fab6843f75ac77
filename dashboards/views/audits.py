"""Audits and the ledger.

What was found on which date, and who did what, in a chain that shows any later change.
"""

import json

import streamlit as st
from google.protobuf.json_format import MessageToDict

from dashboards import queries


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
        "Download the report (HTML)", audit.html, f"audit-{audit.id}.html", "text/html"
    )
    columns[1].download_button(
        "Download the report (JSON)", report, f"audit-{audit.id}.json", "application/json"
    )
    with st.expander("Read the report here"):
        st.iframe(audit.html, height=900)
    st.caption(f"SHA-256 of the report, as it stands in the ledger: {audit.sha256}")


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


def main() -> None:
    """Draws the page."""
    st.title("Audits and ledger")
    st.header("Audits")
    show_audits(st.session_state["deployment"])
    st.header("Ledger")
    show_ledger()


main()
