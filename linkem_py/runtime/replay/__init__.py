# A recording, done again.
#
#   actions  what each recorded change asks a network for, or why nothing can be asked for (pure)
#   player   does it, each at its time
"""Replays of recordings."""

from linkem_py.runtime.replay.actions import Action, actions, not_replayed
from linkem_py.runtime.replay.player import Played, check_speed, play

__all__ = ["Action", "Played", "actions", "check_speed", "not_replayed", "play"]
