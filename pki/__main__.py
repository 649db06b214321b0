"""`python -m pki`."""

from __future__ import annotations

from pki.cli import main

main(prog_name="python -m pki")
