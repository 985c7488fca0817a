"""Does what was recorded again, each change at its time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from linkem_py.errors import LinkemError, RequestError
from linkem_py.runtime.recording import RecordedChange, Recording
from linkem_py.runtime.replay.actions import actions, not_replayed

if TYPE_CHECKING:
    from linkem_py.runtime.network import Network


@attrs.frozen(kw_only=True)
class Played:
    """How a replay went.

    Attributes
    ----------
    made : how many changes were done again
    notices : which could not be, in words, and what was refused
    refused : changes that the network or its kernel refused, with the error
    latest_s : how late the latest one was asked for; 0 without waiting
    """

    made: int
    notices: tuple[str, ...] = ()
    refused: tuple[tuple[RecordedChange, LinkemError], ...] = ()
    latest_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "made": self.made,
            "refused": len(self.refused),
            "latest_s": round(self.latest_s, 6),
            "notices": list(self.notices),
        }


def check_speed(speed: Any) -> float:
    """A speed as a number, infinite for no waiting. Raises `RequestError`."""
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not speed > 0:
        raise RequestError("speed", "must be a number above 0 (math.inf: without waiting)", speed)
    return float(speed)


async def play(
    net: Network, recording: Recording, *, speed: float = 1.0, tell: Callable[[str], None] = lambda _: None
) -> Played:
    """Make the changes of a recording in a network that runs, each at its time, until the recording's end.

    A change that is refused is told and passed over, and so is one that cannot be done again. Cancelling it
    leaves the network as it is then.

    Parameters
    ----------
    speed : 2 is twice as fast; `math.inf` does not wait at all
    tell : called with what could not be done, in words

    Raises `RequestError` for another speed.
    """
    speed = check_speed(speed)
    found = actions(recording.changes)
    notices = not_replayed(found)
    for text in notices:
        tell(text)
    clock = asyncio.get_running_loop().time
    began_s = clock()
    made, latest_s = 0, 0.0
    refused: list[tuple[RecordedChange, LinkemError]] = []
    for action in found:
        change = action.change
        due_s = began_s + change.at_s / speed
        await asyncio.sleep(max(0.0, due_s - clock()))
        if action.request is None:
            continue
        if speed != math.inf:
            latest_s = max(latest_s, clock() - due_s)
        try:
            await action.request(net)
            made += 1
        except LinkemError as error:
            refused.append((change, error))
            notices.append(f"{change.what!r} of {change.at_s:.3f} s was refused: {error}")
            tell(notices[-1])
    await asyncio.sleep(max(0.0, began_s + recording.end_s / speed - clock()))
    return Played(made=made, notices=tuple(notices), refused=tuple(refused), latest_s=latest_s)
