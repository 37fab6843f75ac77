"""Subgroup errors: who is treated worse, by how much, and whether chance explains it."""

import streamlit as st
from boarfish.v1 import monitoring_pb2

from dashboards import charts, queries
from dashboards.words import rate_in_words


def main() -> None:
    """Draws the page."""
    name = st.session_state["deployment"]
    health = next(one for one in queries.health() if one.deployment == name)
    task = queries.task(health.model_version)
    st.title("Subgroup errors")
    found, _ = queries.windows(name, (monitoring_pb2.WINDOW_PART_SUBGROUPS,), merge=True)
    if not found or not found[0].subgroups:
        st.info(
            "No groups to compare yet: either no prediction carried a sensitive attribute, or nothing has "
            "been counted."
        )
        return
    window = found[0]
    st.write(f"**What a positive decision means here.** {task.purpose.positive_decision_means}")

    singles = [group for group in window.subgroups if len(group.group) == 1]
    crossings = [group for group in window.subgroups if len(group.group) > 1]
    columns = st.columns(2)
    rate = columns[0].selectbox("Rate", list(queries.RATES), format_func=lambda key: queries.RATES[key])
    crossed = columns[1].toggle(
        "Cross the groups (for example sex and race together)", disabled=not crossings
    )
    st.caption(rate_in_words(rate, task))

    shown = crossings if crossed else singles
    table = queries.group_table(shown, rate)
    if table.empty:
        st.info("No group has enough labelled people to be rated yet.")
    else:
        sentences = table[table["significant"]].sort_values("value", ascending=False)["sentence"]
        st.header("What is seen")
        if sentences.empty:
            st.write("No group differs from everyone else by more than chance explains.")
        for sentence in sentences[sentences != ""]:
            st.markdown(f"- {sentence}")
        overall = getattr(window.quality, rate).value
        alt = f"{queries.RATES[rate]} of each group with its interval; the table below has the numbers"
        st.plotly_chart(
            charts.groups(table, overall, queries.RATES[rate]), width="stretch", key="groups", alt=alt
        )
        st.caption(
            "Dots are rates, bars their 95 % intervals. Diamonds: the gap to everyone else is more than "
            "chance explains, "
            "after correcting for how many groups were looked at. A gap is a finding, not yet an "
            "explanation: "
            "groups differ in age and in how often the outcome occurs."
        )
        st.dataframe(
            table[["group", "people", "value", "lower", "upper"]],
            hide_index=True,
            width="stretch",
            column_config={
                "group": "Group",
                "people": st.column_config.NumberColumn("People behind the rate", format="localized"),
                **{
                    key: st.column_config.NumberColumn(title, format="percent")
                    for key, title in (
                        ("value", queries.RATES[rate]),
                        ("lower", "95 % from"),
                        ("upper", "95 % to"),
                    )
                },
            },
        )

    suppressed = [group for group in shown if group.suppressed]
    if suppressed:
        st.header("Too few people to say")
        st.write(f"Groups with fewer than {task.watch.minimum_group_size:,} labelled people are not rated.")
        for group in suppressed:
            st.markdown(f"- **{group.display_name}**: {group.note}")


main()
