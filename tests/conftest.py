"""What holds for every test: a property may take its time, and what a test starts can be interrupted."""

from __future__ import annotations

import signal

from hypothesis import settings

# A deadline measures the machine, not the code: no test of ours is timed.
settings.register_profile("countermark", deadline=None)
settings.load_profile("countermark")

# A shell that starts us in the background has us ignore it, and whatever we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
