"""`python -m services.notifications --config FILE`; exit codes are in `--help`."""

from __future__ import annotations

from services.node.process import run
from services.notifications.app import main
from services.notifications.config import NotificationsConfig

if __name__ == "__main__":
    run(main, NotificationsConfig, "services.notifications")
