"""The closed list of refusals and faults that the node raises."""

from __future__ import annotations


class NodeError(Exception):
    """Whatever the node refuses or cannot do; `code` is stable."""

    code = "node-error"


class ConfigError(NodeError):
    """The configuration cannot be used; the message lists each fault and its mend."""

    code = "config-invalid"


class PeerRefused(NodeError):
    """The calling service is unknown or not on the caller list of this route."""

    code = "peer-refused"


class HopUnsent(NodeError):
    """No byte of the request reached the callee: it is safe to try again or elsewhere."""

    code = "hop-unsent"


class HopUnknown(NodeError):
    """The request may have had its effect; only asking the callee can tell."""

    code = "hop-unknown"


class MessageMalformed(NodeError):
    """A message of the bus is not of the agreed form; sending it again would not help."""

    code = "message-malformed"


class ReplayStuck(NodeError):
    """What was read again could not be committed, for longer than a restart of the store takes."""

    code = "replay-stuck"


class MigrationError(NodeError):
    """A migration that ran before has changed, or one failed; nothing of it was kept."""

    code = "migration-failed"
