"""What stops the launcher: one sentence for a person, and an exit code."""

from __future__ import annotations

EXIT_FAILED = 1  # A step of the main job did not hold.
EXIT_PREREQUISITE = 3  # Something that the machine must have is missing or in use.


class StartError(Exception):
    """The stack cannot be started; the message says what to do about it."""

    def __init__(self, message: str, exit_code: int = EXIT_PREREQUISITE) -> None:
        super().__init__(message)
        self.exit_code = exit_code
