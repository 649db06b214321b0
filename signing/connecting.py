"""Which gateway a command speaks with: its arguments, and the client that is made of them.

What `./start --env` prints for the shell stands in for arguments that are left out, where a command
says so: addresses and paths, never a secret.
"""

from __future__ import annotations

import errno
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .arguments import add_passphrase, address
from .key_file import load_verifying_keys

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from .client import Gateway
    from .keys import SigningKey, VerifyingKey

# Shell variables by argument. The trust file pins the gateway's keys.
VARIABLES: Final = {
    "--key": "CM_KEY",
    "--url": "CM_ORIGIN",
    "--cafile": "CM_CACERT",
    "--connect": "CM_CONNECT",
    "--trust": "CM_TRUST",
}


def add_origin_of_gateway(parser: argparse.ArgumentParser) -> None:
    """Add `--url`, which has to be given."""
    parser.add_argument(
        "--url", required=True, metavar="URL", help="the gateway's origin, https://host[:port]"
    )


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add what a connection is believed by."""
    pins = parser.add_mutually_exclusive_group()
    pins.add_argument("--gateway-keys", type=Path, metavar="FILE", help="the gateway's public keys, pinned")
    pins.add_argument(
        "--gateway-key-id",
        action="append",
        metavar="ID",
        help="a pinned id of a gateway key; may be repeated. Without pins, TLS alone vouches for the keys",
    )
    parser.add_argument("--cafile", type=Path, metavar="PEM", help="believe these authorities alone")
    parser.add_argument(
        "--connect", type=address, metavar="HOST:PORT", help="connect here; the certificate is still checked"
    )


def add_gateway(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    """Add the key and the gateway, each of which a shell variable may stand in for.

    Args:
        parser: of a command that asks the gateway.
        environment: the shell's variables.
    """

    def stands_in(option: str) -> str | None:
        return environment.get(VARIABLES[option]) or None

    def add(option: str, metavar: str, text: str, kind: type | None = None) -> None:
        given = stands_in(option)
        required = given is None and option in ("--key", "--url")
        about = f"{text}; else ${VARIABLES[option]}"
        parser.add_argument(
            option, type=kind or str, default=given, required=required, metavar=metavar, help=about
        )

    add("--key", "KEY.pem", "private key: PKCS#8 PEM, or JWK", Path)
    add_passphrase(parser)
    add("--url", "URL", "the gateway's origin, https://host[:port]")
    add("--trust", "FILE", "the trust file that came with the contract: it pins the gateway's keys", Path)
    add("--cafile", "PEM", "believe these authorities alone", Path)
    parser.add_argument(
        "--connect",
        type=address,
        default=stands_in("--connect"),
        metavar="HOST:PORT",
        help="connect here; the certificate is still checked; else $CM_CONNECT",
    )


def connect(options: argparse.Namespace, signer: SigningKey) -> Gateway:
    """Return a client of the gateway that the arguments name.

    Raises:
        OSError: a file cannot be read, or holds no certificate.
        KeyRefused: a pinned key is none.
        TrustMalformed: the trust file is none.
    """
    from .client import Gateway  # noqa: PLC0415 - no other command needs sockets

    if options.cafile is not None:
        _require_authorities(options.cafile)
    keys: Iterable[VerifyingKey] | None = None
    ids = None
    if getattr(options, "trust", None) is not None:
        from .evidence.trust import parse_trust  # noqa: PLC0415 - nor this

        keys = parse_trust(options.trust.read_bytes()).gateways
    elif getattr(options, "gateway_keys", None) is not None:
        keys = load_verifying_keys(options.gateway_keys).values()
    else:
        ids = getattr(options, "gateway_key_id", None)
    return Gateway(
        options.url,
        signer,
        gateway_keys=keys,
        gateway_key_ids=ids,
        cafile=options.cafile,
        connect_to=options.connect,
    )


def _require_authorities(cafile: Path) -> None:
    try:
        ssl.create_default_context(cafile=str(cafile))
    except ssl.SSLError as error:
        raise OSError(errno.EINVAL, "it holds no certificate in PEM", str(cafile)) from error
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(cafile)) from error
