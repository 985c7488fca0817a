"""Virtual time: how a guest is started in it, how far it is, and whether it stands still.

In the kernel's mode ``time-travel=inf-cpu`` computing takes no time, and when everything inside waits,
the clock jumps to the next timer. What happens outside is not waited for: while a command reads from
the host, the clock runs on; while it writes to the host, the clock stands.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import attrs

from linkem_py.errors import GuestError

#: What a command's clock shows when it starts, unless something else is asked for.
START = datetime(2030, 1, 1, tzinfo=UTC)

#: Set to 1 in the environment of what runs in virtual time.
VARIABLE = "LINKEM_VIRTUAL_TIME"

#: The rate of links that have none, in kbit/s: without any a greedy sender lets hardly any time pass.
DEFAULT_RATE_KBIT = 1e6

#: The environment of what runs in virtual time has it there; empty for none.
RATE_VARIABLE = "LINKEM_DEFAULT_RATE_KBIT"

_RATE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kMG])(?:bit(?:/s)?)?")
_KBIT = {"k": 1.0, "M": 1e3, "G": 1e6}
_HIGHEST_KBIT = 8e9

# The kernel boots so long before START, in its own time: more than it ever takes. `init` sleeps the rest
# away (it costs nothing), so that a command's clocks start from the same values in every run.
BOOT_S = 60

# In this mode the kernel waits by itself until its output is written: no window is needed.
UNLIMITED_WINDOW = 1 << 62

# How much of real time has to pass in virtual time at least, for it not to stand still. Reading the clock
# takes 256 ns and a failed system call 1 us, so it never stands completely: a TCP sender on a link without
# rate and delay gets on at 0.02 of real time, one that fills 500 Mbit/s at 0.5.
_LEAST = 0.05
_NOTICED_S = 1e-3
_LOOK_S = 0.5


def parse_rate(text: str) -> float | None:
    """kbit/s from ``1G``, ``500M``, ``64k``, also with ``bit`` or ``bit/s`` behind it; None from ``none``.

    Raises ValueError.
    """
    if text == "none":
        return None
    match = _RATE.fullmatch(text)
    rate_kbit = float(match[1]) * _KBIT[match[2]] if match else 0.0
    if not 1 <= rate_kbit <= _HIGHEST_KBIT:
        raise ValueError(f"must be a rate from 1k on, such as 500M or 1G, or none: {text!r}")
    return rate_kbit


def parse_start(text: str) -> datetime:
    """A date for the clock to start at, in UTC unless it says otherwise. Raises ValueError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be a date such as 2030-01-01 or 2030-01-01T12:00: {text!r}") from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if not 1971 <= found.year <= 2200:
        raise ValueError(f"must be between 1971 and 2200: {text!r}")
    return found


@attrs.frozen(kw_only=True)
class Passed:
    """What passed while a command ran, in seconds."""

    virtual_s: float
    real_s: float

    def __str__(self) -> str:
        text = f"{self.virtual_s:,.3f} s of virtual time passed in {self.real_s:,.2f} s of real time"
        if self.virtual_s < 1 or self.real_s <= 0:
            return text
        ratio = self.virtual_s / self.real_s
        return f"{text}, {f'{ratio:,.0f}' if ratio >= 10 else f'{ratio:.2g}'} times as fast"


@attrs.frozen(kw_only=True)
class VirtualTime:
    """How a guest runs in virtual time.

    Attributes
    ----------
    start : what the command's clock shows when it starts
    stall_s : so many seconds of real time may virtual time stand still, before the guest is ended
    default_rate_kbit : of links that have no rate, in kbit/s; None for none
    tell : called with what has passed, at the end, also after an error; None for nobody
    """

    start: datetime = START
    stall_s: float = attrs.field(default=60.0, validator=attrs.validators.gt(0))
    default_rate_kbit: float | None = DEFAULT_RATE_KBIT
    tell: Callable[[Passed], object] | None = None

    @property
    def begin(self) -> int:
        """`start` in seconds since 1970."""
        return int(self.start.timestamp())

    def kernel_arguments(self) -> tuple[str, ...]:
        """For the kernel's command line."""
        return "time-travel=inf-cpu", f"time-travel-start={(self.begin - BOOT_S) * 10**9}"

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """`env` as a command finds it: with what makes two runs alike, where nothing else is said."""
        rate = "" if self.default_rate_kbit is None else f"{self.default_rate_kbit:g}"
        return {"PYTHONHASHSEED": "0", **env, VARIABLE: "1", RATE_VARIABLE: rate}


class GuestStalledError(GuestError):
    """Virtual time stood still, and the guest was ended.

    Attributes
    ----------
    program : what ran meanwhile: a program's name; empty if that is not known
    virtual_s : the time at which it stood, since the command started
    stall_s : for so much real time
    moved_s : how far it got meanwhile, if it did not quite stand still
    """

    def __init__(self, program: str, virtual_s: float, stall_s: float, moved_s: float = 0.0) -> None:
        who = f"{program!r} is busy and lets no time pass" if program else "something in it lets no time pass"
        still = f"has stood still at {virtual_s:,.6f} s for {stall_s:g} s of real time"
        slow = f"hardly passes ({moved_s:.3f} s in {stall_s:g} s of real time, now at {virtual_s:,.3f} s)"
        super().__init__(
            f"virtual time {slow if moved_s >= _NOTICED_S else still}: {who}. Computing "
            "takes no virtual time: a loop that waits for the clock must sleep, and so must a sender that its link "
            "does not hold up (UDP, or no rate). If it only takes long, allow more with --stall"
        )
        self.program = program
        self.virtual_s = virtual_s
        self.stall_s = stall_s
        self.moved_s = moved_s


class Watchdog:
    """Finds out that virtual time stands still. Pure: is told the time, real and virtual, in seconds.

    Attributes
    ----------
    moved_s : how far virtual time got since it last passed
    next_look : when to look again, in real time
    """

    def __init__(self, stall_s: float) -> None:
        self.stall_s = stall_s
        self._since: tuple[float, float] | None = None
        self._seen: Counter[str] = Counter()
        self.next_look = self.moved_s = 0.0

    def __repr__(self) -> str:
        return f"<Watchdog since {self._since}>"

    def look(self, real_s: float, virtual_s: float, program: str) -> str | None:
        """What held the time up, the program seen most often; None while it passes."""
        self.next_look = real_s + _LOOK_S
        if self._since is None or virtual_s - self._since[1] >= self.stall_s * _LEAST:
            self._since = real_s, virtual_s
            self._seen.clear()
        self.moved_s = virtual_s - self._since[1]
        self._seen[program] += 1
        if real_s - self._since[0] < self.stall_s:
            return None
        return self._seen.most_common(1)[0][0]

    def excuse(self, real_s: float) -> None:
        """Time may stand still now: the guest waits for its output to be read."""
        self.next_look = real_s + _LOOK_S
        self._since = None
