"""What the commands share: the `--json` option and the client."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from boarfish.client import Client

AsJson = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")]


def client() -> "Client":
    """A client of the services that the environment names."""
    from boarfish.client import Client

    return Client.from_environment()
