"""Envoy's TLS settings for one hop: TLS 1.3 only, both sides prove a SPIFFE id, files reloaded on rotation.

Certificate and trust come from SDS files whose folder is watched, so that a new generation is taken when the
`current` link moves. No session resumption: a ticket outlives the trust it was issued under.
"""

from __future__ import annotations

from typing import Any

from compose.derive.places import Places
from compose.mesh import Mesh

IDENTITY_FILE = "sds-identity.json"
TRUST_FILE = "sds-trust.json"
_DISCOVERY = "type.googleapis.com/envoy.service.discovery.v3.DiscoveryResponse"
_SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type name.
_UPSTREAM = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_DOWNSTREAM = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_TLS13 = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}


def secret_files(name: str, places: Places) -> dict[str, dict[str, Any]]:
    """The two SDS files of one Envoy: its own certificate, and the roots that it trusts with their lists."""
    current = places.identity(name)
    watched = {"path": str(current.parent)}
    identity = {
        "certificate_chain": {"filename": str(current / "cert.pem")},
        "private_key": {"filename": str(current / "key.pem")},
        "watched_directory": watched,
    }
    trust = {
        "trusted_ca": {"filename": str(current / "trust.pem")},
        # Of every CA of the chain, the root included: with one missing or expired, everybody is refused.
        "crl": {"filename": str(current / "crl.pem")},
        "watched_directory": watched,
    }
    return {
        IDENTITY_FILE: _discovery({"name": "identity", "tls_certificate": identity}),
        TRUST_FILE: _discovery({"name": "trust", "validation_context": trust}),
    }


def _discovery(secret: dict[str, Any]) -> dict[str, Any]:
    return {"@type": _DISCOVERY, "resources": [{"@type": _SECRET, **secret}]}


def _common(name: str, places: Places, peers: list[str], alpn: list[str]) -> dict[str, Any]:
    folder = places.run / name
    context: dict[str, Any] = {
        "tls_params": _TLS13,
        "alpn_protocols": alpn,
        "tls_certificate_sds_secret_configs": [_sds("identity", folder / IDENTITY_FILE)],
    }
    if peers:
        matchers = [{"san_type": "URI", "matcher": {"exact": peer}} for peer in peers]
        context["combined_validation_context"] = {
            "default_validation_context": {"match_typed_subject_alt_names": matchers},
            "validation_context_sds_secret_config": _sds("trust", folder / TRUST_FILE),
        }
    return context


def _sds(secret: str, path: object) -> dict[str, Any]:
    return {
        "name": secret,
        "sds_config": {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"},
    }


def upstream(mesh: Mesh, name: str, places: Places, callee: str, alpn: str) -> dict[str, Any]:
    """Transport socket of a cluster: `name` proves itself and requires the callee's SPIFFE id."""
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": _UPSTREAM,
            "sni": mesh.dns(callee),
            "common_tls_context": _common(name, places, [mesh.spiffe(callee)], [alpn]),
        },
    }


def downstream(mesh: Mesh, name: str, places: Places, callers: list[str], alpn: list[str]) -> dict[str, Any]:
    """Transport socket of a listener: exactly these workloads may connect, each with its certificate."""
    if not callers:
        raise ValueError(f"{name}: a mesh listener without callers would admit anybody")
    return _listener(_common(name, places, [mesh.spiffe(caller) for caller in callers], alpn), mutual=True)


def public(name: str, places: Places, alpn: list[str]) -> dict[str, Any]:
    """Transport socket of the merchants' listener: they prove themselves by signatures, not certificates."""
    return _listener(_common(name, places, [], alpn), mutual=False)


def _listener(common: dict[str, Any], *, mutual: bool) -> dict[str, Any]:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": _DOWNSTREAM,
            "require_client_certificate": mutual,
            "disable_stateless_session_resumption": True,
            "disable_stateful_session_resumption": True,
            "common_tls_context": common,
        },
    }
