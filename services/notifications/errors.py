"""The closed list of what this service refuses."""

from __future__ import annotations

from typing import ClassVar

from services.node.errors import MessageMalformed


class NotificationError(Exception):
    """The one base; `code` is stable."""

    code: ClassVar[str] = "notification-error"


class EventMalformed(MessageMalformed):
    """A message of the bus holds something else than events in their agreed form."""

    code = "event-malformed"


class URLRefused(NotificationError):
    """A webhook URL is not `https://host[:port][/path]` in its plain form."""

    code = "url-refused"


class AddressRefused(NotificationError):
    """A webhook URL leads to an address that is not public."""

    code = "address-refused"


class AllowanceMalformed(NotificationError):
    """An entry of `webhook_allowed_addresses` is not an exact `IP:port`."""

    code = "allowance-malformed"


class SealKeyUnusable(NotificationError):
    """The key that secrets are sealed to, or opened with, is none."""

    code = "seal-key-unusable"


class SecretUnreadable(NotificationError):
    """A stored secret does not open: another key, another place, or a changed row."""

    code = "secret-unreadable"
