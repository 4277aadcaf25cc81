"""The command line: one file a command, each with a `register`; files with an underscore are none."""

import importlib
import sys

from holdfast.cli._start import plain_arguments, start
from holdfast.errors import EXIT_CONFIG, ConfigError, HoldfastError


def main() -> int:
    """Run the command line; the exit code is 0 only when all is well, 78 for a bad configuration."""
    arguments = sys.argv[1:]
    plain = plain_arguments(arguments)
    try:
        if plain is not None:
            start(*plain)
        else:
            importlib.import_module("holdfast.cli._root").run_command(arguments)
    except ConfigError as error:
        sys.stderr.write(f"configuration error: {error}\n")
        return EXIT_CONFIG
    except HoldfastError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0
