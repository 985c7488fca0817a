"""What became of a command."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Problem:
    """Why a command was refused.

    Attributes
    ----------
    message : all of it in one sentence, with the link it is about
    field, rule, value : what broke which rule (empty for an error of the kernel); `value` is what JSON can hold
    kind : the error's class, such as ``RequestError``, ``OperationError``
    """

    message: str
    field: str = ""
    rule: str = ""
    value: Any = None
    kind: str = "RequestError"


@attrs.frozen(kw_only=True)
class Reply:
    """The answer to one command.

    Attributes
    ----------
    id : the command's, None if it had none
    ok : the kernel has taken all of it
    revision : of the network, counts its changes; 0 if nothing was ever changed
    applied_at : when the kernel had taken it, seconds since the epoch; None if it was refused
    error : why it was refused
    """

    ok: bool
    id: str | None = None
    revision: int = 0
    applied_at: float | None = None
    error: Problem | None = None
