"""Run the command: `python -m` and the name of this package."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
