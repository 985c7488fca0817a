"""Every error that linkem_py raises on purpose.

One root, `LinkemError`, and branches that say whose fault it was: the topology's
(`TopologyError`), the kernel's or the machine's (`KernelError`), that of a caller who asks a
running network for something it does not have (`RequestError`), or of the way to it (`ControlError`).
"""

from __future__ import annotations

from typing import Any


class LinkemError(Exception):
    """Root of all errors of linkem_py."""


class TopologyError(LinkemError, ValueError):
    """What was asked for is wrong, found before anything was touched.

    Attributes
    ----------
    where : what the rule applies to, such as ``link a->b`` (may be empty)
    field : name of the offending field
    rule : the rule that it broke
    value : the value given
    """

    def __init__(self, field: str, rule: str, value: Any = None, *, where: str = "") -> None:
        self.where = where
        self.field = field
        self.rule = rule
        self.value = value
        super().__init__(field, rule, value)

    def __str__(self) -> str:
        prefix = f"{self.where}: " if self.where else ""
        return f"{prefix}{self.field} {self.rule}: {self.value!r}"

    def at(self, where: str) -> TopologyError:
        """The same error, placed: `where` is put in front unless it already has a place."""
        if self.where:
            return self
        return type(self)(self.field, self.rule, self.value, where=where)


class DuplicateRestrictionError(TopologyError):
    """A netem that duplicates would stand beside another netem in one device's tree.

    Attributes
    ----------
    peer : the peer whose interface would hold both
    links : the links that duplicate, as ``(source, destination, segment)``
    """

    def __init__(
        self,
        field: str,
        rule: str,
        value: Any = None,
        *,
        where: str = "",
        peer: str = "",
        links: tuple[tuple[str, str, str], ...] = (),
    ) -> None:
        super().__init__(field, rule, value, where=where)
        self.peer = peer
        self.links = links

    def at(self, where: str) -> DuplicateRestrictionError:
        """The same error, placed."""
        if self.where:
            return self
        return type(self)(self.field, self.rule, self.value, where=where, peer=self.peer, links=self.links)


class RequestError(TopologyError):
    """A running network was asked for something it does not have: an unknown peer or link."""


class KernelError(LinkemError):
    """The kernel, or the machine around it, could not do what was planned."""


class OperationError(KernelError):
    """The kernel refused one operation of a batch; what had succeeded was rolled back.

    Attributes
    ----------
    operation : text of the operation that failed
    namespace : the namespace it was for
    errno : the kernel's error number
    message : the kernel's own words (extended acknowledgement), may be empty
    link : the link it belongs to, as ``(source, destination, segment)``, or None
    rolled_back : False when undoing failed too; `__notes__` then says what is left
    """

    def __init__(
        self,
        text: str,
        *,
        operation: str = "",
        namespace: str = "",
        errno: int = 0,
        message: str = "",
        link: tuple[str, str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.operation = operation
        self.namespace = namespace
        self.errno = errno
        self.message = message
        self.link = link
        self.rolled_back = True


class PrivilegeError(KernelError):
    """The process may not create network namespaces; the message names the command to use."""


class CapabilityError(KernelError):
    """The kernel at hand lacks something that the topology needs; the message names the remedy."""


class ToolMissingError(KernelError):
    """A program that is needed is not installed; the message names it and its package."""


class GuestError(KernelError):
    """A user-mode kernel could not be started, or died."""


class GuestUnavailableError(GuestError):
    """No user-mode kernel was found; the message says which package to install."""


class PeerProcessError(LinkemError):
    """A program run in a peer failed, and the caller asked to be told."""


class ControlError(LinkemError):
    """A network cannot be controlled from outside: its broker or its socket does not answer.

    Attributes
    ----------
    host, port : where it was looked for (empty and 0 if it is no network address)
    reason : what was in the way; never a password
    """

    def __init__(self, text: str, *, host: str = "", port: int = 0, reason: str = "") -> None:
        super().__init__(text)
        self.host = host
        self.port = port
        self.reason = reason
