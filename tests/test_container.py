"""The container's files: no engine runs here, so what they say is held against the code and run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sqlalchemy.engine import make_url
from typer.main import get_command

from heisenberg.backend.app import create_app
from heisenberg.backend.config import Settings, load_settings
from heisenberg.cli import app
from servers import free_port
from serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
EXTRAS = ("backend", "llm", "tracing")
"""What the container installs beside the base."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


class Instruction(NamedTuple):
    """One line of the Dockerfile, continuations joined."""

    name: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The words of its exec form, which no shell reads."""
        words: list[str] = json.loads(self.rest)
        return words


def stages() -> list[list[Instruction]]:
    """The instructions of each stage."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found: list[list[Instruction]] = []
    for line in filter(str.strip, text.splitlines()):
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append(Instruction(name, rest.strip()))
    return found


def last(name: str) -> Instruction:
    """The instruction of the image itself, which stands there once."""
    (one,) = [i for i in stages()[-1] if i.name == name]
    return one


def compose() -> dict[str, Any]:
    """The services of the compose file."""
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    services: dict[str, Any] = document["services"]
    return services


def example() -> dict[str, str]:
    """Variables of .env.example, those commented out as well."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE))


def locked() -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of each pinned requirement that applies here."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    found: dict[str, tuple[str, list[str]]] = {}
    for entry in (
        re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").split("\n")
    ):
        if not entry.strip():
            continue
        requirement = Requirement(entry.partition("--hash")[0])
        hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})\b", entry)
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        if requirement.marker is None or requirement.marker.evaluate():
            found[canonicalize_name(requirement.name)] = (pin.version, hashes)
    return found


def test_the_image_does_not_run_as_root() -> None:
    """The user is a number other than 0, as Kubernetes' runAsNonRoot wants to see it."""
    user, group = map(int, last("USER").rest.split(":"))

    assert user > 0
    assert group > 0


def test_the_command_is_one_of_ours() -> None:
    """What the container runs is a command line that our command takes, and reaches the outside."""
    program, name, *rest = last("CMD").words
    command = getattr(get_command(app.app), "commands")[name]  # noqa: B009 -- the base class has none
    given = command.make_context(name, rest).params

    assert "heisenberg" == program
    assert ("0.0.0.0", int(last("EXPOSE").rest)) == (given["host"], given["port"])  # noqa: S104
    assert "SIGTERM" == last("STOPSIGNAL").rest


@pytest.mark.parametrize("runs", [True, False])
def test_the_health_check_tells_whether_the_service_runs(tmp_path: Path, runs: bool) -> None:
    """The image's own check exits 0 against a server that lives and 1 against none."""
    form, _, words = last("HEALTHCHECK").rest.partition(" CMD ")
    program, *rest = json.loads(words)
    settings = load_settings(data_dir=tmp_path, _env_file=None)

    def check(port: int) -> int:
        command = [sys.executable, *(word.replace("8000", str(port)) for word in rest)]
        return subprocess.run(command, check=False, capture_output=True).returncode

    if runs:
        with serving(create_app(settings)) as port:
            code = check(port)
    else:
        code = check(free_port())

    assert ("python", not runs) == (program, bool(code))
    assert "--timeout=3s" in form


def test_the_data_folder_is_a_volume_of_the_user() -> None:
    """Data survives the container, and the unprivileged user may write it."""
    (made,) = [i.words for i in stages()[-1] if i.name == "RUN"]
    environment = dict(pair.split("=", 1) for pair in shlex.split(last("ENV").rest))

    assert made[-1] == last("VOLUME").rest == environment["HEISENBERG_DATA_DIR"]
    assert {f"--owner={last('USER').rest.split(':')[0]}", "--mode=0700"} <= set(made)


def test_all_that_is_copied_is_let_through() -> None:
    """What the build copies exists, and .dockerignore does not keep it away."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for stage in stages()
        for i in stage
        if i.name == "COPY" and not i.rest.startswith("--from")
        for source in i.rest.split()[:-1]
    }

    assert "*" in lines
    assert copied == let_through
    assert {name for name in copied if not (ROOT / name).exists()} == set()


def test_the_wheel_can_be_built_from_what_is_copied() -> None:
    """All that pyproject.toml names for the wheel is among it."""
    copied = {w for i in stages()[0] if i.name == "COPY" for w in i.rest.split()[:-1]}
    hatch = PROJECT["tool"]["hatch"]
    needed = {
        PROJECT["project"]["readme"],
        *PROJECT["project"]["license-files"],
        *hatch["build"]["targets"]["wheel"]["sources"],
        hatch["version"]["path"].partition("/")[0],
    }

    assert needed <= copied


def test_only_what_is_pinned_is_installed() -> None:
    """Everything from the index comes with its hash."""
    installs = [i.words for i in stages()[0] if i.name == "RUN" and "install" in i.rest]

    assert [True, True] == [bool({"--require-hashes", "--no-index"} & set(w)) for w in installs]
    assert {len(hashes) > 0 for _, hashes in locked().values()} == {True}


def test_the_lock_holds_no_address() -> None:
    """It works with whatever index an installation uses."""
    assert "://" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")


def direct() -> list[Requirement]:
    """What pyproject.toml asks for, for the container."""
    project = PROJECT["project"]
    asked = [
        *project["dependencies"],
        *(r for e in EXTRAS for r in project["optional-dependencies"][e]),
    ]
    return [Requirement(one) for one in asked]


@pytest.mark.parametrize("requirement", direct(), ids=lambda r: r.name)
def test_the_lock_is_in_step(requirement: Requirement) -> None:
    """Each direct dependency is pinned, within its range."""
    version, _ = locked()[canonicalize_name(requirement.name)]

    assert requirement.specifier.contains(version, prereleases=True)


def test_the_lock_is_complete() -> None:
    """It holds what the direct dependencies need in turn; pip refuses what has no hash."""
    assert {name for name in closure(direct()) if name not in locked()} == set()


def closure(asked: list[Requirement]) -> Iterator[str]:
    """Names of all that is needed, as the packages installed here tell it."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(r, frozenset(r.extras)) for r in asked]
    while waiting:
        requirement, extras = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        yield name
        for text in requires(name) or ():
            one = Requirement(text)
            if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in ("", *extras)):
                waiting.append((one, frozenset(one.extras)))


def test_nobody_else_reaches_the_services() -> None:
    """Ports are published on this machine's loopback only."""
    ports = [port for service in compose().values() for port in service.get("ports", ())]

    assert {"127.0.0.1"} == {port.rpartition(":")[0].rpartition(":")[0] for port in ports}


def test_the_database_survives_its_container() -> None:
    """From PostgreSQL 18 on the volume belongs above the folder of the major version."""
    service = compose()["postgres"]
    targets = [volume.rpartition(":")[2] for volume in service["volumes"]]

    assert int(service["image"].partition(":")[2]) >= 18
    assert ["/var/lib/postgresql"] == targets


def test_the_service_waits_for_what_it_needs() -> None:
    """It starts when the others answer, by checks that they have."""
    services = compose()
    needed = services["api"]["depends_on"]

    assert {"postgres", "valkey"} == set(needed)
    assert {"service_healthy"} == {one["condition"] for one in needed.values()}
    assert all(services[name]["healthcheck"]["test"][0] == "CMD" for name in needed)


def test_a_fresh_clone_needs_no_env_file() -> None:
    """Every variable has a default; that of the password is the one in .env.example."""
    services = compose()
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    default = f"${{POSTGRES_PASSWORD:-{example()['POSTGRES_PASSWORD']}}}"

    assert set(re.findall(r"\$\{\w+(..)?", text)) == {":-"}
    assert default == services["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert f":{default}@" in services["api"]["environment"]["DATABASE_URL"]


def test_the_service_has_time_to_stop() -> None:
    """The engine waits longer than requests in flight are given, and nothing is writable but data."""
    service = compose()["api"]
    defaults = Settings.model_fields
    needed = defaults["shutdown_grace_s"].default + defaults["shutdown_delay_s"].default

    assert int(service["stop_grace_period"].removesuffix("s")) > needed
    assert (True, ["/tmp"], ["ALL"]) == (  # noqa: S108 (in the container)
        service["read_only"],
        service["tmpfs"],
        service["cap_drop"],
    )


def test_every_variable_of_the_services_is_a_setting() -> None:
    """A misspelt variable would be ignored without a word."""
    known = {"DATABASE_URL", *(f"HEISENBERG_{name.upper()}" for name in Settings.model_fields)}

    assert set(compose()["api"]["environment"]) <= known
    assert set(example()) - {"POSTGRES_PASSWORD"} <= known


def test_the_example_reaches_the_database_of_the_compose_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`cp .env.example .env` is all that `alembic upgrade head` needs after `up -d postgres`."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    url = make_url(load_settings(_env_file=ROOT / ".env.example").database.render_as_string(False))
    service = compose()["postgres"]
    environment = service["environment"]
    host, port, _ = service["ports"][0].split(":")

    assert (host, int(port)) == (url.host, url.port)
    assert (environment["POSTGRES_USER"], environment["POSTGRES_DB"]) == (
        url.username,
        url.database,
    )
    assert example()["POSTGRES_PASSWORD"] == url.password
