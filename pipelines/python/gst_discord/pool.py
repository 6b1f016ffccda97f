# SPDX-License-Identifier: LGPL-2.1-or-later
"""The worker processes that voice clients share."""
from __future__ import annotations

import itertools
import os
import weakref
from typing import Any, Dict, Optional

_numbers = itertools.count(1)


class AudioProcessPool:
    """Locked-up worker processes that decrypt and decode, shared by all that listen with this pool.

    max_processes: how many at most, ValueError below 1. They start when there is something to do.
    process_patience: seconds after which an idle one leaves; None = never.
    wait_timeout: accepted and checked, and not needed: no thread lingers between packets.

    A worker that dies is replaced and no packet is lost; see docs/elements/discordworkerdec.md.
    """

    def __init__(self, max_processes: int, *, wait_timeout: Optional[float] = 3,
                 process_patience: Optional[float] = None) -> None:
        if max_processes < 1:
            raise ValueError("max_processes must be at least 1")
        if wait_timeout is not None and wait_timeout < 0:
            raise ValueError("wait_timeout must be at least 0, or None")
        if process_patience is not None and process_patience < 0:
            raise ValueError("process_patience must be at least 0, or None")
        self.max_processes = max_processes
        self.wait_timeout = wait_timeout
        self.process_patience = process_patience
        self.name = f"python-{os.getpid()}-{next(_numbers)}"
        self._users: weakref.WeakSet = weakref.WeakSet()

    def properties(self) -> Dict[str, Any]:
        """Of discordworkerdec."""
        patience = 0 if self.process_patience is None else max(1, round(self.process_patience * 1000))
        return {"max-workers": self.max_processes, "idle-timeout": patience, "pool": self.name}

    def cleanup_processes(self) -> None:
        """Ends every listening that uses the pool, and so its processes. Blocks until they are gone (two seconds
        at most); for the end of a program, when the event loop no longer runs. Sinks are cleaned up."""
        users = list(self._users)
        for user in users:
            user.abort()
        for user in users:
            user.join(2)

    def _add(self, user: Any) -> None:
        self._users.add(user)
