"""Envoy configuration of the edge and of each sidecar (pure).

Paths pass through byte for byte or not at all: no normalisation, no merging of slashes, no unescaping, since
the request target is signed.
"""

from __future__ import annotations

from typing import Any

from compose.derive import envoy_edge, envoy_tls
from compose.derive.connection_age import phases_of
from compose.derive.envoy_replies import local_replies
from compose.derive.places import Address, Places
from compose.mesh import Mesh, Service
from gateway.api.surface import OPERATIONS
from services.node.health import READY_PATH

CONNECT_S_MAX = 1.0  # A handshake on loopback takes milliseconds; waiting longer hides a dead peer.
# A Python process takes up connections one after the other, some milliseconds each, between requests: when
# hundreds of merchants come in one moment to a busy host, the last handshake took more than three seconds.
# When one ends by this, Envoy refuses everything that waits for any connection. A port where nobody listens
# is known at once.
APP_CONNECT_S_MAX = 10.0
# Retries under way at once; Envoy's own 3 refused all but three of those that waited. What is retried was
# never sent, so a retry is no further work for whom it is meant: as many as may wait.
RETRIES_MAX = 4096
PENDING_MAX = 4096  # Requests that wait for a connection, or are under way.
HEADERS_S_MAX = 5.0  # An honest client sends its fields in one packet or two.
REQUEST_S_MAX = 10.0  # 64 KiB at 7 KiB/s: a body that trickles slower only holds a connection.
IDLE_S_MAX = (
    60.0  # Below the apps' 75 s (services/node/server.py), so that Envoy closes an idle connection first.
)
# A gateway that drains waits for one such question and a late one (gateway/app.py); each costs a handshake.
READY_ASKED_S = 0.5
READY_ANSWER_S_MAX = 1.0
READY_UNANSWERED_MAX = 3  # A host that is merely busy misses one.
ADMIN_MODE = 0o600  # Its own account, in a folder that nobody else may enter either.
# What it holds, which of it failed to load, and its figures; nothing that would change or stop it.
ADMIN_PATHS = ("/certs", "/config_dump", "/stats")
HEADER_KIB_MAX = 32  # Signature fields need 3 KiB.
# About 400,000 requests under way, or 4,096 connections with all their streams full of bodies.
HEAP_BYTES_MAX = 1024 * 1024 * 1024
HEAP_SHARE_MAX = 0.95  # From here on new requests are answered 503, and what is under way goes on.
_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_RBAC = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# When the edge took a request: for the trace of a payment, whatever its sender wrote there.
_REQUEST_START = {
    "header": {"key": "x-request-start", "value": "t=%START_TIME(%s.%6f)%"},
    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
}

# Repeated only where the request was never processed; never on a reset under way or a 5xx.
_RETRY = {"retry_on": "connect-failure,reset-before-request,refused-stream", "num_retries": 2}


def edge_config(mesh: Mesh, edge: Service, places: Places) -> dict[str, Any]:
    """The merchants' front door: TLS 1.3 in, mutual TLS to the gateway's sidecar."""
    hop = next(hop for hop in mesh.hops if hop.caller == edge.name and hop.protocol == "http")
    callee = mesh.services[hop.callee]
    cluster = _cluster(
        mesh, edge.name, places, "gateway", callee.face, places.addresses[f"{callee.name}.ingress"], h2=True
    )
    cluster["health_checks"] = [_health_check(mesh.dns(callee.face))]
    routes = envoy_edge.surface_routes(OPERATIONS, _forward("gateway", places))
    manager = _http(
        "public", routes, places, envoy_edge.public_filters(places.limits), client_certificate=False
    )
    virtual_host = manager["typed_config"]["route_config"]["virtual_hosts"][0]
    virtual_host["request_headers_to_add"] = [_REQUEST_START]
    listener = _listener(
        "public",
        places.addresses[f"{edge.name}.public"],
        envoy_tls.public(edge.name, places, ["h2", "http/1.1"]),
        manager,
    )
    chain = listener["filter_chains"][0]
    chain["filters"] = [*envoy_edge.public_network_filters(), *chain["filters"]]
    chain["transport_socket_connect_timeout"] = _seconds(envoy_edge.HANDSHAKE_S_MAX)
    return _bootstrap(edge.name, mesh.cell, places, [listener], [cluster])


def sidecar_config(mesh: Mesh, service: Service, places: Places) -> dict[str, Any]:
    """The Envoy of one service: callers in by the caller list, the service's own calls out."""
    name = service.sidecar_name
    hops = mesh.callers_of(service.name)
    faces = {hop.caller: mesh.services[hop.caller].face for hop in hops}
    policies = {hop.caller: _policy(mesh.spiffe(faces[hop.caller]), hop.routes) for hop in hops}
    ingress = _listener(
        "ingress",
        places.addresses[f"{service.name}.ingress"],
        envoy_tls.downstream(mesh, name, places, sorted(faces.values()), ["h2", "http/1.1"]),
        _http("ingress", [_route("/", "app", places)], places, [_rbac(policies)], client_certificate=True),
    )
    app = _cluster(mesh, name, places, "app", service.name, places.addresses[f"{service.name}.app"], h2=False)
    listeners, clusters = [ingress], [app]
    for hop in mesh.egress_of(service.name):
        callee = mesh.services[hop.callee]
        listeners.append(
            _listener(
                f"egress-{callee.name}",
                places.addresses[f"{service.name}.egress.{callee.name}"],
                envoy_tls.downstream(mesh, name, places, [service.name], ["http/1.1"]),
                _http(
                    f"egress-{callee.name}",
                    [_route(p, callee.name, places) for p in hop.routes],
                    places,
                    [],
                    client_certificate=True,
                ),
            )
        )
        address = places.addresses[f"{callee.name}.ingress"]
        clusters.append(_cluster(mesh, name, places, callee.name, callee.face, address, h2=True))
    return _bootstrap(name, mesh.cell, places, listeners, clusters)


def _bootstrap(
    name: str, cell: str, places: Places, listeners: list[Any], clusters: list[Any]
) -> dict[str, Any]:
    return {
        "node": {"id": name, "cluster": cell},  # SDS refuses to start without both.
        "admin": {
            "address": {"pipe": {"path": str(places.admin_socket(name)), "mode": ADMIN_MODE}},
            "allow_paths": [{"prefix": path} for path in ADMIN_PATHS],
        },
        "static_resources": {"listeners": listeners, "clusters": clusters},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.resource_monitors."
                        "downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 10_000,  # Far above need, below the fd limit.
                    },
                },
                {
                    "name": "envoy.resource_monitors.fixed_heap",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.resource_monitors."
                        "fixed_heap.v3.FixedHeapConfig",
                        "max_heap_size_bytes": HEAP_BYTES_MAX,
                    },
                },
            ],
            "actions": [
                {
                    "name": "envoy.overload_actions.stop_accepting_requests",
                    "triggers": [
                        {
                            "name": "envoy.resource_monitors.fixed_heap",
                            "threshold": {"value": HEAP_SHARE_MAX},
                        }
                    ],
                }
            ],
        },
    }


def _listener(name: str, address: Address, socket: dict[str, Any], http: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "address": {"socket_address": {"address": address.bind, "port_value": address.port}},
        "per_connection_buffer_limit_bytes": 1024 * 1024,  # Batches are long.
        "filter_chains": [{"transport_socket": socket, "filters": [http]}],
    }


def _http(
    name: str, routes: list[Any], places: Places, filters: list[Any], *, client_certificate: bool
) -> dict[str, Any]:
    age = phases_of(places.connection_age_s_max)
    manager: dict[str, Any] = {
        "@type": _HCM,
        "stat_prefix": name,
        "codec_type": "AUTO",
        "use_remote_address": True,
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "max_request_headers_kb": HEADER_KIB_MAX,
        "request_headers_timeout": f"{HEADERS_S_MAX}s",
        "request_timeout": f"{REQUEST_S_MAX}s",
        "stream_idle_timeout": _seconds(age.stream_s),
        "drain_timeout": _seconds(age.drain_s),
        "delayed_close_timeout": _seconds(age.close_s),
        "common_http_protocol_options": {
            "headers_with_underscores_action": "REJECT_REQUEST",
            "max_connection_duration": _seconds(age.begin_s),
            "max_stream_duration": _seconds(age.stream_s),
            "idle_timeout": f"{IDLE_S_MAX}s",
        },
        "local_reply_config": local_replies(),
        "route_config": {"name": name, "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": [*filters, {"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    if client_certificate:
        manager["forward_client_cert_details"] = "SANITIZE_SET"
        manager["set_current_client_cert_details"] = {"uri": True}
        # The edge's word for where a request came from goes on as it is; the app believes the edge alone.
        manager["skip_xff_append"] = True
    else:
        manager["forward_client_cert_details"] = "SANITIZE"
        manager["route_config"] |= envoy_edge.forwarded_fields()
        manager["common_http_protocol_options"]["max_headers_count"] = envoy_edge.HEADERS_MAX
        manager |= envoy_edge.public_protocol()
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}s"


def _route(prefix: str, cluster: str, places: Places) -> dict[str, Any]:
    return {"match": {"prefix": prefix}, "route": _forward(cluster, places)}


def _forward(cluster: str, places: Places) -> dict[str, Any]:
    timeout = _seconds(phases_of(places.connection_age_s_max).stream_s)
    return {"cluster": cluster, "timeout": timeout, "retry_policy": _RETRY}


def _policy(caller: str, routes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "principals": [{"authenticated": {"principal_name": {"exact": caller}}}],
        "permissions": [{"url_path": {"path": {"prefix": route}}} for route in routes],
    }


def _rbac(policies: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "envoy.filters.http.rbac",
        "typed_config": {"@type": _RBAC, "rules": {"action": "ALLOW", "policies": policies}},
    }


def _health_check(host: str) -> dict[str, Any]:
    """Whether a gateway wants requests: one that drains says no, and the others get them.

    While none is ready each still gets requests (Envoy's panic), and says itself, signed, what is wrong.
    """
    every = f"{READY_ASKED_S}s"
    return {
        "timeout": f"{READY_ANSWER_S_MAX}s",
        "interval": every,
        "no_traffic_interval": every,
        "unhealthy_interval": every,
        "unhealthy_threshold": READY_UNANSWERED_MAX,  # A 503 counts at once.
        "healthy_threshold": 1,
        "reuse_connection": False,  # One that is kept would grow older than the bound.
        "http_health_check": {"path": READY_PATH, "host": host, "codec_client_type": "HTTP2"},
    }


def _cluster(
    mesh: Mesh, name: str, places: Places, cluster: str, callee: str, address: Address, *, h2: bool
) -> dict[str, Any]:
    protocol: dict[str, Any] = {"http2_protocol_options": {}} if h2 else {"http_protocol_options": {}}
    endpoint = {
        "endpoint": {"address": {"socket_address": {"address": address.host, "port_value": address.port}}}
    }
    return {
        "name": cluster,
        "type": "STRICT_DNS",
        "connect_timeout": f"{CONNECT_S_MAX if h2 else APP_CONNECT_S_MAX}s",
        "load_assignment": {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "transport_socket": envoy_tls.upstream(mesh, name, places, callee, "h2" if h2 else "http/1.1"),
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 1024,
                    "max_pending_requests": PENDING_MAX,
                    "max_requests": PENDING_MAX,
                    "max_retries": RETRIES_MAX,
                }
            ]
        },
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": protocol,
                "common_http_protocol_options": {
                    "max_connection_duration": _seconds(phases_of(places.connection_age_s_max).begin_s),
                    "idle_timeout": f"{IDLE_S_MAX}s",
                },
            }
        },
    }
