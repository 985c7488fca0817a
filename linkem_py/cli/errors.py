"""What can be wrong with a command line."""

from __future__ import annotations

from linkem_py.errors import LinkemError


class UsageError(LinkemError):
    """The command line asks for something that does not exist; exit status 2."""


class LoadError(LinkemError):
    """A file was found and does not give a topology; the message names the file and, if known, the line."""
