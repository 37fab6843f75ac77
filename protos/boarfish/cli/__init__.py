"""The `boarfish` command: what an engineer or auditor does from a shell. Every command has `--json`.

Exit status: 0 done; 1 the answer is bad (the ledger does not hold, training failed); 2 the input is wrong; 3
a service cannot be reached.
"""

import sys


def main() -> None:
    """Runs the command; errors say what to do next."""
    from boarfish.cli.app import app
    from boarfish.cli.output import explain
    from boarfish.errors import BoarfishError

    try:
        app()
    except BoarfishError as error:
        sys.exit(explain(error))
    except KeyboardInterrupt:
        sys.exit(130)
