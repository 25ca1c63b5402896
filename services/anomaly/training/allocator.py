"""Tells glibc to keep what is freed, for tensors that come and go by the hundred megabyte."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Large blocks come from the heap, and the heap never shrinks; True where that is so now.

    By default every large tensor is a mapping of its own, which the kernel must fill with zeros
    page by page: 28 % of a training step's CPU time (measured on two cores at batch 2).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL("libc.so.6")
    return bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, -1))
