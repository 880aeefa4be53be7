"""Which part of a record the key of a structured log plays, by the names common loggers give it.

Case and punctuation of a key do not count: `requestId`, `request_id` and `x-request-id` without
its prefix are one. A nested key is its path: `req.method`, `http.response.status_code`.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import NamedTuple


class Slot(IntEnum):
    """Parts of a record that a key may fill."""

    TIME = 0
    LEVEL = 1
    MESSAGE = 2
    EXCEPTION = 3
    REQUEST_ID = 4
    METHOD = 5
    PATH = 6
    STATUS = 7
    DURATION = 8
    REQUEST_LINE = 9
    EXTRA = 10


class Role(NamedTuple):
    """A slot, and how strong the key's claim to it is."""

    slot: Slot
    rank: int
    """Of two keys for one slot the lower wins."""
    scale: float = 0.0
    """Milliseconds a unit of a duration; 0 when the key does not tell."""


_KEYS = {
    Slot.TIME: "timestamp time ts atimestamp datetime asctime eventtime date logtime t instant"
    " timemillis epochmillis realtimetimestamp sourcerealtimetimestamp timeunixnano timelocal"
    " timeiso8601 starttime created createdat recordtime when",
    Slot.LEVEL: "level severity levelname loglevel lvl priority prio severitytext errorseverity"
    " recordlevelname levelvalue severitynumber s",
    Slot.MESSAGE: "message msg event shortmessage renderedmessage mt body text log textpayload"
    " fullmessage line description error errormessage",
    Slot.EXCEPTION: "exception excinfo exctext stacktrace stack traceback errorstack errstack"
    " errorstacktrace exceptionstacktrace errorverbose backtrace thrown err exc x",
    Slot.REQUEST_ID: "requestid reqid xrequestid correlationid xcorrelationid correlation rid"
    " requestrequestid reqrequestid httprequestid traceparent traceid tracetraceid trace"
    " logginggoogleapiscomtrace spanid",
    Slot.METHOD: "method httpmethod requestmethod reqmethod httprequestmethod verb"
    " httprequestrequestmethod",
    Slot.PATH: "path requestpath urlpath httppath reqpath httptarget requesturi uri url requrl"
    " httpurl httproute route endpoint requesturl httprequestrequesturl httprequestpath"
    " urlfull urloriginal target httprequesturl",
    Slot.STATUS: "status statuscode httpstatus httpstatuscode responsestatus responsecode"
    " resstatuscode resstatus responsestatuscode httpresponsestatuscode httprequeststatus"
    " httpresponsestatus respstatus",
    Slot.REQUEST_LINE: "request requestline httprequestline",
}
_DURATIONS = {
    1.0: "durationms responsetime responsetimems elapsedms latencyms tookms timems elapsedmillis"
    " durationmillis executiontime durationmilliseconds latencymillis processingtimems",
    1e3: "requesttime durations durationseconds elapseds elapsedseconds durationsec latencys"
    " latencyseconds requesttimes rt processtime processingtime upstreamresponsetime dt",
    1e-3: "durationus durationmicros elapsedus latencyus",
    1e-6: "durationns eventduration durationnanos elapsedns latencyns",
    0.0: "duration elapsed took latency httprequestlatency elapsedtime runtime responseduration",
}
_ROLES = {
    key: Role(slot, rank) for slot, keys in _KEYS.items() for rank, key in enumerate(keys.split())
} | {
    key: Role(Slot.DURATION, rank, scale)
    for scale, keys in _DURATIONS.items()
    for rank, key in enumerate(keys.split(), start=50 if scale == 0 else 0)
}
EXTRA = Role(Slot.EXTRA, 0)
_EXACT = {
    "@m": Role(Slot.MESSAGE, 0),
    "@l": Role(Slot.LEVEL, 0),
    "@x": Role(Slot.EXCEPTION, 0),
    "record.elapsed.seconds": EXTRA,
}
"""Keys of Serilog's compact format, and loguru's age of the process."""
_PLAIN = re.compile(r"[^a-z0-9]+")

KNOWN_KEYS = 10_000
"""Keys remembered at most: a log may have ids for keys."""


class _Roles(dict[str, Role]):
    """Key as written to role, learned as keys turn up."""

    def __missing__(self, key: str) -> Role:
        role = _EXACT.get(key) or _ROLES.get(_PLAIN.sub("", key.lower()), EXTRA)
        if role is EXTRA and "." in key:
            # Semantic prefixes say whose it is, not what: `attributes.http.method`.
            role = _ROLES.get(_PLAIN.sub("", key.split(".", 1)[1].lower()), EXTRA)
            if role.slot in {Slot.TIME, Slot.LEVEL, Slot.MESSAGE} and not is_wrapped(key):
                role = EXTRA
        if len(self) < KNOWN_KEYS:
            self[key] = role
        return role


def is_wrapped(key: str) -> bool:
    """Whether the key's path begins with an object that holds the whole record."""
    return "." in key and key.split(".", 1)[0].lower() in {
        "record",
        "fields",
        "log",
        "jsonpayload",
        "payload",
    }


ROLES = _Roles()
