"""What can go wrong with a build."""

from __future__ import annotations

from linkem_py.errors import KernelError


class BuildError(KernelError):
    """A kernel could not be built; the message names the remedy. Nothing is left of the attempt."""
