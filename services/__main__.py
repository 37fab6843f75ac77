"""`python -m services`: all four services in one process tree, and the dashboards with `--dashboards`."""

import argparse
import signal
import sys

from services.common.settings import SERVICES, Settings, read_settings
from services.supervisor import Suite, SuiteError


def main() -> int:
    """Runs until Ctrl-C. Exit status: 0 stopped as asked, 2 something could not be started or kept up."""
    parser = argparse.ArgumentParser(prog="python -m services", description=__doc__)
    parser.add_argument("--dashboards", action="store_true", help="also start the dashboards")
    parser.add_argument(
        "--only", nargs="+", choices=SERVICES, default=SERVICES, help="start these services alone"
    )
    arguments = parser.parse_args()
    settings = read_settings(Settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with Suite(settings, arguments.only, dashboards=arguments.dashboards) as suite:
            for name in arguments.only:
                print(f"{name} is ready on {settings.address(name)}", flush=True)
            if arguments.dashboards:
                print(f"dashboards are on http://{settings.dashboards_address}", flush=True)
            suite.wait()
    except KeyboardInterrupt:
        return 0
    except SuiteError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
