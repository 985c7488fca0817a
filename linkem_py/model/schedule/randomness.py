"""Generators from seeds, and seeds from seeds: the one place where randomness is made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from linkem_py.errors import TopologyError

if TYPE_CHECKING:
    from linkem_py.model.topology import LinkKey  # topologies have schedules

Generator: TypeAlias = np.random.Generator  # noqa: TID251 - a type; what makes one is below

SEED_BITS = 64
BLOCK = 64  # deviates drawn at once: a call costs 0.5 us, a deviate in it 10 ns


def check_seed(seed: Any) -> int:
    """`seed` if it is a whole number of 64 bits; raises `TopologyError` otherwise."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**SEED_BITS:
        raise TopologyError("seed", f"must be a whole number of {SEED_BITS} bits", seed)
    return seed


def generator(seed: int) -> Generator:
    """A generator that follows from the seed alone.

    Philox, a keyed counter: streams of different seeds do not overlap (J. Salmon et al., "Parallel
    random numbers: as easy as 1, 2, 3", 2011).
    """
    return np.random.Generator(np.random.Philox(key=check_seed(seed)))  # noqa: TID251 - pure: seeded by the caller


def normals(seed: int) -> Iterator[float]:
    """Standard normal deviates without end, drawn in blocks; as single draws would give them."""
    draw = generator(seed)
    while True:
        yield from draw.standard_normal(BLOCK).tolist()


def exponentials(seed: int) -> Iterator[float]:
    """Exponential deviates of mean 1 without end, drawn in blocks."""
    draw = generator(seed)
    while True:
        yield from draw.standard_exponential(BLOCK).tolist()


def uniforms(seed: int) -> Iterator[float]:
    """Uniform deviates from 0 up to 1 without end, drawn in blocks."""
    draw = generator(seed)
    while True:
        yield from draw.random(BLOCK).tolist()


def seed_from(seed: int, *words: object) -> int:
    """Another seed, of 64 bits, from a seed and words that say whose it is."""
    text = "\0".join((str(check_seed(seed)), *map(str, words)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=SEED_BITS // 8).digest(), "big")


def link_seed(run_seed: int, link: LinkKey) -> int:
    """The seed of a link's schedule: from the run's seed and the link's identity, so that other links do not matter."""
    return seed_from(run_seed, "schedule", *link)
