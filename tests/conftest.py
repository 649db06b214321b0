"""What holds for every test: a property may take its time, since the machine may be busy with others."""

from __future__ import annotations

from hypothesis import settings

# A deadline measures the machine, not the code: no test of ours is timed.
settings.register_profile("countermark", deadline=None)
settings.load_profile("countermark")
