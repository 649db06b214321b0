"""`listen`, in this process, against a gateway's stand-in over real TLS, and a local server that receives."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from signing import SigningKey, UnsignableRequest, listen_command, verify_webhook, webhook_key_from_text
from signing.forwarding import Forwarder
from tests.integration.signing.local_receiver import Received
from tests.integration.signing.wire_answers import cut, refuse, refuse_unsigned
from tests.integration.signing.wire_server import WireServer, running_wire_server, signed_answer
from tests.unit.signing import signing_samples as samples
from tests.unit.signing.command_run import Run


def event(sequence: int, kind: str = "payment.succeeded") -> dict[str, Any]:
    return {
        "id": f"evt_eu_p_{sequence}", "type": kind, "merchant_id": "m", "payment_id": "pay_eu_p",
        "account_id": "acc_eu_a", "account_version": None, "subject_id": None, "sequence": sequence,
        "at": "2026-11-27T09:20:11.123Z",
        "data": {
            "status": None, "kind": "collect", "amount_minor": 1999, "currency": "EUR",
            "merchant_reference": "Bestellung ä", "decline_code": None, "details": None,
        },
    }  # fmt: skip


def page(following: str, *events: dict[str, Any], key: SigningKey = samples.GATEWAY) -> Any:
    body = json.dumps(
        {"object": "feed", "url": "/v1/feed", "has_more": False, "next": following, "data": events}
    )
    return lambda raw: signed_answer(raw, key, 200, body.encode())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireServer]:
    with running_wire_server(tmp_path_factory.mktemp("listen"), cut) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(server: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.received.clear()
    server.script.clear()
    monkeypatch.setattr(listen_command, "AWAY_S", 0.01)


@pytest.fixture
def arguments(server: WireServer, tmp_path: Path) -> tuple[str | Path, ...]:
    key, trust = tmp_path / "key.pem", tmp_path / "trust.pem"
    key.write_bytes(samples.MERCHANT_ED25519.to_pem())
    key.chmod(0o600)
    trust.write_bytes(b"# gateway\n" + samples.GATEWAY.verifying_key.to_spki_pem())
    return ("--key", key, "--url", server.origin, "--cafile", server.cafile, "--trust", trust)


@pytest.fixture
def receiver() -> Iterator[Received]:
    with Received() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def places(server: WireServer) -> list[str]:
    return [request.target_uri.partition("/v1/feed")[2] for request in server.requests()]


def test_events_are_lines_and_the_feed_goes_on_from_place_to_place(
    server: WireServer, arguments: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    server.script += [page("f1.1.1"), page("f1.2.2", event(1, "payment.accepted")), page("f1.3.3", event(2))]

    run = Run(capsys, "listen", *arguments, "--count", "2")

    first, second = run.out.splitlines()
    assert 0 == run.code, run.err
    assert first.split() == ["09:20:11.123", "payment.accepted", "pay_eu_p", "#1", "EUR", "1999", "minor",
                             "Bestellung", "ä"]  # fmt: skip
    assert "payment.succeeded" in second
    assert "\x1b" not in run.out
    assert ["", "?after=f1.1.1", "?after=f1.2.2"] == places(server)
    waits = [dict(request.headers)["Prefer"] for request in server.requests()]
    assert ["wait=20"] * 3 == waits


def test_json_is_one_line_an_event_and_types_can_be_chosen(
    server: WireServer, arguments: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    server.script += [page("f1.1.1", event(1, "payment.accepted"), event(2), event(3, "refund.requested"))]

    run = Run(
        capsys, "listen", *arguments, "--count", "2", "--json", "--events", "refund.*,payment.succeeded",
        "--after", "f1.0.9",
    )  # fmt: skip

    assert [event(2), event(3, "refund.requested")] == [json.loads(line) for line in run.out.splitlines()]
    assert ["?after=f1.0.9"] == places(server)


def test_an_age_is_where_it_begins(
    server: WireServer, arguments: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    server.script += [page("f1.1.1", event(1))]

    Run(capsys, "listen", *arguments, "--count", "1", "--since", "2h")

    (asked,) = places(server)
    assert abs(int(asked.removeprefix("?created_gte=")) - (time.time() - 7200)) < 60


def test_a_gateway_that_is_away_for_a_while_loses_nothing(
    server: WireServer, arguments: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    server.script += [page("f1.1.1", event(1)), *[cut] * 8, page("f1.2.2", event(2))]

    run = Run(capsys, "listen", *arguments, "--count", "2")

    assert (0, 2) == (run.code, len(run.out.splitlines()))
    assert "trying again" in run.err
    assert {"", "?after=f1.1.1"} == set(places(server))


def test_another_hosts_certificate_is_not_waited_out(
    server: WireServer, arguments: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = ("--url", server.origin.replace("localhost", "pay.example"))
    run = Run(capsys, "listen", *arguments, *elsewhere, "--connect", f"127.0.0.1:{server.port}")

    assert (3, "") == (run.code, run.out)
    assert "certificate" in run.err


def test_a_page_that_nobody_signed_or_somebody_else_did_is_not_shown(
    server: WireServer, arguments: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    server.script += [page("f1.1.1", event(1), key=SigningKey.generate("ed25519"))]

    run = Run(capsys, "listen", *arguments, "--count", "1")

    assert (3, "") == (run.code, run.out)


def test_a_refusal_that_stays_ends_it(
    server: WireServer, arguments: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    server.script += [refuse(404, "not_found", retryable=False)]

    run = Run(capsys, "listen", *arguments, "--after", "f1.9.9")

    assert (1, "") == (run.code, run.out)
    assert "not_found" in run.err


def test_a_gateway_that_is_busy_is_asked_again(
    server: WireServer, arguments: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    busy = refuse_unsigned(503, "cell_unavailable", ("Retry-After", "0"), retryable=True)
    server.script += [*[busy] * 8, page("f1.1.1", event(1))]

    run = Run(capsys, "listen", *arguments, "--count", "1")

    assert 0 == run.code, run.err
    assert 1 == len(run.out.splitlines())


def test_each_event_is_forwarded_as_a_signed_webhook(
    server: WireServer,
    arguments: tuple[str | Path, ...],
    receiver: Received,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.script += [page("f1.1.1", event(1), event(2))]
    url = f"http://127.0.0.1:{receiver.server_port}/hook?a=1"

    run = Run(capsys, "listen", *arguments, "--count", "2", "--forward-to", url)

    (told,) = [word for word in run.err.split() if word.startswith("whpk_")]
    for number, (path, headers, body) in enumerate(receiver.hooks, start=1):
        verified = verify_webhook(headers, body, [webhook_key_from_text(told)], now=int(time.time()))
        assert ("/hook?a=1", f"evt_eu_p_{number}") == (path, verified.message_id)
        assert event(number) == json.loads(body)
        assert str(number) == headers["Countermark-Event-Sequence"]
    assert 2 == len(receiver.hooks)
    assert 2 == run.err.count("forwarded: 204")


def test_a_key_of_ones_own_signs_what_is_forwarded_and_redirects_lead_nowhere(
    server: WireServer,
    arguments: tuple[str | Path, ...],
    receiver: Received,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    receiver.status = 307
    key = SigningKey.generate("ed25519")
    path = tmp_path / "forward.pem"
    path.write_bytes(key.to_pem())
    path.chmod(0o600)
    server.script += [page("f1.1.1", event(1))]
    url = f"http://localhost:{receiver.server_port}"

    run = Run(capsys, "listen", *arguments, "--count", "1", "--forward-to", url, "--forward-key", path)

    [(target, headers, body)] = receiver.hooks
    verify_webhook(headers, body, [key.verifying_key], now=int(time.time()))
    assert "/" == target
    assert "forwarded: 307" in run.err


def test_a_receiver_that_is_away_is_said_and_ends_nothing(
    server: WireServer, arguments: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    server.script += [page("f1.1.1", event(1), event(2))]

    run = Run(capsys, "listen", *arguments, "--count", "2", "--forward-to", "http://127.0.0.1:1/")

    assert (0, 2) == (run.code, len(run.out.splitlines()))
    assert 2 == run.err.count("not forwarded: Connection refused")


@pytest.mark.parametrize(
    "url",
    [
        "http://merchant.example/hook", "http://127.0.0.1.nip.io/", "ftp://localhost/", "localhost:3000",
        "http://localhost:99999/", "http://user@localhost/", "http://localhost/a b", "http://localhost/\n",
        "http://localhost/ä", "http://", "https://",
    ],
)  # fmt: skip
def test_where_events_may_not_go(url: str) -> None:
    with pytest.raises(UnsignableRequest):
        Forwarder(url, samples.GATEWAY, time.time)


def test_ctrl_c_is_the_end_and_says_where_to_go_on(
    server: WireServer,
    arguments: tuple[str | Path, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.script += [page("f1.1.1", event(1)), page("f1.2.2", event(2))]
    shown: list[int] = []

    def show(each: dict[str, Any]) -> None:
        shown.append(each["sequence"])
        if len(shown) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(listen_command, "_show_line", show)
    run = Run(capsys, "listen", *arguments)

    # The second page was not dealt with to its end: it comes again.
    assert (0, [1, 2]) == (run.code, shown)
    assert run.err.endswith("--after f1.1.1\n")


@pytest.mark.parametrize(
    ("option", "value"), [("--since", "soon"), ("--since", "-1h"), ("--count", "0"), ("--count", "x")]
)
def test_wrong_usage(
    arguments: tuple[str | Path, ...], option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == Run(capsys, "listen", *arguments, f"{option}={value}").code


def test_the_shells_variables_stand_in(
    server: WireServer,
    arguments: tuple[str | Path, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {str(name): str(value) for name, value in zip(arguments[::2], arguments[1::2], strict=True)}
    for name, variable in (("--key", "CM_KEY"), ("--url", "CM_ORIGIN"), ("--cafile", "CM_CACERT"),
                           ("--trust", "CM_TRUST")):  # fmt: skip
        monkeypatch.setenv(variable, given[name])
    monkeypatch.setenv("CM_CONNECT", f"127.0.0.1:{server.port}")
    server.script += [page("f1.1.1", event(1))]

    assert 0 == Run(capsys, "listen", "--count", "1").code
    monkeypatch.delenv("CM_KEY")
    assert 2 == Run(capsys, "listen", "--count", "1").code
