"""Keep this process's memory out of core dumps: it may hold card numbers and keys.

The limit alone does not do where the kernel pipes dumps into a program (core(5)): hence also the attribute,
which closes the process's memory to others of the same account, too.
"""

from __future__ import annotations

import ctypes
import resource

from services.node.errors import ConfigError

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def forbid_core_dumps() -> None:
    """Leave no dump whatever happens.

    Raises:
        ConfigError: The kernel refuses, which no Linux does: it is not one.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise ConfigError("the kernel does not keep this process out of core dumps: run it on Linux")
