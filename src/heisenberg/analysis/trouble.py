"""Name the kind of technical trouble that a text tells of.

The phrases are those of operating systems, databases, language runtimes, browsers and common
client libraries. The list is ordered: a specific kind comes before the general one that its text
would match too (a pool that has run dry before a connection that was refused).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from heisenberg.model.diagnosis import Mechanism


@dataclass(frozen=True, slots=True)
class Trouble:
    """A kind of trouble and the phrases that name it."""

    mechanism: Mechanism
    pattern: re.Pattern[str]


def _trouble(mechanism: Mechanism, *phrases: str) -> Trouble:
    return Trouble(mechanism, re.compile("|".join(phrases), re.IGNORECASE))


TROUBLES: tuple[Trouble, ...] = (
    _trouble(
        Mechanism.DATABASE_LOCK,
        r"deadlock (?:detected|found)",
        r"lock(?: wait)? time-?out",
        r"could not obtain lock",
        r"database (?:table )?is locked",
        r"could not serialize access",
        r"canceling statement due to lock timeout",
        r"still waiting for \w+Lock",
        r"LockNotAvailable|DeadlockDetected|LockTimeout|SerializationFailure",
        r"CannotAcquireLock|PessimisticLock|waiting for \w+ lock",
        r"lock request time out",
    ),
    _trouble(
        Mechanism.DATABASE_CONNECTION,
        r"couldn'?t get a connection",
        r"PoolTimeout|PoolError|TooManyConnections",
        r"QueuePool limit",
        r"connection pool (?:is |was |has been )?(?:exhausted|full|timed? ?out|closed)",
        r"pool (?:is )?exhausted",
        r"too many (?:clients|connections)",
        r"remaining connection slots",
        r"server closed the connection unexpectedly",
        r"terminating connection due to",
        r"the database system is (?:starting up|shutting down|in recovery)",
        r"can'?t connect to (?:local )?(?:MySQL|Postgre|server on|database)",
        r"could not connect to (?:server|database)",
        r"connection to server (?:at|on) .{1,120} failed",
        r"Connection is not available, request timed out",
        r"MySQL server has gone away|Lost connection to MySQL",
        r"InterfaceError.{0,60}connection (?:is |already )?closed",
        r"AdminShutdown|CannotConnectNow|ConnectionDoesNotExist|ConnectionFailure\b",
        r"MongoServerSelectionError|MongoNetworkError|ServerSelectionTimeout",
        r"(?:redis|valkey)\S*(?:ConnectionError|BusyLoading)",
        r"SequelizeConnection\w*|PrismaClientInitializationError",
        r"acquir\w+ (?:a )?connection.{0,40}time",
        r"unable to acquire (?:a )?(?:JDBC )?connection",
    ),
    _trouble(
        Mechanism.RESOURCE_EXHAUSTION,
        r"no space left on device|\bENOSPC\b|disk (?:is )?full|disk quota exceeded|could not extend file",
        r"too many open files|\bEMFILE\b|\bENFILE\b",
        r"out of memory|OutOfMemory|\bMemoryError\b|cannot allocate memory|heap out of memory|\bENOMEM\b",
        r"OOM command not allowed|\boom[- ]?kill|Killed process",
        r"can'?t start new thread|unable to create (?:new )?native thread|resource temporarily unavailable",
        r"GC overhead limit|queue (?:is )?full|QueueFull|thread ?pool (?:is )?exhausted|RejectedExecution",
        r"worker_connections are not enough|shared memory|maxmemory|BrokenProcessPool",
        r"(?:quota|capacity|storage) (?:limit )?(?:exceeded|exhausted|full)|memory limit",
    ),
    _trouble(
        Mechanism.RATE_LIMIT,
        r"too many requests|rate.?limit|throttl(?:ed|ing)|quota exceeded|\b429\b|RESOURCE_EXHAUSTED|retry.?after",
    ),
    _trouble(
        Mechanism.TLS,
        r"certificate[ _]?verify[ _]?failed|self[- ]signed certificate|certificate (?:has )?expired|expired certificate",
        r"ERR_CERT_\w+|ERR_SSL_\w+|SSLError|SSLHandshake|SSL: |ssl handshake|tls handshake|x509:|PKIX path",
        r"unable to verify the first certificate|DEPTH_ZERO_SELF_SIGNED|wrong version number|bad certificate",
        r"hostname .{1,80} doesn'?t match|certificate is not valid|unknown ca\b|ERR_TLS\w+|CERT_HAS_EXPIRED",
    ),
    _trouble(
        Mechanism.DNS,
        r"getaddrinfo|\bENOTFOUND\b|\bEAI_AGAIN\b|name or service not known|name resolution|no such host",
        r"ERR_NAME_NOT_RESOLVED|NXDOMAIN|UnknownHost|could not resolve host|nodename nor servname",
        r"no address associated with hostname|could not translate host name|dns (?:lookup|error|failure)",
    ),
    _trouble(
        Mechanism.CLOCK,
        r"token (?:used before issued|is not yet valid|not active)|not yet valid|\bnbf\b|used before issued",
        r"clock (?:skew|drift)|(?:time|timestamp|date) (?:is |lies )?(?:in the future|too far|out of range|outside)",
        r"RequestTimeTooSkewed|ImmatureSignature|issued in the future|clock moved backwards|system time",
    ),
    _trouble(
        Mechanism.AUTH,
        r"password authentication failed|NOAUTH|WRONGPASS|access denied for user|authentication (?:failed|required)",
        r"invalid (?:access |api |auth |bearer |id )?(?:token|credentials?|signature|api.?key)|signature verification",
        r"(?:token|session|jwt|credentials?|api.?key) (?:has |is |was )?(?:expired|revoked|invalid|missing|rejected)",
        r"ExpiredSignature|InvalidSignature|InvalidToken|Unauthori[sz]ed|\bForbidden\b|permission denied for",
        r"not authori[sz]ed|InvalidPassword|csrf|missing authorization",
        r"\bexpired\b|AuthenticationError|AuthenticationFailed|username-password",
        r"wrong (?:user|password)|(?:bad|invalid) (?:user|login|password)",
    ),
    _trouble(
        Mechanism.CONFIGURATION,
        r"environment variable|env(?:ironment)? var\b|os\.environ|<frozen os>",
        r"(?:is|are) not (?:configured|set)\b.{0,40}$|must be (?:set|configured)|not configured\b(?!,)",
        r"(?:missing|invalid|unknown|bad|unsupported) (?:required )?(?:config|setting|configuration|option|env)",
        r"configuration (?:error|key|file|value)|ConfigError|ConfigurationError|ImproperlyConfigured",
        r"(?:relation|table|column|database|role|schema|function) \"?[\w.]+\"? does not exist",
        r"no such (?:table|column)|unknown (?:column|database)|UndefinedTable|UndefinedColumn|Unknown database",
        r"ModuleNotFoundError|Cannot find module|No module named|ImportError|ClassNotFound|NoClassDefFound",
        r"no such file or directory|FileNotFoundError|\bENOENT\b|template not found|TemplateNotFound|TemplateDoesNotExist",
        r"address already in use|\bEADDRINUSE\b|Executable doesn'?t exist|playwright install",
        r"feature (?:flag|toggle)|pending migration|unapplied migration|migrations? (?:are |is )?(?:behind|missing)",
        r"invalid (?:base )?url|unsupported protocol|No connection adapters|MissingSchema",
        r"bean of type|NoSuchBeanDefinition|Could not resolve placeholder",
        r"unknown command|ERR_INVALID_URL|permission denied\b(?! for)|\bEACCES\b|read-only file system",
        r"read-only (?:transaction|mode|replica|database|user)|READONLY You can'?t write|ReadOnlySqlTransaction|is read-only\b",
    ),
    _trouble(
        Mechanism.PROCESS_CRASH,
        r"segmentation fault|SIGSEGV|SIGABRT|SIGKILL|SIGBUS|core dumped|signal (?:9|11|6)\b",
        r"exited with (?:exit )?(?:code|status) (?!0\b)\d+|exit(?:ed)? (?:code|status) (?!0\b)\d+",
        r"worker .{1,40}(?:died|crashed|was (?:killed|terminated)|exited|timeout)|process (?:died|crashed|was killed)",
        r"server process .{1,40}was terminated|WorkerLost|Target crashed|page crashed",
        r"browser (?:has )?(?:crashed|closed|disconnected)",
        r"Target (?:page, context or browser )?(?:has been )?closed|^panic: |fatal error: |goroutine \d+ \[running\]",
    ),
    _trouble(
        Mechanism.SHARED_STATE,
        r"duplicate key|unique constraint|duplicate entry|UniqueViolation|IntegrityError.{0,80}(?:unique|duplicate)",
        r"already (?:exists|registered|taken|in use(?! by))|E11000|DuplicateKey|ConstraintViolation.{0,60}unique",
    ),
    _trouble(
        Mechanism.RACE,
        r"changed size during iteration|ConcurrentModification|StaleObject|StaleData|optimistic lock",
        r"version (?:conflict|mismatch)|modified (?:by another|concurrently)",
        r"concurrent(?:ly)? (?:modif|updat|access|writ|read|map)",
        r"data race|race (?:condition|detected)|(?:swapped|changed|replaced|modified|moved|deleted) (?:while|during)",
        r"was (?:changed|modified|updated) (?:since|by)|lost update|WatchError|write conflict|OptimisticLock",
        r"dictionary keys changed|deque mutated|set changed size|InvalidStateError",
        r"already (?:being processed|running|claimed|locked)",
        r"another operation is in progress|different loop|stale (?:read|version|snapshot|generation|etag)",
    ),
    _trouble(
        Mechanism.DEPENDENCY_DOWN,
        r"connection refused|\bECONNREFUSED\b|ERR_CONNECTION_REFUSED|all connection attempts failed|ConnectionRefused",
        r"(?:is |was |are |currently |gateway |service |server |upstream |host )(?:un(?:reachable|available)|down|offline)\b",
        r"no live upstreams|upstream prematurely closed|bad gateway|service (?:temporarily )?unavailable|failed to connect",
        r"could not connect|cannot connect|can'?t connect|connect\w* failed|couldn'?t connect|NewConnectionError|Errno 111",
        r"unreachable|circuit (?:breaker )?(?:is )?open|no healthy upstream|dial tcp",
    ),
    _trouble(
        Mechanism.TIMEOUT_BUDGET,
        r"read timed out|ReadTimeout|SocketTimeout|timeout (?:awaiting|waiting for) (?:response|headers)",
        r"canceling statement due to (?:statement timeout|user request)|QueryCanceled|maximum execution time",
        r"context deadline exceeded|DeadlineExceeded|request timed out|gateway time-?out|ESOCKETTIMEDOUT",
        r"did not (?:answer|respond|reply) (?:in|within)|timeout of \d+ ?ms exceeded",
    ),
    _trouble(
        Mechanism.NETWORK,
        r"connection reset|\bECONNRESET\b|ERR_CONNECTION_RESET|broken pipe|\bEPIPE\b|socket hang up|connection aborted",
        r"network is unreachable|no route to host|\bETIMEDOUT\b|\bEHOSTUNREACH\b|\bENETUNREACH\b|ERR_NETWORK_\w+",
        r"ConnectTimeout|connect(?:ion)? timed out|RemoteDisconnected|remote end closed",
        r"ERR_EMPTY_RESPONSE|ERR_INTERNET_DISCONNECTED|ERR_CONNECTION_\w+|ERR_TIMED_OUT|ERR_PROXY\w+|packet loss",
        r"RemoteProtocolError|IncompleteRead|ChunkedEncodingError|unexpected EOF|i/o timeout",
    ),
    _trouble(
        Mechanism.BACKEND_ERROR,
        r"\b500 (?:server|internal)|internal server error|status(?: ?code)?[ :=]+500\b|HTTP(?:/\d(?:\.\d)?)? 500\b",
        r"(?:responded|answered|replied|returned|failed) with (?:an? )?(?:HTTP )?(?:error )?(?:status )?(?:code )?500\b",
    ),
    _trouble(
        Mechanism.UNHANDLED_EXCEPTION,
        r"\b(?:Attribute|Type|Key|Index|Name|Value|ZeroDivision|Lookup|Recursion|UnboundLocal|Arithmetic|Unicode\w*|Assertion|"
        r"NotImplemented|Runtime|Overflow|StopIteration|Reference|Range|Syntax|NoMethod|Argument|JSONDecode|Decimal)Error\b",
        r"NullPointer|NullReference|IndexOutOf|ClassCast|IllegalState|IllegalArgument|ArithmeticException|InvalidOperation",
        r"NumberFormat|InvalidCast|runtime error:|nil pointer|undefined is not|cannot read propert|is not a function",
        r"is not defined|unhandled (?:exception|promise|rejection|error)|uncaught|Traceback \(most recent|\bdivision by zero",
        r"stack overflow|maximum call stack|InvalidOperation|KeyNotFound|NoneType|object is not|has no attribute",
    ),
)
"""First match wins."""

INFRASTRUCTURE = frozenset(
    {
        Mechanism.DATABASE_LOCK,
        Mechanism.DATABASE_CONNECTION,
        Mechanism.RESOURCE_EXHAUSTION,
        Mechanism.RATE_LIMIT,
        Mechanism.TLS,
        Mechanism.DNS,
        Mechanism.PROCESS_CRASH,
        Mechanism.DEPENDENCY_DOWN,
        Mechanism.NETWORK,
    }
)
"""Trouble that strikes wherever the code happens to be, so the place in the code is no part of it."""

SCHEMA_CHANGE = re.compile(
    r"\b(?:(?:ALTER|LOCK|TRUNCATE|DROP) TABLE|CREATE (?:UNIQUE )?INDEX|VACUUM FULL|REINDEX) \w",
    re.IGNORECASE,
)
"""Statements that lock a whole table; no request runs them."""

MAX_TEXT = 2000
MAX_FRAGMENT = 180
"""Characters of the words that tell a trouble, with what stands around them."""


@lru_cache(maxsize=4096)
def find_trouble(text: str) -> tuple[Mechanism, str]:
    """Find the trouble that a text tells of, and the words that tell it.

    Args:
        text: As for `name_trouble`.

    Returns:
        (mechanism, fragment of the text around the telling words, at most `MAX_FRAGMENT`
        characters and within one line); (UNKNOWN, "") when it tells of none.
    """
    shortened = text[:MAX_TEXT]
    for trouble in TROUBLES:
        match = trouble.pattern.search(shortened)
        if match:
            return trouble.mechanism, _fragment(shortened, match.start(), match.end())
    return Mechanism.UNKNOWN, ""


def _fragment(text: str, start: int, end: int) -> str:
    begin = text.rfind("\n", 0, start) + 1
    stop = text.find("\n", end)
    line = text[begin : stop if stop >= 0 else len(text)]
    if len(line) <= MAX_FRAGMENT:
        return line.strip()
    at = start - begin
    first = max(0, at - MAX_FRAGMENT // 3)
    if first:
        first = line.find(" ", first, at) + 1 or at
    return line[first : first + MAX_FRAGMENT].strip()


@lru_cache(maxsize=4096)
def name_trouble(text: str) -> Mechanism:
    """Name the trouble that a text tells of.

    Args:
        text: An error line, a message, or several lines; the first `MAX_TEXT` characters count.

    Returns:
        The first kind of `TROUBLES` whose phrase occurs, else `Mechanism.UNKNOWN`.
    """
    shortened = text[:MAX_TEXT]
    for trouble in TROUBLES:
        if trouble.pattern.search(shortened):
            return trouble.mechanism
    return Mechanism.UNKNOWN
