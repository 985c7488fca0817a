"""What a network has where nobody says otherwise, by the environment: in virtual time two runs are to be alike."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping

from linkem_py.errors import RequestError

#: Set to 1 where time is virtual, as the launcher of a guest does it.
VIRTUAL_TIME_VARIABLE = "LINKEM_VIRTUAL_TIME"
#: The rate of links without one, in kbit/s; empty, or not set, for none.
RATE_VARIABLE = "LINKEM_DEFAULT_RATE_KBIT"

_VIRTUAL_SEED = 0


def in_virtual_time(env: Mapping[str, str] = os.environ) -> bool:
    """Whether computing takes no time here."""
    return env.get(VIRTUAL_TIME_VARIABLE) == "1"


def seed(env: Mapping[str, str] = os.environ) -> int:
    """Of a run that was given none: 0 in virtual time, otherwise by chance."""
    return _VIRTUAL_SEED if in_virtual_time(env) else secrets.randbits(63)


def rate_kbit(env: Mapping[str, str] = os.environ) -> float | None:
    """Of links that have no rate; None for none. Raises `RequestError`."""
    text = env.get(RATE_VARIABLE, "")
    try:
        return float(text) if text else None
    except ValueError:
        raise RequestError(RATE_VARIABLE, "must be a number of kbit/s", text) from None


def why_unreachable(env: Mapping[str, str] = os.environ) -> str:
    """To be added to an error about something that is not reached; empty in real time."""
    if not in_virtual_time(env):
        return ""
    return ". Time is virtual in this guest, and nothing outside can be reached: run it in the guest, or in real time"
