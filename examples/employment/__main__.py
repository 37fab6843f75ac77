"""`make run`: starts the four services and the dashboards, plays what is left of the story, and keeps
running.

FAST=1 plays every tenth person; EXIT=1 leaves when the story has ended. Ctrl-C stops everything cleanly.
"""

import asyncio
import os
import signal
import sys

from boarfish import AsyncClient, errors
from rich.console import Console

from examples.employment.journal import Journal
from examples.employment.story import NAME, Story
from services.common.settings import Settings
from services.supervisor import Suite, SuiteError

STORY_FAST, STORY_WHOLE = 10, 1


def main() -> int:
    """Exit status.

    0 when stopped or left as asked, 1 when the story failed, 2 when the services could not start.
    """
    console = Console(highlight=False)
    settings = Settings()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _as_interrupt)
    try:
        with Suite(settings, dashboards=True) as suite:
            console.print(f"[bold]Boarfish[/] is up. State is kept in {settings.home}")
            asyncio.run(_play(settings, console))
            _say_what_next(settings, console)
            if not _wanted("EXIT"):
                suite.wait()
    except KeyboardInterrupt:
        console.print("\nStopped. What was played is kept; `make run` goes on from here.")
    except SuiteError as error:
        console.print(f"[red]Boarfish did not start.[/] {error}")
        return 2
    except (errors.BoarfishError, RuntimeError) as error:
        console.print(
            f"[red]The story stopped.[/] {error}\nLogs are in {settings.home / 'logs'}; `make run` tries "
            f"again from here."
        )
        return 1
    return 0


async def _play(settings: Settings, console: Console) -> None:
    journal = Journal(settings.home / "story.db")
    thin = _chosen_thinning(journal, console)
    try:
        async with AsyncClient(
            ingestion=settings.ingestion_address,
            training=settings.training_address,
            inference=settings.inference_address,
            monitoring=settings.monitoring_address,
        ) as client:
            await Story(client, journal, console, thin=thin).play()
    finally:
        journal.close()


def _chosen_thinning(journal: Journal, console: Console) -> int:
    """How the story in this state folder is played: as it was begun, else as FAST says."""
    wanted = STORY_FAST if _wanted("FAST") else STORY_WHOLE
    begun = journal.result("thin")
    if begun is None:
        journal.finish("thin", wanted)
        return wanted
    if begun != wanted:
        told = "every tenth person" if begun == STORY_FAST else "everyone"
        console.print(f"The story here was begun with {told} and stays so. `make clean-state` forgets it.")
    return int(begun)


def _say_what_next(settings: Settings, console: Console) -> None:
    console.print(
        f"\nDashboards: [bold]http://{settings.dashboards_address}[/]   Three commands to try (in another "
        f"terminal):\n"
        f"  .venv/bin/boarfish status\n"
        f"  .venv/bin/boarfish predict {NAME} --input examples/employment/row.json --at 2018-12-31\n"
        f"  .venv/bin/boarfish ledger verify\n",
        soft_wrap=True,
    )
    if not _wanted("EXIT"):
        console.print("Running. Ctrl-C stops everything.")


def _wanted(name: str) -> bool:
    return os.environ.get(name, "").lower() not in ("", "0", "no", "false")


def _as_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
