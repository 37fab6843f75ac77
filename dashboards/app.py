"""The dashboards' entry point: chooses the deployment and the page, and says in words when a service cannot
be reached.

Run by `python -m services` or by hand: `streamlit run dashboards/app.py`.
"""

import sys
from pathlib import Path

import streamlit as st

# Streamlit puts this file's folder on the path, not the project's root.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from boarfish import errors

from dashboards import queries

PAGES = Path(__file__).parent / "pages"


def choose_deployment() -> str | None:
    """The deployment chosen in the sidebar, or `None` when there is none yet."""
    names = [one.deployment for one in queries.health()]
    if not names:
        return None
    wanted = st.query_params.get("deployment", names[0])
    chosen = st.sidebar.selectbox("Deployment", names, index=names.index(wanted) if wanted in names else 0)
    st.query_params["deployment"] = chosen
    return chosen


def main() -> None:
    """Draws the chosen page."""
    st.set_page_config(page_title="Boarfish", page_icon="🐟", layout="wide")
    page = st.navigation(
        [
            st.Page(PAGES / "overview.py", title="Overview", icon=":material/home:", default=True),
            st.Page(
                PAGES / "model_rot.py",
                title="Model rot",
                icon=":material/trending_down:",
                url_path="model_rot",
            ),
            st.Page(
                PAGES / "subgroups.py",
                title="Subgroup errors",
                icon=":material/groups:",
                url_path="subgroups",
            ),
            st.Page(
                PAGES / "audits.py",
                title="Audits and ledger",
                icon=":material/fact_check:",
                url_path="audits",
            ),
        ]
    )
    try:
        st.session_state["deployment"] = choose_deployment()
        if st.session_state["deployment"] is None:
            st.title("Nothing is deployed yet")
            st.write(
                "As soon as a deployment answers its first prediction it appears here. "
                "`make run` plays a story on real data; reload this page when it has begun to predict."
            )
            return
        page.run()
    except errors.Unavailable as error:
        st.error(
            f"A service cannot be reached. {error.message} Start the services with `make run`, then reload "
            f"this page."
        )
    except errors.BoarfishError as error:
        st.error(error.message)


main()
