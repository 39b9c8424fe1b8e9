"""Serve, or `drain` the server that runs beside.

Exit codes: 0 stopped as asked; 1 cut at the deadline, or the model can't come up; 2 wrong settings,
or a GPU required and absent.
"""

import argparse
import os
import signal
import sys


def main() -> int:
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["serve", "drain"], default="serve")
    command = parser.parse_args().command
    if command == "serve":
        # The kernel keeps a signal without a handler from process 1, and imports take a while.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, lambda *_: os._exit(0))

    from .settings import SettingsError, read_settings

    try:
        settings = read_settings()
        if command == "drain":
            from .drain import drain

            return drain(settings)
        from .serve import serve

        return serve(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
