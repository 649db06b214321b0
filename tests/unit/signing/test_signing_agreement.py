"""The fast ways through signing come to what the plain ways come to, for usual, unusual and hostile input."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signing import (
    Algorithm,
    Request,
    SignedRequest,
    SigningError,
    UnsignableRequest,
    prepare_request,
    sign_receipt,
)
from signing.request_parsing import parse_for_origins
from signing.request_rules import read_fields
from tests.unit.signing import signing_samples as samples
from tests.unit.signing import straightforward

_SIGNED = [
    samples.signed(request, key)
    for key in samples.MERCHANT_KEYS
    for request in (
        samples.payment(),
        samples.payment(method="DELETE", target="/v1/payments/pay_eu_1?a=1&b=2"),
        samples.inquiry(),
        samples.inquiry("/v1/payments?limit=5"),
    )
]
_NAMES = [
    *sorted({name for request in _SIGNED for name, _ in request.headers}),
    "Content-Encoding", "Transfer-Encoding", "Trailer", "X-Request-Id", "x-forwarded-for",
]  # fmt: skip
# Pieces that could make one value look like two, or two like one.
_hostile = st.sampled_from(
    [
        "", "\n", '"', "=", ":", ";", " ", "None", "é", "\u212a", "0", "/", "?a=1", ":443", "..", "\x00",
        '\n"content-type": application/json', '";keyid="', '\n"@signature-params": ', "countermark=",
        ";created=1790000000", ';nonce="bm9uY2Utb2YtYS10ZXN0LXZlY3Rvcg"', "identity", "12345678901234567",
    ]
)  # fmt: skip
_text = _hostile | st.text(max_size=4)


@st.composite
def _edited(draw: st.DrawFn, value: str) -> str:
    start = draw(st.integers(0, len(value)))
    end = draw(st.integers(start, min(len(value), start + 3)) | st.just(len(value)))
    return value[:start] + draw(_text) + value[end:]


@st.composite
def _shuffled_parameters(draw: st.DrawFn, value: str) -> str:
    covered, *parameters = value.split(";")
    return ";".join([covered, *draw(st.permutations(parameters))])


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Return a signed request with up to three changes, of which many leave it valid."""
    request = draw(st.sampled_from(_SIGNED))
    for _ in range(draw(st.integers(0, 3))):
        headers = list(request.headers)
        position = draw(st.integers(0, len(headers) - 1)) if headers else 0
        name, value = headers[position] if headers else ("Host", "")
        change = draw(st.integers(0, 11))
        match change:
            case 0 | 1 | 2:
                headers[position : position + 1] = [(name, draw(_edited(value)))]
            case 3:
                headers[position : position + 1] = [
                    (draw(st.sampled_from([name.lower(), name.upper()])), value)
                ]
            case 4:
                headers[position : position + 1] = [(draw(_edited(name)), value)]
            case 5:
                headers[position : position + 1] = []
            case 6:
                headers.insert(position, (draw(st.sampled_from(_NAMES)), draw(st.just(value) | _text)))
            case 7:
                headers = list(draw(st.permutations(headers)))
            case 8:
                request = dataclasses.replace(request, target_uri=draw(_edited(request.target_uri)))
            case 9:
                request = dataclasses.replace(
                    request, method=draw(st.sampled_from(["GET", "PUT", "get", "POST\n", "", "HEAD"]))
                )
            case 10:
                request = dataclasses.replace(
                    request, body=draw(st.sampled_from([None, b"", b"{}", b"x" * 300_000]))
                )
            case _:
                headers = [
                    (n, draw(_shuffled_parameters(v)) if n == "Signature-Input" else v) for n, v in headers
                ]
        request = dataclasses.replace(request, headers=tuple(headers))
    return request


def _outcome(run: Callable[[], object]) -> object:
    """Return the value, or the refusal with all that its sender sees."""
    try:
        return run()
    except SigningError as error:
        return type(error), str(error), getattr(error, "signature_base", None)


def _attributes(signed: SignedRequest) -> dict[str, object]:
    return {field.name: getattr(signed, field.name) for field in dataclasses.fields(signed)}


def _parsed(request: Request, origins: frozenset[str] | None) -> object:
    return _outcome(lambda: _attributes(parse_for_origins(request, origins)))


def _parsed_plainly(request: Request, origins: frozenset[str] | None) -> object:
    return _outcome(lambda: straightforward.parse(request, origins))


@settings(max_examples=2_000)
@given(
    request=requests(), origins=st.sampled_from([samples.ORIGINS, None, frozenset({"https://other.example"})])
)
def test_a_request_is_parsed_as_it_is_part_by_part(request: Request, origins: frozenset[str] | None) -> None:
    assert _parsed_plainly(request, origins) == _parsed(request, origins)


@given(headers=st.lists(st.tuples(st.sampled_from(_NAMES).flatmap(lambda n: st.just(n) | _edited(n)), _text)))
def test_fields_are_read_as_they_are_in_lower_case(headers: list[tuple[str, str]]) -> None:
    plain = _outcome(lambda: straightforward.read_fields(tuple(headers)))

    assert plain == _outcome(lambda: read_fields(tuple(headers)))


def _without_reason(outcome: object) -> object:
    """Leave the class alone of a refusal: which of several faults is named first may differ."""
    return outcome[:1] if isinstance(outcome, tuple) and isinstance(outcome[0], type) else outcome


def _unsigned(request: Request) -> Request:
    made_here = {"signature", "signature-input", "content-digest"}
    return dataclasses.replace(
        request,
        headers=tuple((name, value) for name, value in request.headers if name.lower() not in made_here),
    )


def _prepared_both_ways(
    request: Request,
    *,
    key_id: str = samples.MALLORY.key_id,
    alg: Algorithm = "ed25519",
    nonce: str = samples.NONCE,
    now: int = samples.NOW,
    lifetime_s: int = 300,
) -> tuple[object, object]:
    def fast() -> object:
        return dataclasses.astuple(
            prepare_request(request, key_id=key_id, alg=alg, now=now, nonce=nonce, lifetime_s=lifetime_s)
        )

    plain = _outcome(lambda: straightforward.prepare(request, key_id, alg, now, nonce, lifetime_s))
    return _without_reason(plain), _without_reason(_outcome(fast))


@settings(max_examples=2_000)
@given(request=requests().map(_unsigned) | requests())
def test_a_request_is_prepared_as_it_is_part_by_part(request: Request) -> None:
    plain, fast = _prepared_both_ways(request)

    assert plain == fast


@given(
    request=st.sampled_from(_SIGNED).map(_unsigned),
    key_id=st.just(samples.MALLORY.key_id) | _edited(samples.MALLORY.key_id),
    alg=st.sampled_from(["ed25519", "ecdsa-p256-sha256"]) | _text,
    nonce=st.just(samples.NONCE) | _edited(samples.NONCE),
    now=st.sampled_from([samples.NOW, 0, -1, 10**12 - 1, 10**12]),
    lifetime_s=st.sampled_from([1, 299, 300, 301, 0]),
)
def test_parameters_are_taken_as_they_are_one_by_one(
    request: Request, key_id: str, alg: Algorithm, nonce: str, now: int, lifetime_s: int
) -> None:
    plain, fast = _prepared_both_ways(
        request, key_id=key_id, alg=alg, nonce=nonce, now=now, lifetime_s=lifetime_s
    )

    assert plain == fast


@settings(max_examples=500)
@given(
    request=st.sampled_from(_SIGNED), target=st.sampled_from(_SIGNED).flatmap(lambda r: _edited(r.target_uri))
)
def test_a_target_is_read_as_it_is_part_by_part(request: Request, target: str) -> None:
    moved = dataclasses.replace(request, target_uri=target)
    origins = frozenset({target[: target.find("/v1")]})
    plain, fast = _prepared_both_ways(_unsigned(moved))

    assert plain == fast
    for of_verifier in (origins, samples.ORIGINS, None):
        assert _parsed_plainly(moved, of_verifier) == _parsed(moved, of_verifier)


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("value", ["identity", "1", samples.header(_SIGNED[0], "signature")])
def test_one_field_more_or_less_is_read_as_it_is_part_by_part(name: str, value: str) -> None:
    for request in _SIGNED:
        more = request.with_headers(((name, value),))
        less = samples.with_header(request, name, None)
        for changed in (more, less, more.with_headers((("X-Other", ""),))):
            plain, fast = _prepared_both_ways(_unsigned(changed))

            assert plain == fast
            assert _parsed_plainly(changed, samples.ORIGINS) == _parsed(changed, samples.ORIGINS)


@pytest.mark.parametrize("body", [None, b"", b"{}"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "post", ""])
def test_a_method_with_or_without_a_body_is_read_as_it_is_part_by_part(
    method: str, body: bytes | None
) -> None:
    for request in _SIGNED:
        changed = dataclasses.replace(request, method=method, body=body)
        plain, fast = _prepared_both_ways(_unsigned(changed))

        assert plain == fast
        assert _parsed_plainly(changed, samples.ORIGINS) == _parsed(changed, samples.ORIGINS)


def test_a_quote_moved_from_the_idempotency_key_into_the_nonce_is_refused() -> None:
    open_key = samples.with_header(samples.payment(), "idempotency-key", '"' + "k" * 20)
    plain, fast = _prepared_both_ways(open_key, nonce='k"' + samples.NONCE)

    assert ((UnsignableRequest,), (UnsignableRequest,)) == (plain, fast)


@given(request=st.sampled_from(_SIGNED), status=st.integers(200, 599))
def test_a_receipt_covers_the_lines_of_the_request_it_answers(request: Request, status: int) -> None:
    signed = samples.parsed(request)
    bases: list[bytes] = []

    class Recorder:
        alg = samples.GATEWAY.alg
        key_id = samples.GATEWAY.key_id

        def sign(self, base: bytes, /) -> bytes:
            bases.append(base)
            return bytes(64)

    fields = dict(sign_receipt(signed, samples.answer(status), Recorder(), now=samples.NOW))
    plain = straightforward.receipt_base(
        signed,
        status,
        "application/json",
        fields["Content-Digest"],
        fields["Signature-Input"].partition("=")[2],
    )

    assert [plain] == bases
