"""``python -m linkem_py.testing.namespaced COMMAND...``: the command in a user namespace of its own, as root in it."""

from __future__ import annotations

import os
import sys


def main(command: list[str]) -> None:
    """Enter a user namespace and become the command. Raises OSError."""
    from linkem_py.cli import user_namespace

    user_namespace.enter()
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
