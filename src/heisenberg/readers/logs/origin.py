"""What every record of one log has in common."""

from __future__ import annotations

import re
from typing import NamedTuple


class Origin(NamedTuple):
    """Where records come from."""

    source: str
    """`Artefact.source`."""
    service: str


_EXTENSIONS = re.compile(
    r"(?:\.(?:log|logs|txt|text|json|jsonl|ndjson|out|err|stdout|stderr|csv|old|bak|\d{1,8}"
    r"|\d{4}-\d\d-\d\d)|[_-]json\.log|-\d{4}-?\d\d-?\d\d)+$",
    re.IGNORECASE,
)
_CONTAINER_ID = re.compile(r"-[0-9a-f]{64}$")
_POD = re.compile(r"^(?P<name>.+?)-[0-9a-f]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$")
_REPLICA = re.compile(r"[-_]\d{1,2}$")


def service_name(source: str) -> str:
    """Name the service that wrote a log, from the log's name.

    `logs/api.log` and `api.log.1` are `api`; `api-7d9f8b6c5d-x2x4z_prod_web-<id>.log`, as the
    kubelet names it, is `web`; `shop-api-1.log`, as compose names containers, is `shop-api`.
    """
    file = source.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    stem = _EXTENSIONS.sub("", file) or file
    without_id = _CONTAINER_ID.sub("", stem)
    if without_id != stem and without_id.count("_") == 2:  # noqa: PLR2004 -- pod_namespace_container
        return without_id.rsplit("_", 1)[-1]
    return replica_of(without_id)


def replica_of(name: str) -> str:
    """Cut what tells one replica from another: `api-1`, `api-7d9f8b6c5d-x2x4z`."""
    if pod := _POD.match(name):
        return pod["name"]
    return _REPLICA.sub("", name) or name
