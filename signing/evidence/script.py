"""The shell script that travels in every bundle: its bytes, and the hash that arbiters can have in advance.

Whoever does not trust the script in a bundle takes this one, or compares the hash; the
package refuses a bundle with a script that it never shipped.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

# Of the script that is shipped now.
SCRIPT_SHA256: Final = "2abcaef276140256eb74e2bf2211f479c2267a083ddd64bf74af0a21385814ee"
# Of every script that was ever shipped: bundles outlive releases, and none is taken out.
SCRIPTS_SHA256: Final = frozenset({SCRIPT_SHA256})


def verify_script() -> bytes:
    """Return the script that is put into bundles."""
    return resources.files(__package__).joinpath("verify.sh").read_bytes()


def bundle_readme() -> bytes:
    """Return the text for the arbiter that is put into bundles."""
    return resources.files(__package__).joinpath("bundle_readme.txt").read_bytes()
