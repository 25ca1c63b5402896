"""A command line -> the same command, that dies with whoever started it.

`python -m services.embedded.tether COMMAND...`: a supervisor that is killed outright cannot stop
its children. On Linux the kernel does it for us; elsewhere they are left to the operator.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tether() -> None:
    """Asks the kernel to end this process when its parent ends. The request outlives exec."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    tether()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - to run a command line is what it is for
