"""Seed and names -> an own stream of random numbers, the same in every process."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A generator that depends on the seed and on the names alone.

    Every noun of the city draws from a stream of its own, so that a change in how one is made
    leaves all the others as they were.
    """
    words = [zlib.crc32(str(name).encode()) for name in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))
