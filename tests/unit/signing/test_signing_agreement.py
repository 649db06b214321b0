"""The fast ways through signing come to what the plain ways come to, for usual, unusual and hostile input."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

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


@settings(max_examples=2_000)
@given(
    request=requests(), origins=st.sampled_from([samples.ORIGINS, None, frozenset({"https://other.example"})])
)
def test_a_request_is_parsed_as_it_is_part_by_part(request: Request, origins: frozenset[str] | None) -> None:
    plain = _outcome(lambda: straightforward.parse(request, origins))

    assert plain == _outcome(lambda: _attributes(parse_for_origins(request, origins)))


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


@settings(max_examples=2_000)
@given(
    request=requests().map(_unsigned) | requests(),
    key_id=st.just(samples.MALLORY.key_id) | _edited(samples.MALLORY.key_id),
    alg=st.sampled_from(["ed25519", "ecdsa-p256-sha256"]) | _text,
    nonce=st.just(samples.NONCE) | _edited(samples.NONCE),
    now=st.sampled_from([samples.NOW, 0, -1, 10**12 - 1, 10**12]),
    lifetime_s=st.sampled_from([1, 299, 300, 301, 0]),
)
def test_a_request_is_prepared_as_it_is_part_by_part(
    request: Request, key_id: str, alg: Algorithm, nonce: str, now: int, lifetime_s: int
) -> None:
    def fast() -> object:
        return dataclasses.astuple(
            prepare_request(request, key_id=key_id, alg=alg, now=now, nonce=nonce, lifetime_s=lifetime_s)
        )

    plain = _outcome(lambda: straightforward.prepare(request, key_id, alg, now, nonce, lifetime_s))
    found = _outcome(fast)

    assert _without_reason(plain) == _without_reason(found)


def test_a_quote_moved_from_the_idempotency_key_into_the_nonce_is_refused() -> None:
    open_key = samples.with_header(samples.payment(), "idempotency-key", '"' + "k" * 20)
    outcome = _outcome(
        lambda: prepare_request(
            open_key,
            key_id=samples.MALLORY.key_id,
            alg="ed25519",
            now=samples.NOW,
            nonce='k"' + samples.NONCE,
        )
    )

    assert (UnsignableRequest,) == _without_reason(outcome)


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
