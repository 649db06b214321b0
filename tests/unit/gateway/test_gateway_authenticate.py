from __future__ import annotations

import secrets

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from gateway.access.admission import Admission
from gateway.access.authenticate import Authenticator, verify_introduction
from gateway.access.exchange import Exchange
from gateway.access.merchants import Recalled
from gateway.api.operations import ALL_SCOPES
from gateway.config import LimitsConfig
from gateway.errors import CellUnavailable, SignatureReplayed, WrongCell
from gateway.store.registry import KnownKey
from signing import (
    HeaderDuplicated,
    KeyRevoked,
    KeyUnknown,
    Request,
    RequestSignatureInvalid,
    SigningKey,
    TargetNotCanonical,
    VerifiedRequest,
    sign_request,
)

NOW = 1_790_000_000
ORIGIN = "https://pay.example"
KEY, OTHER = SigningKey.generate("ed25519"), SigningKey.generate("ed25519")


class Keys:
    """A key directory that holds one key."""

    def __init__(self, *, revoked: bool = False, current: bool = True, home_cell: str = "eu") -> None:
        known = KnownKey(
            KEY.verifying_key, "mer_eu_1", home_cell, "2026-10-01", revoked=revoked, scopes=ALL_SCOPES
        )
        self.recalled = Recalled(known, current=current)

    async def find(self, key_id: str) -> Recalled[KnownKey] | None:
        return self.recalled if key_id == KEY.key_id else None


class Replays:
    """Remembers reads in memory, as the real one does in Redis."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()

    async def remember(self, verified: VerifiedRequest, *, now: int) -> None:  # noqa: ARG002 - the real one needs it
        if (verified.key_id, verified.nonce) in self.seen:
            raise SignatureReplayed("seen")
        self.seen.add((verified.key_id, verified.nonce))


def authenticator(keys: Keys, replays: Replays | None = None) -> Authenticator:
    return Authenticator(
        origins=frozenset({ORIGIN}),
        keys=keys,  # type: ignore[arg-type]  # keeps the promise of the real one
        replays=replays or Replays(),  # type: ignore[arg-type]  # as above
        admission=Admission(LimitsConfig()),
        cell="eu",
    )


def received(key: SigningKey, *, path: str = "/v1/payments", method: str = "POST", host: str = "pay.example",
             claimed: SigningKey | None = None, hosts: int = 1) -> web.Request:  # fmt: skip
    acting = (("Content-Type", "application/json"), ("Idempotency-Key", f'"{secrets.token_urlsafe(16)}"'))
    body = b"{}" if method != "GET" else None
    unsigned = Request(method, ORIGIN + path, acting if body else (), body)
    fields = sign_request(unsigned, key, now=NOW, nonce=secrets.token_urlsafe(24))
    if claimed is not None:
        fields = tuple((name, value.replace(key.key_id, claimed.key_id)) for name, value in fields)
    headers = CIMultiDict([("Host", host)] * hosts + [*unsigned.headers, *fields])
    request = make_mocked_request(method, path, headers=headers)
    request._read_bytes = body or b""
    return request


def exchange() -> Exchange:
    return Exchange("req_eu_x", "POST", "/v1/payments")


async def test_a_good_request_establishes_key_owner_and_signature() -> None:
    found = exchange()

    await authenticator(Keys()).authenticate(received(KEY), found, now=NOW)

    known, verified = found.require_caller()
    assert ("mer_eu_1", KEY.key_id) == (known.merchant_id, verified.key_id)


async def test_nothing_is_accepted_on_an_old_answer_of_the_directory_but_the_refusal_can_be_signed() -> None:
    found = exchange()

    with pytest.raises(CellUnavailable):
        await authenticator(Keys(current=False)).authenticate(received(KEY), found, now=NOW)

    assert found.verified is not None


async def test_a_forged_signature_under_an_old_answer_is_refused_as_forged() -> None:
    found = exchange()

    with pytest.raises(RequestSignatureInvalid):
        await authenticator(Keys(current=False)).authenticate(received(OTHER, claimed=KEY), found, now=NOW)

    assert found.verified is None


async def test_a_revoked_key_is_refused_and_its_answer_not_signed() -> None:
    found = exchange()

    with pytest.raises(KeyRevoked):
        await authenticator(Keys(revoked=True)).authenticate(received(KEY), found, now=NOW)

    assert found.known is not None
    assert found.verified is None


async def test_a_merchant_of_another_cell_is_told_so_only_after_proving_who_it_is() -> None:
    mine, forged = exchange(), exchange()

    with pytest.raises(WrongCell):
        await authenticator(Keys(home_cell="us")).authenticate(received(KEY), mine, now=NOW)
    with pytest.raises(RequestSignatureInvalid):
        await authenticator(Keys(home_cell="us")).authenticate(received(OTHER, claimed=KEY), forged, now=NOW)

    assert mine.verified is not None


async def test_an_unknown_key_is_refused_unless_it_may_introduce_itself() -> None:
    refused, introduced = exchange(), exchange()

    with pytest.raises(KeyUnknown) as refusal:
        await authenticator(Keys()).authenticate(received(OTHER), refused, now=NOW)
    await authenticator(Keys()).authenticate(received(OTHER), introduced, now=NOW, enrolling=True)

    assert refusal.value.signature_base is not None
    assert introduced.signed is not None
    assert introduced.verified is None


async def test_an_introduction_needs_the_very_key_that_signed() -> None:
    found = exchange()
    await authenticator(Keys()).authenticate(received(OTHER), found, now=NOW, enrolling=True)

    with pytest.raises(KeyUnknown):
        verify_introduction(found, KEY.verifying_key, now=NOW)
    assert found.verified is None
    verify_introduction(found, OTHER.verifying_key, now=NOW)

    assert found.verified is not None


async def test_a_read_is_remembered_and_a_request_that_acts_is_not() -> None:
    replays = Replays()
    read, act = received(KEY, path="/v1/payments/x", method="GET"), received(KEY)
    gate = authenticator(Keys(), replays)
    await gate.authenticate(read, exchange(), now=NOW)
    await gate.authenticate(act, exchange(), now=NOW)

    with pytest.raises(SignatureReplayed):
        await gate.authenticate(read, exchange(), now=NOW)

    assert 1 == len(replays.seen)
    await gate.authenticate(act, exchange(), now=NOW)


async def test_another_host_is_refused_however_it_is_signed() -> None:
    with pytest.raises(TargetNotCanonical):
        await authenticator(Keys()).authenticate(received(KEY, host="evil.example"), exchange(), now=NOW)


@pytest.mark.parametrize("hosts", [0, 2])
async def test_the_host_must_be_named_once(hosts: int) -> None:
    with pytest.raises(HeaderDuplicated):
        await authenticator(Keys()).authenticate(received(KEY, hosts=hosts), exchange(), now=NOW)


def test_a_handler_without_authentication_is_a_bug() -> None:
    with pytest.raises(RuntimeError):
        exchange().require_caller()
