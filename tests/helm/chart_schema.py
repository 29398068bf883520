"""``values.schema.json``, written from what the chart takes and from the models that read it in the end.

No object takes a key that it does not know, but for those that hold other people's: labels, annotations, node
selectors and affinity. Settings, trunks, the browser door and the ladder have types and limits of our configuration.
"""

import json
from typing import Any

from pydantic import BaseModel

from gateway.config import GatewayConfig
from gateway.config.fallback import _Step
from gateway.config.sip import SipConfig, TrunkEntry
from gateway.config.webrtc import WebRtcConfig
from model_worker.config import WorkerConfig
from model_worker.engines.cards import ENGINES

Schema = dict[str, Any]

GATEWAY_OWNED = frozenset(
    {"host", "port", "public_url", "redis_url", "gateway_id", "twilio_auth_token", "api_token", "console_token"}
    | {"sip_file", "webrtc_file", "fallback_file", "drain_limit_s"}
)
"""Settings of a gateway that the chart gives by itself, from values of its own, or that a process finds by itself."""
WORKER_OWNED = frozenset(
    {"redis_url", "worker_id", "engine", "agents_dir", "model", "metrics_host", "metrics_port", "drain_limit_s"}
)
SIP_OWNED = frozenset({"listen", "advertise", "rtp_host", "rtp_ports", "tls"})

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
HOST = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
CIDR = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"


def closed(properties: dict[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    schema: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return schema | {"required": list(required)} if required else schema


def text(pattern: str = "", **more: Any) -> Schema:
    return {"type": "string"} | ({"pattern": pattern} if pattern else {}) | more


def or_empty(pattern: str) -> Schema:
    return text(f"^$|{pattern}")


def whole(least: int, most: int | None = None) -> Schema:
    return {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most})


def items(schema: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": schema} | more


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def mapping(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


FLAG: Schema = {"type": "boolean"}
TEXT = text()
PORT = whole(1, 65_535)
PORT_OR_0 = whole(0, 65_535)
STRINGS = mapping(TEXT)
FREE: Schema = {"type": "object"}
"""Affinity, of which Kubernetes itself refuses what it does not know."""
QUANTITIES = mapping({"type": ["string", "integer", "number"], "pattern": QUANTITY})
RESOURCES = closed({"requests": QUANTITIES, "limits": QUANTITIES})
COUNT_OR_SHARE: Schema = {"anyOf": [whole(0), text(r"^[0-9]{1,3}%$")]}
LABELS = closed(
    {
        "matchLabels": STRINGS,
        "matchExpressions": items(
            closed(
                {"key": TEXT, "operator": one_of("In", "NotIn", "Exists", "DoesNotExist"), "values": items(TEXT)},
                ("key", "operator"),
            )
        ),
    }
)
PEERS = items(
    closed(
        {
            "ipBlock": closed({"cidr": text(CIDR), "except": items(text(CIDR))}, ("cidr",)),
            "namespaceSelector": LABELS,
            "podSelector": LABELS,
        }
    )
    | {"minProperties": 1}
)
EGRESS = items(
    closed(
        {
            "to": PEERS,
            "ports": items(
                closed({"protocol": one_of("TCP", "UDP"), "port": PORT, "endPort": PORT}, ("port",)), minItems=1
            ),
        },
        ("ports",),
    )
)
KEY_REF = closed({"name": TEXT, "key": TEXT, "optional": FLAG}, ("name", "key"))
EXTRA_ENV = items(
    closed(
        {
            "name": text(r"^[A-Za-z_][A-Za-z0-9_]*$"),
            "value": TEXT,
            "valueFrom": closed(
                {
                    "secretKeyRef": KEY_REF,
                    "configMapKeyRef": KEY_REF,
                    "fieldRef": closed({"fieldPath": TEXT}, ("fieldPath",)),
                }
            )
            | {"minProperties": 1, "maxProperties": 1},
        },
        ("name",),
    )
    | {"oneOf": [{"required": ["value"]}, {"required": ["valueFrom"]}]}
)
MOUNTS: Schema = {
    "type": "object",
    "additionalProperties": False,
    "patternProperties": {
        r"^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$": closed(
            {"path": text("^/[^:]+$"), "claim": TEXT, "secret": TEXT, "configMap": TEXT, "readOnly": FLAG}, ("path",)
        )
    },
}
TOLERATIONS = items(
    closed(
        {
            "key": TEXT,
            "operator": one_of("Exists", "Equal"),
            "value": TEXT,
            "effect": one_of("NoSchedule", "PreferNoSchedule", "NoExecute"),
            "tolerationSeconds": whole(0),
        }
    )
)


def image(tag_required: bool = False) -> Schema:
    return closed(
        {
            "repository": text(r"^[a-z0-9][a-zA-Z0-9._:/-]*$"),
            "tag": text(r"^[A-Za-z0-9_][A-Za-z0-9._-]*$") if tag_required else or_empty(r"^[A-Za-z0-9_][\w.-]*$"),
            "digest": or_empty("^sha256:[0-9a-f]{64}$"),
            "pullPolicy": one_of("Always", "IfNotPresent", "Never"),
        }
    )


def of_model(model: type[BaseModel], without: frozenset[str] = frozenset()) -> dict[str, Schema]:
    """The fields of a configuration model as JSON schemas, references resolved, defaults and titles left out."""
    whole_schema = model.model_json_schema(by_alias=True)
    definitions = whole_schema.get("$defs", {})

    def plain(node: Any) -> Any:
        if isinstance(node, list):
            return [plain(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return plain(definitions[node["$ref"].rpartition("/")[2]])
        choices = node.get("anyOf", ())
        meant = [each for each in choices if each.get("type") != "null"]
        if len(choices) > len(meant) == 1:
            node = {key: value for key, value in node.items() if key != "anyOf"} | meant[0]
            return plain(node)
        kept = {k: v for k, v in node.items() if k not in ("default", "format", "writeOnly", "description")}
        if not isinstance(kept.get("title"), dict):
            kept.pop("title", None)
        if "properties" in kept:
            kept["properties"] = {name: plain(each) for name, each in kept["properties"].items()}
        return {key: value if key == "properties" else plain(value) for key, value in kept.items()}

    return {name: plain(each) for name, each in whole_schema["properties"].items() if name not in without}


def _sip_listed() -> Schema:
    """Of the file's settings ``trunks`` is the only one that is not plain."""
    plain = {
        "rtp_timeout_s": {"type": "number", "exclusiveMinimum": 0},
        "options_ping_s": {"type": "number", "minimum": 0},
    }
    assert plain.keys() == SipConfig.model_fields.keys() - SIP_OWNED - {"trunks"}, "a new setting of docs/SIP.md"
    return closed(plain | {"trunks": items(closed(of_model(TrunkEntry), ("name",)))})


def _workload(settings: dict[str, Schema], most_grace_s: int = 86_400) -> dict[str, Schema]:
    """What gateways and pools have in common."""
    return {
        "image": image(),
        "replicas": whole(1),
        "drainLimitSeconds": {"type": "number", "minimum": 0, "maximum": most_grace_s},
        "terminationGracePeriodSeconds": {"type": ["integer", "null"], "minimum": 1},
        "preStopSeconds": whole(0, 600),
        "settings": closed(settings),
        "resources": RESOURCES,
        "mounts": MOUNTS,
        "extraEnv": EXTRA_ENV,
        "egress": EGRESS,
        "strategy": closed({"maxSurge": COUNT_OR_SHARE, "maxUnavailable": COUNT_OR_SHARE}),
        "podDisruptionBudget": closed({"enabled": FLAG, "maxUnavailable": COUNT_OR_SHARE}),
        "spreadOver": items(TEXT),
        "podAnnotations": STRINGS,
        "podLabels": STRINGS,
        "nodeSelector": STRINGS,
        "tolerations": TOLERATIONS,
        "affinity": FREE,
        "priorityClassName": TEXT,
    }


def _scaling(more: dict[str, Schema]) -> Schema:
    # Of none there is nobody to scale by: a model is read for minutes, and a call does not wait that long.
    return closed({"mode": one_of("none", "keda", "hpa"), "minReplicas": whole(1), "maxReplicas": whole(1)} | more)


def _gateway() -> Schema:
    sip = closed(
        {
            "enabled": FLAG,
            "expose": one_of("hostNetwork", "loadBalancer", "podAddress"),
            "advertise": or_empty(r"^[0-9a-fA-F.:]+$"),
            "udpPort": PORT_OR_0,
            "tcpPort": PORT_OR_0,
            "tlsPort": PORT_OR_0,
            "rtpPorts": closed({"first": whole(1_024, 65_535), "last": whole(1_024, 65_535)}, ("first", "last")),
            "tls": closed({"existingSecret": TEXT, "peerCertificates": FLAG}),
            "config": _sip_listed(),
            "loadBalancer": closed({"annotations": STRINGS, "class": TEXT, "sourceRanges": items(text(CIDR))}),
        }
    )
    return closed(
        _workload(of_model(GatewayConfig, GATEWAY_OWNED))
        | {
            "port": whole(1_024, 65_535),
            "hostNetwork": FLAG,
            "fallback": closed({"steps": items(closed(of_model(_Step)) | {"maxProperties": 1, "minProperties": 1})}),
            "sip": sip,
            "webrtc": closed({"enabled": FLAG, "config": closed(of_model(WebRtcConfig))}),
            "autoscaling": _scaling({"callsPerGateway": whole(1)}),
        }
    )


def _pool() -> Schema:
    return closed(
        _workload(of_model(WorkerConfig, WORKER_OWNED))
        | {
            "enabled": FLAG,
            "engine": one_of(*sorted(ENGINES)),
            "agents": {
                "type": "object",
                "additionalProperties": False,
                "patternProperties": {r"^[A-Za-z0-9_-]{1,60}\.ya?ml$": TEXT},
            },
            "agentsConfigMap": TEXT,
            "model": closed(
                {
                    "claim": TEXT,
                    "image": TEXT,
                    "subPath": text("^$|^[^/]"),
                    "create": closed(
                        {
                            "enabled": FLAG,
                            "size": text(QUANTITY),
                            "storageClassName": TEXT,
                            "accessModes": items(
                                one_of("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"), minItems=1
                            ),
                        }
                    ),
                }
            ),
            "cache": closed({"claim": TEXT, "sizeLimit": text(QUANTITY)}),
            "gpu": closed({"count": whole(0, 16), "resource": text(r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")}),
            "runtimeClassName": TEXT,
            "sharedMemory": or_empty(QUANTITY),
            "startupSeconds": whole(10, 86_400),
            "restartStalledAfterSeconds": whole(10, 3_600),
            "autoscaling": _scaling(
                {
                    "busyShare": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                    "minFreeSlots": whole(0),
                    "queueWaitSeconds": {"type": "number", "exclusiveMinimum": 0},
                }
            ),
        }
    )


def chart_schema() -> Schema:
    """The whole file."""
    monitor = closed({"enabled": FLAG, "interval": text("^[0-9]+(ms|s|m)$"), "labels": STRINGS})
    labelled = closed({"enabled": FLAG, "labels": STRINGS})
    properties = {
        "global": FREE,  # Helm's own
        "nameOverride": or_empty(DNS_LABEL),
        "fullnameOverride": or_empty(DNS_LABEL),
        "imagePullSecrets": items(closed({"name": TEXT}, ("name",))),
        "publicUrl": or_empty(r"^https?://[^/\s]+$"),
        "secrets": closed(
            {
                "existingSecret": TEXT,
                "console": FLAG,
                "twilioAuthToken": or_empty("^.{16,}$"),
                "apiToken": or_empty("^.{16,}$"),
                "consoleToken": or_empty("^.{16,}$"),
            }
        ),
        "redis": closed(
            {
                # A password would be in Helm's release, and in whatever shows a pod.
                "url": or_empty(r"^rediss?(\+sentinel|\+cluster)?://[^@\s]+$"),
                "existingSecret": closed({"name": TEXT, "key": TEXT}),
            }
        ),
        "valkey": closed(
            {"enabled": FLAG, "image": image(True), "maxMemory": text("^[0-9]+(mb|gb)$"), "resources": RESOURCES}
        ),
        "serviceAccount": closed({"create": FLAG, "name": or_empty(DNS_LABEL), "annotations": STRINGS}),
        "gateway": _gateway(),
        "ingress": closed(
            {
                "enabled": FLAG,
                "className": TEXT,
                "host": or_empty(HOST),
                "tlsSecret": TEXT,
                "annotations": STRINGS,
                "paths": items(text("^/[^\\s]*$"), minItems=1, uniqueItems=True),
            }
        ),
        "workerDefaults": {"$ref": "#/$defs/pool"},
        "workers": {
            "type": "object",
            "additionalProperties": False,
            "patternProperties": {r"^[a-z0-9]([-a-z0-9]{0,17}[a-z0-9])?$": {"$ref": "#/$defs/pool"}},
        },
        "autoscaling": closed(
            {
                "stabilizationSeconds": whole(600, 3_600),
                "keda": closed(
                    {
                        "prometheusAddress": or_empty(r"^https?://\S+$"),
                        "pollingIntervalSeconds": whole(5),
                        "triggerAuthentication": or_empty(DNS_LABEL),
                    }
                ),
            }
        ),
        "monitoring": closed(
            {"serviceMonitor": monitor, "podMonitor": monitor, "rules": labelled, "dashboards": labelled}
        ),
        "networkPolicy": closed(
            {
                "enabled": FLAG,
                "redis": closed({"to": PEERS, "ports": items(PORT, minItems=1)}),
                "dns": closed({"to": PEERS}),
                "gatewayFrom": PEERS,
                "metricsFrom": PEERS,
                "nodeCidrs": items(text(CIDR)),
            }
        ),
        "tests": closed({"enabled": FLAG}),
    }
    return {"$schema": "http://json-schema.org/draft-07/schema#", "$defs": {"pool": _pool()}} | closed(properties)


def chart_schema_text() -> str:
    return json.dumps(chart_schema(), indent=1, sort_keys=True) + "\n"
