"""What the edge lets in: the declared surface in its one spelling, as signed clients send it (pure).

Methods, paths and media types are those of `gateway.api.surface`; whatever else comes is answered here and
costs the gateway nothing. What passes is buffered whole: nobody behind the edge waits for a slow sender, and
every request goes on with one length, however it was framed. No byte of what is signed is changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from compose.derive.envoy_replies import STRANGE_PATH
from compose.derive.places import Limits
from gateway.api.operations import Operation
from signing.profile import BODY_BYTES_MAX, MEDIA_TYPE, METHODS_THAT_ACT

HEADERS_MAX: Final = 64  # A signed request has about 12, a browser's 25.
# One merchant keeps some dozen; a connection costs about 60 kB. Envoy counts them all, not for each address.
CONNECTIONS_MAX: Final = 4096
HANDSHAKE_S_MAX: Final = 5.0  # Three packets each way, even from the other side of the world.
# Of one HTTP/2 connection: with 64 KiB buffered for each it holds 6 MiB at the most.
STREAMS_MAX: Final = 100
STREAM_WINDOW_BYTES: Final = 64 * 1024  # A whole body.
CONNECTION_WINDOW_BYTES: Final = 1024 * 1024  # What is on its way in all streams together.
# Addresses with a bucket of their own; beyond it the one that was quiet longest is forgotten.
SOURCES_MAX: Final = 10_000

# As in signing.profile: nothing that a proxy could rewrite. Ids begin with a small letter, which numbers of
# cards and accounts do not: targets are signed, and what is signed is kept, so a number in a path ends here.
_IDENTIFIER: Final = "[a-z][A-Za-z0-9_-]*"
_THUMBPRINT: Final = "[A-Za-z0-9_-]+"  # Of a key; a length would be beyond Envoy's bound on expressions.
# A file of the evidence log, `0/x001/234.p/5`: a dot never begins a segment.
_FILES: Final = r"[A-Za-z0-9_-]+(?:\.[a-z0-9]+)?(?:/[A-Za-z0-9_-]+(?:\.[a-z0-9]+)?)*"
# What claims to know where a request came from or what it means. Proxies and frameworks believe some of
# these; nothing here may ever begin to.
_STRIPPED: Final = (
    "forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip",
    "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-server", "x-original-url",
    "x-rewrite-url", "x-original-host", "x-http-method-override", "x-http-method", "x-method-override",
    "x-countermark-unsent", "proxy", "proxy-authorization",
)  # fmt: skip
_TYPE: Final = "type.googleapis.com/envoy.extensions.filters"


def surface_routes(operations: Sequence[Operation], forward: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the routes of the public listener, in the order in which Envoy tries them.

    Args:
        operations: the declared surface.
        forward: what is done with a request that is part of it: the `route` of Envoy.
    """
    methods: dict[str, list[str]] = {}
    for operation in operations:
        methods.setdefault(operation.path, []).append(operation.method)
    routes: list[dict[str, Any]] = []
    for path, named in methods.items():
        match = _path_match(path)
        acting = sorted(set(named) & METHODS_THAT_ACT)
        reading = sorted(set(named) - METHODS_THAT_ACT)
        allow = {"header": {"key": "allow", "value": ", ".join(sorted(named))}}
        if acting:
            headers = [_method(acting), _equal("content-type", MEDIA_TYPE), _absent("content-encoding")]
            routes.append({"match": {**match, "headers": headers}, "route": forward})
        if reading:
            headers = [_method(reading), _absent("content-encoding")]
            routes.append({"match": {**match, "headers": headers}, "route": forward})
        routes.append(_answer({**match, "headers": [_method(sorted(named))]}, 415))
        routes.append({**_answer(match, 405), "response_headers_to_add": [allow]})
    strange = {"name": ":path", "string_match": {"safe_regex": {"regex": STRANGE_PATH}}}
    return [_answer({"prefix": "/", "headers": [strange]}, 400), *routes, _answer({"prefix": "/"}, 404)]


def forwarded_fields() -> dict[str, Any]:
    """Return what the edge writes about a sender, and what it takes out of what the sender wrote."""
    source = {"key": "x-forwarded-for", "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}
    return {
        "request_headers_to_add": [{"header": source, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
        "request_headers_to_remove": list(_STRIPPED),
    }


def public_filters(limits: Limits) -> list[dict[str, Any]]:
    """Return the HTTP filters of the public listener: a rate for each address, then the whole request."""
    whole = {
        "@type": f"{_TYPE}.http.buffer.v3.Buffer",
        "max_request_bytes": BODY_BYTES_MAX,
    }
    return [_rate_of_source(limits), {"name": "envoy.filters.http.buffer", "typed_config": whole}]


def public_network_filters() -> list[dict[str, Any]]:
    """Return what stands before HTTP on the public listener: a bound on connections."""
    bound = {
        "@type": f"{_TYPE}.network.connection_limit.v3.ConnectionLimit",
        "stat_prefix": "public",
        "max_connections": CONNECTIONS_MAX,
    }
    return [{"name": "envoy.filters.network.connection_limit", "typed_config": bound}]


def public_protocol() -> dict[str, Any]:
    """Return the options of the connection manager that only the public listener has."""
    return {
        "http_protocol_options": {
            "accept_http_10": False,
            "allow_chunked_length": False,  # Two lengths are no length: RFC 9112 §6.3, request smuggling.
            "enable_trailers": False,  # No signature covers them.
        },
        "http2_protocol_options": {
            "max_concurrent_streams": STREAMS_MAX,
            "initial_stream_window_size": STREAM_WINDOW_BYTES,
            "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
        },
    }


def _rate_of_source(limits: Limits) -> dict[str, Any]:
    def bucket(per_s: int, burst: int) -> dict[str, Any]:
        return {"max_tokens": burst, "tokens_per_fill": per_s, "fill_interval": "1s"}

    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    # An entry without a value stands for every value: each has a bucket.
    address = {
        "entries": [{"key": "masked_remote_address"}],
        "token_bucket": bucket(limits.edge_source_per_s, limits.edge_source_burst),
    }
    # Of IPv6 the network, as in gateway.access.rate.
    masked = {"masked_remote_address": {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}
    # Where no bucket fits; never the case, and no limit of all senders together, which one could use up.
    anything = bucket(1_000_000_000, 1_000_000_000)
    limit = {
        "@type": f"{_TYPE}.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "source",
        "token_bucket": anything,
        "filter_enabled": {**always, "runtime_key": "countermark.source.enabled"},
        "filter_enforced": {**always, "runtime_key": "countermark.source.enforced"},
        "descriptors": [address],
        "max_dynamic_descriptors": SOURCES_MAX,
        "always_consume_default_token_bucket": False,
        "rate_limits": [{"actions": [masked]}],
    }
    return {"name": "envoy.filters.http.local_ratelimit", "typed_config": limit}


def _path_match(template: str) -> dict[str, Any]:
    if "{" not in template:
        return {"path": template}
    parts = re.split(r"(\{[^}]*\})", template)
    expression = "".join(_part(part) if part.startswith("{") else re.escape(part) for part in parts)
    return {"safe_regex": {"regex": expression}}


def _part(part: str) -> str:
    if part.endswith(":.+}"):
        return _FILES
    return _THUMBPRINT if part == "{key_id}" else _IDENTIFIER


def _method(names: Sequence[str]) -> dict[str, Any]:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(names)}}}


def _equal(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "string_match": {"exact": value}}


def _absent(name: str) -> dict[str, Any]:
    return {"name": name, "present_match": False}


def _answer(match: dict[str, Any], status: int) -> dict[str, Any]:
    """Answer at once; the document follows from the status (`compose.derive.envoy_replies`)."""
    return {"match": match, "direct_response": {"status": status}}
