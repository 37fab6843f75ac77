"""The dashboards' entry point: chooses the page and its deployment, and says in words when a service cannot
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

# Not named `pages`: Streamlit would take that folder for its own navigation, and a link to a page of a server
# that has just started would be answered without this file.
VIEWS = Path(__file__).parent / "views"


def choose_deployment() -> str | None:
    """The deployment chosen in the sidebar, or `None` when there is none yet."""
    names = [one.deployment for one in queries.health()]
    if not names:
        return None
    wanted = st.query_params.get("deployment", names[0])
    chosen = st.sidebar.selectbox("Deployment", names, index=names.index(wanted) if wanted in names else 0)
    st.query_params["deployment"] = chosen
    return chosen


def pages() -> tuple[list[st.Page], list[st.Page]]:
    """The pages that watch a deployment, and those on learning, which need none."""
    watching = [
        st.Page(VIEWS / "overview.py", title="Overview", icon=":material/home:", default=True),
        st.Page(
            VIEWS / "model_rot.py", title="Model rot", icon=":material/trending_down:", url_path="model_rot"
        ),
        st.Page(
            VIEWS / "subgroups.py", title="Subgroup errors", icon=":material/groups:", url_path="subgroups"
        ),
        st.Page(VIEWS / "gates.py", title="Gates", icon=":material/stairs:", url_path="gates"),
        st.Page(VIEWS / "appeals.py", title="Appeals", icon=":material/gavel:", url_path="appeals"),
        st.Page(
            VIEWS / "audits.py", title="Audits and ledger", icon=":material/fact_check:", url_path="audits"
        ),
    ]
    learning = [
        st.Page(
            VIEWS / "training.py", title="Training", icon=":material/model_training:", url_path="training"
        ),
        st.Page(
            VIEWS / "cleaning.py",
            title="Data cleaner",
            icon=":material/cleaning_services:",
            url_path="cleaning",
        ),
    ]
    return watching, learning


def main() -> None:
    """Draws the chosen page."""
    st.set_page_config(page_title="Boarfish", page_icon="🐟", layout="wide")
    watching, learning = pages()
    page = st.navigation({"Deployments": watching, "Learning": learning})
    try:
        if page in watching:
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
