"""What commands answer: refunds that were asked for, and keys (pure)."""

from __future__ import annotations

from typing import Literal

from gateway.api.shapes import Key, Shape


class RefundRequested(Shape, frozen=True, kw_only=True):
    """The answer to a refund: it will be driven to one outcome; its payment's events tell which.

    Attributes:
        origin: who asked for it; `user` is the merchant.
    """

    id: str
    object: Literal["refund"] = "refund"
    payment_id: str
    origin: Literal["user"] = "user"
    status: Literal["requested"] = "requested"
    amount: int
    currency: str
    reason: str | None
    created_at: str


class RefundCommand(Shape, frozen=True, kw_only=True):
    """What was asked of a refund; its payment's events tell what came of it."""

    id: str
    object: Literal["refund_command"] = "refund_command"
    action: str
    refund_id: str
    status: Literal["accepted"] = "accepted"


class ListedKey(Key, frozen=True, kw_only=True):
    """A key with its history.

    Attributes:
        status: whether it may sign.
        registered_at: when it was registered.
        revoked_at: null while it may sign.
    """

    registered_at: str
    revoked_at: str | None


class Keys(Shape, frozen=True, kw_only=True):
    """A page of the merchant's keys, the newest first."""

    object: Literal["list"] = "list"
    url: str
    has_more: bool
    data: list[ListedKey]


class AccessToken(Shape, frozen=True, kw_only=True):
    """What a client shows to read, as RFC 6749 §5.1 names its members.

    Attributes:
        access_token: a secret; it reads together with a proof by the key that it is bound to.
        expires_in: seconds.
        token_type: how it is shown: `Authorization: DPoP …` (RFC 9449).
        scope: what it may do.
    """

    access_token: str
    expires_in: int
    token_type: Literal["DPoP"] = "DPoP"  # noqa: S105 - how a token is shown, not one
    scope: Literal["read"] = "read"
