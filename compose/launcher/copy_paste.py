"""What a person can paste: shell variables of the running stack, the SDK in ten lines, openssl with curl."""

from __future__ import annotations

import shlex
from pathlib import Path

from compose.demo.evidence import BUNDLE_FILE
from compose.demo.merchant import KEY_FILE
from compose.derive.process_config import TRUST_KEYS_FILE
from compose.launcher.demonstration import TRUST_FILE
from compose.launcher.errors import EXIT_FAILED, StartError
from compose.launcher.layout import default_data_dir
from compose.launcher.ports import LOOPBACK
from compose.launcher.release import checkout_root
from compose.launcher.stack import DEMO_MERCHANT, Stack
from signing import SigningKey
from signing.evidence.trust import parse_trust
from signing.evidence_command import script_arguments

ENVIRONMENT_FILE = "demo.env"

# Tried by the tests as it stands.
SDK_EXAMPLE = """\
  printf '{"kind":"collect","amount":1999,"currency":"EUR","instrument":"tok_visa_ok"}' > payment.json
  .venv/bin/python -m signing sign --key "$CM_KEY" --method POST --url "$CM_ORIGIN/v1/payments" \\
    --body payment.json --idempotency-key "$(openssl rand -hex 16)" > payment.headers
  curl -i --cacert "$CM_CACERT" --resolve "$CM_RESOLVE" "$CM_ORIGIN/v1/payments" \\
    -H @payment.headers --data-binary @payment.json"""

EVIDENCE_EXAMPLE = """\
  .venv/bin/python -m signing evidence verify "$CM_EVIDENCE" --trust "$CM_TRUST\""""


def environment_text(stack: Stack) -> str:
    """Shell assignments that the examples use; nothing in it is secret, the key is a path."""
    key_file = stack.layout.state / DEMO_MERCHANT / KEY_FILE
    trust_file = stack.layout.run / TRUST_KEYS_FILE
    host, port = stack.mesh.dns("edge"), stack.ports["edge.public"]
    values = {
        "CM_ORIGIN": stack.places.origins[0],
        "CM_RESOLVE": f"{host}:{port}:{LOOPBACK}",
        "CM_CACERT": str(stack.layout.run / DEMO_MERCHANT / TRUST_FILE),
        "CM_KEY": str(key_file),
        "CM_KEY_ID": SigningKey.from_pem(key_file.read_bytes()).key_id,
        "CM_CONNECT": f"{LOOPBACK}:{port}",
        "CM_EVIDENCE": str(stack.layout.state / DEMO_MERCHANT / BUNDLE_FILE),
        "CM_TRUST": str(trust_file),
        "CM_FINGERPRINTS": " ".join(script_arguments(parse_trust(trust_file.read_bytes()))),
    }
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())


def read_environment(data: Path) -> str:
    """The assignments of the stack that uses this data directory.

    Raises:
        StartError: No demonstration has run there.
    """
    try:
        return (data / ENVIRONMENT_FILE).read_text(encoding="utf-8").rstrip("\n")
    except OSError as fault:
        raise StartError(
            f"no demonstration merchant is known in {data} ({fault.strerror}): run ./start first", EXIT_FAILED
        ) from fault


def how_to_text(stack: Stack) -> str:
    """How to sign a request, and how to stop."""
    return f"""
Sign a request with openssl and curl (README, "With openssl and curl"); in another terminal:
  cd {shlex.quote(str(checkout_root()))}
  eval "$(./start --env{_data_option(stack)})"
  sh compose/demo/pay.sh

Or sign it with the SDK:
{SDK_EXAMPLE}

Verify the evidence of the payment above, as an arbiter would:
{EVIDENCE_EXAMPLE}

The gateway's certificate is verified with {stack.layout.run / DEMO_MERCHANT / TRUST_FILE}
($CM_CACERT): while this runs, that file follows every rotation, so read it for each connection, keep no copy.

Logs are in {stack.layout.log}. Stop everything with Ctrl-C.
"""


def _data_option(stack: Stack) -> str:
    default = default_data_dir(checkout_root()).resolve() == stack.layout.root
    return "" if default else f" --data-dir {shlex.quote(str(stack.layout.root))}"
