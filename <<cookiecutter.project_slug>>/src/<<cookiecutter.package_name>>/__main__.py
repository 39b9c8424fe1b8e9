"""Serve until a signal.

Exit codes: 0 stopped as asked; 1 something was cut, or the model can't come up; 2 a wrong setting,
a port that is taken, or a GPU required and absent.
"""

import sys

from .signals import exit_at_once


def main() -> int:
    exit_at_once()

    from .serve import serve
    from .settings import SettingsError, read_settings

    try:
        return serve(read_settings())
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
