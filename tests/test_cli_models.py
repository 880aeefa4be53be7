"""`analyze --model`, `redact` and `eval --model`, against a real HTTP server.

Most run in this process, as loading the providers' libraries takes seconds; one is a process.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

import pytest

from heisenberg.cli import app, models
from heisenberg.errors import UsageError
from model_replies import agreeing, inventing
from model_server import KEY
from model_switches import HANG, OVERLOADED, UNAUTHORIZED

if TYPE_CHECKING:
    from model_server import ModelServer

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "checkout"
CASES = Path(__file__).parent / "data" / "cases"
MODEL = "anthropic:claude-sonnet-5"


@pytest.fixture
def environment(model_server: ModelServer, tmp_path: Path) -> dict[str, str]:
    """Keys and addresses as a user sets them, and nothing of who runs the tests."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_BASE_URL": model_server.anthropic_url,
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": model_server.openai_url,
        "HEISENBERG_RETRY_BASE_DELAY": "0.01",
    }


class Done(NamedTuple):
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


def heisenberg(*arguments: str | Path, env: dict[str, str], cwd: Path | None = None) -> Done:
    """Run a command in this process, with these variables and no others."""
    out, err = _Stream(), _Stream()
    with (
        mock.patch.dict(os.environ, env, clear=True),
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = app.run([str(a) for a in arguments])
    return Done(code, out.text, err.text)


class _Stream(io.TextIOWrapper):
    """A standard stream that keeps what is written."""

    def __init__(self) -> None:
        self.raw_bytes = io.BytesIO()
        super().__init__(self.raw_bytes, encoding="utf-8", write_through=True)

    @property
    def text(self) -> str:
        self.flush()
        return self.raw_bytes.getvalue().decode()


def document(done: Done) -> dict[str, Any]:
    assert (0, "") == (done.returncode, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class TestAnalyze:
    def test_as_a_process(self, model_server: ModelServer, environment: dict[str, str]) -> None:
        """Nothing but the document is printed, and it ends by itself."""
        model_server.answer = agreeing
        done = subprocess.run(
            [sys.executable, "-m", "heisenberg", "analyze", EXAMPLE, "--format", "json", "--model", MODEL],
            capture_output=True, text=True, encoding="utf-8", check=False, timeout=60, env=environment,
        )  # fmt: skip

        found = document(Done(done.returncode, done.stdout, done.stderr))
        assert MODEL == found["incidents"][0]["diagnosis"]["engine"]

    @pytest.mark.parametrize("name", [MODEL, "openai:gpt-5-mini", "compatible:any"])
    def test_the_model_is_asked_and_believed(
        self, model_server: ModelServer, environment: dict[str, str], name: str
    ) -> None:
        """Its diagnosis is in the document, with what it took."""
        model_server.answer = agreeing
        url = ("--model-url", model_server.openai_url) if name.startswith("compatible") else ()
        if url:
            model_server.key = None

        found = document(
            heisenberg(
                "analyze", EXAMPLE, "--format", "json", "--model", name, *url, env=environment
            )
        )

        said = found["incidents"][0]["diagnosis"]
        assert (name, "diagnosis-1") == (said["engine"], said["prompt"])
        assert said["root_cause"].startswith("Indeed ")
        assert said["input_tokens"] > 0
        assert (said["cost_usd"] == 0) == name.startswith("compatible")
        assert "logs/payments.log" == said["evidence"][0]["source"]

    def test_it_reads_well(self, model_server: ModelServer, environment: dict[str, str]) -> None:
        """Text and Markdown tell who said it, and what it cost."""
        model_server.answer = agreeing
        text = heisenberg("analyze", EXAMPLE, "--model", MODEL, env=environment).stdout
        markdown = heisenberg(
            "analyze", EXAMPLE, "--model", MODEL, "--format", "markdown", env=environment
        ).stdout

        assert f"by     {MODEL} (" in text
        assert "tokens, 0.0" in text
        assert "(kept)" in markdown
        assert 1 == len(model_server.requests)

    def test_what_is_dropped_is_told(
        self, model_server: ModelServer, environment: dict[str, str], tmp_path: Path
    ) -> None:
        """In the report, and with prompt and answer in the transcript."""
        model_server.answer = inventing
        path = tmp_path / "transcript.jsonl"
        done = heisenberg(
            "analyze", EXAMPLE, "--model", MODEL, "--transcript", path, env=environment
        )
        (line,) = [json.loads(line) for line in path.read_text().splitlines()]

        assert "dropped root_cause of its answer" in done.stdout
        assert "PRODUCT  unhandled exception in payments" in done.stdout
        assert (False, MODEL) == (line["is_followed"], line["model"])
        assert "The Java heap ran out of memory." == line["answer"]["root_cause"]["text"]
        assert ["root_cause"] == [d["claim"] for d in line["dropped"]]
        assert model_server.questions[0].user == line["user"]
        assert model_server.questions[0].system == line["system"]

    def test_a_second_model_stands_in(
        self, model_server: ModelServer, environment: dict[str, str]
    ) -> None:
        """Repeated, or by commas in the variable."""
        model_server.answer = agreeing
        model_server.will(UNAUTHORIZED)
        chain = {**environment, "HEISENBERG_MODEL": f"{MODEL},openai:gpt-5-mini"}

        found = document(heisenberg("analyze", EXAMPLE, "--format", "json", env=chain))

        assert "openai:gpt-5-mini" == found["incidents"][0]["diagnosis"]["engine"]
        assert "the next model was asked" in found["problems"][-1]["reason"]

    def test_an_overload_is_waited_for(
        self, model_server: ModelServer, environment: dict[str, str]
    ) -> None:
        """And is no problem when it passes."""
        model_server.answer = agreeing
        model_server.will(OVERLOADED, OVERLOADED)

        found = document(
            heisenberg("analyze", EXAMPLE, "--format", "json", "--model", MODEL, env=environment)
        )

        assert MODEL == found["incidents"][0]["diagnosis"]["engine"]
        assert 3 == len(model_server.requests)

    def test_nothing_that_fails_changes_the_exit_code(
        self, model_server: ModelServer, environment: dict[str, str]
    ) -> None:
        """A model that never answers costs its time-out; the offline diagnosis is delivered."""
        model_server.will(*[HANG] * 9)
        slow = {
            **environment,
            "HEISENBERG_MODEL_TIMEOUT_S": "0.3",
            "HEISENBERG_RETRY_MAX_RETRIES": "1",
        }

        found = document(
            heisenberg("analyze", EXAMPLE, "--format", "json", "--model", MODEL, env=slow)
        )

        assert "offline/1" == found["incidents"][0]["diagnosis"]["engine"]
        assert "the offline diagnosis stands" in found["problems"][-1]["reason"]

    def test_one_deadline_for_the_run(
        self, model_server: ModelServer, environment: dict[str, str]
    ) -> None:
        """However long a try may take."""
        model_server.will(*[HANG] * 9)
        hasty = {**environment, "HEISENBERG_MODEL_DEADLINE_S": "0.3"}

        found = document(
            heisenberg("analyze", EXAMPLE, "--format", "json", "--model", MODEL, env=hasty)
        )

        assert "not all was answered within 0.3 s" in found["problems"][-1]["reason"]

    def test_a_transcript_that_cannot_be_written_is_told_before(
        self, model_server: ModelServer, environment: dict[str, str], tmp_path: Path
    ) -> None:
        """Nothing is paid for then."""
        path = tmp_path / "nowhere" / "transcript.jsonl"

        done = heisenberg(
            "analyze", EXAMPLE, "--model", MODEL, "--transcript", path, env=environment
        )

        assert (2, "", []) == (done.returncode, done.stdout, model_server.requests)
        assert f"{path}: No such file or directory" in done.stderr

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
    def test_a_transcript_that_breaks_off_costs_no_report(
        self, model_server: ModelServer, environment: dict[str, str]
    ) -> None:
        """It is a problem in the report."""
        model_server.answer = agreeing
        options = ("--format", "json", "--model", MODEL, "--transcript", "/dev/full")

        found = document(heisenberg("analyze", EXAMPLE, *options, env=environment))

        assert MODEL == found["incidents"][0]["diagnosis"]["engine"]
        assert "cannot be written: No space left" in found["problems"][-1]["reason"]

    def test_answers_that_are_not_kept_are_told(
        self, model_server: ModelServer, environment: dict[str, str], tmp_path: Path
    ) -> None:
        """The next run would pay again."""
        model_server.answer = agreeing
        (tmp_path / "answers.db").write_bytes(b"no database at all" * 100)
        broken = {**environment, "HEISENBERG_MODEL_CACHE": str(tmp_path / "answers.db")}

        found = document(
            heisenberg("analyze", EXAMPLE, "--format", "json", "--model", MODEL, env=broken)
        )

        assert MODEL == found["incidents"][0]["diagnosis"]["engine"]
        assert "answers are not kept: file is not a database" in found["problems"][-1]["reason"]

    def test_the_limit_of_spending(
        self, model_server: ModelServer, environment: dict[str, str]
    ) -> None:
        """With no money nothing is sent, and the report says why."""
        found = document(
            heisenberg(
                "analyze",
                EXAMPLE,
                "--format",
                "json",
                "--model",
                MODEL,
                "--max-cost",
                "0",
                env=environment,
            )
        )

        assert [] == model_server.requests
        assert "the limit of spending is reached" in found["problems"][-1]["reason"]

    def test_no_cache_asks_again(
        self, model_server: ModelServer, environment: dict[str, str], tmp_path: Path
    ) -> None:
        """Without it the second run is free, and the answers lie in the user's cache folder."""
        model_server.answer = agreeing
        for more in ((), (), ("--no-cache",)):
            heisenberg("analyze", EXAMPLE, "--model", MODEL, *more, env=environment)

        assert 2 == len(model_server.requests)
        assert (tmp_path / ".cache" / "heisenberg" / "answers.db").exists()

    def test_dry_run_sends_nothing(
        self, model_server: ModelServer, environment: dict[str, str]
    ) -> None:
        """It tells how much would be asked, and for how much."""
        done = heisenberg("analyze", EXAMPLE, "--model", MODEL, "--dry-run", env=environment)

        assert (0, []) == (done.returncode, model_server.requests)
        assert f"{MODEL} would be asked 1 question" in done.stderr
        assert "USD; nothing was sent" in done.stderr
        assert "PRODUCT  unhandled exception in payments" in done.stdout

    def test_dry_run_tells_no_more_than_the_limit(
        self, model_server: ModelServer, environment: dict[str, str]
    ) -> None:
        """Else what would be set aside, a repair included."""
        told = [
            heisenberg(
                "analyze", EXAMPLE, "--model", MODEL, "--dry-run", *more, env=environment
            ).stderr
            for more in ((), ("--max-cost", "0.003"))
        ]
        options = ("--format", "json", "--model", MODEL, "--max-cost", "0.003")
        found = document(heisenberg("analyze", EXAMPLE, *options, env=environment))

        most, limited = (re.findall(r"included, ([0-9.]+) USD", line)[0] for line in told)
        assert f"(this call: {most} USD)" in found["problems"][-1]["reason"]
        assert 0.003 == float(limited) < float(most)
        assert [] == model_server.requests

    def test_a_green_run_asks_nothing(
        self, model_server: ModelServer, environment: dict[str, str]
    ) -> None:
        """There is nothing to be asked about."""
        done = heisenberg("analyze", CASES / "clean-1", "--model", MODEL, env=environment)

        assert (0, []) == (done.returncode, model_server.requests)

    def test_a_file_of_the_checkout_is_not_believed(
        self, model_server: ModelServer, environment: dict[str, str], tmp_path: Path
    ) -> None:
        """A `.env` that comes with the code under test cannot have the key sent elsewhere."""
        model_server.answer = agreeing
        shutil.copytree(EXAMPLE, tmp_path / "checkout")
        (tmp_path / ".env").write_text(
            "ANTHROPIC_BASE_URL=http://127.0.0.1:1\nHEISENBERG_MODEL_URL=http://127.0.0.1:1\n"
        )
        heisenberg("analyze", "checkout", "--model", MODEL, env=environment, cwd=tmp_path)

        assert 1 == len(model_server.requests)


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "variables", "told"),
        [
            (("--model", "gpt-5"), {}, "no such model; write PROVIDER:MODEL"),
            (("--model", "nobody:x"), {}, "no such model"),
            (("--model", MODEL), {"ANTHROPIC_API_KEY": ""}, "HEISENBERG_ANTHROPIC_API_KEY"),
            (("--model", "compatible:x"), {}, "HEISENBERG_COMPATIBLE_BASE_URL"),
            (
                ("--model", MODEL),
                {"HEISENBERG_MODEL_TIMEOUT_S": "soon"},
                "HEISENBERG_MODEL_TIMEOUT_S",
            ),
            (("--model", MODEL), {"HEISENBERG_MODEL_CONTEXT_TOKENS": "5"}, "500 or more"),
            (("--model", MODEL), {"HEISENBERG_MODEL_PRICES": "/nothing"}, "/nothing"),
            (("--model", MODEL, "--calibration", "/nothing"), {}, "/nothing"),
            (("--model", MODEL, "--max-cost", "-1"), {}, "--max-cost"),
            (("--model", MODEL, "--max-cost", "nan"), {}, "--max-cost"),
        ],
    )
    def test_one_line_says_what_is_wrong(
        self,
        environment: dict[str, str],
        arguments: tuple[str, ...],
        variables: dict[str, str],
        told: str,
    ) -> None:
        """And the exit code is 2."""
        done = heisenberg("analyze", EXAMPLE, *arguments, env={**environment, **variables})

        assert (2, "") == (done.returncode, done.stdout)
        assert told in done.stderr
        assert 1 == done.stderr.count("\n")
        assert KEY not in done.stderr

    def test_no_model_needs_no_key_and_no_extra(self, environment: dict[str, str]) -> None:
        """Offline, without complaint; nothing of the extra is loaded."""
        probe = (
            "import sys; from heisenberg.cli import app; "
            f"app.run(['analyze', {str(EXAMPLE)!r}, '--format', 'json']); "
            "print([m for m in ('pydantic_ai', 'anthropic', 'openai', 'tenacity') if m in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", probe],
            capture_output=True, text=True, check=True, timeout=60, env={"PATH": environment["PATH"]},
        )  # fmt: skip

        assert "[]" == done.stdout.splitlines()[-1]

    def test_a_variable_that_is_no_number(self) -> None:
        """It is named."""
        with pytest.raises(UsageError, match="HEISENBERG_RETRY_MAX_RETRIES: 'x' is no number"):
            models.choose(None, environment={"HEISENBERG_RETRY_MAX_RETRIES": "x"})


class TestRedact:
    @pytest.fixture
    def leaky(self, tmp_path: Path) -> Path:
        """The example, with a password in the log of the failing request."""
        shutil.copytree(EXAMPLE, tmp_path / "case")
        log = tmp_path / "case" / "logs" / "payments.log"
        log.write_text(
            log.read_text().replace("charge failed", "charge failed password=hunter2xyz")
        )
        return tmp_path / "case"

    def test_show_is_what_is_sent(
        self, model_server: ModelServer, environment: dict[str, str], leaky: Path
    ) -> None:
        """To the letter, but for what the provider's format puts around it."""
        model_server.answer = agreeing
        shown = heisenberg("redact", leaky, "--show", env=environment).stdout
        heisenberg("analyze", leaky, "--model", MODEL, env=environment)

        (asked,) = model_server.questions
        assert asked.system in shown
        assert asked.user in shown
        assert "hunter2" not in shown
        assert b"hunter2" not in model_server.requests[0].raw
        assert "password=<secret:1>" in asked.user

    def test_counts(self, environment: dict[str, str], leaky: Path) -> None:
        """Without `--show`: how much, and how many secrets of which kind."""
        shown = heisenberg("redact", leaky, env=environment).stdout

        assert "pieces of evidence, about 3" in shown
        assert "taken out: " in shown
        assert "password" in shown

    def test_a_green_run(self, environment: dict[str, str]) -> None:
        """Nothing would be sent."""
        done = heisenberg("redact", CASES / "clean-1", "--show", env=environment)

        assert "Nothing would be sent: there is no incident.\n" == done.stdout


class TestEval:
    def test_a_model_is_scored_and_learned_from(
        self, model_server: ModelServer, environment: dict[str, str], tmp_path: Path
    ) -> None:
        """Its tokens and cost are told, and what its confidence is worth is written."""
        model_server.answer = agreeing
        trust = tmp_path / "trust.json"
        folder = tmp_path / "cases"
        for name in ("null-coupon", "clean-1"):
            shutil.copytree(CASES / name, folder / name)
        done = heisenberg(
            "eval", folder, "--model", MODEL, "--learn", trust, "--format", "json", env=environment
        )
        found = document(done)
        again = heisenberg(
            "analyze",
            folder / "null-coupon",
            "--model",
            MODEL,
            "--calibration",
            trust,
            env=environment,
        )

        assert 1 == found["model"]["calls"]
        assert found["model"]["cost_usd"] > 0
        assert 1 == found["owner_accuracy"]
        assert 0 == again.returncode
        assert MODEL in again.stdout
        assert MODEL == json.loads(trust.read_text())["engine"]

        other = ("--model", "openai:gpt-5-mini", "--calibration", trust)
        refused = heisenberg("analyze", folder / "null-coupon", *other, env=environment)

        assert (2, "", 1) == (refused.returncode, refused.stdout, refused.stderr.count("\n"))
        assert f"is about {MODEL}, and openai:gpt-5-mini is asked" in refused.stderr

    def test_one_model_is_learned_about(self, environment: dict[str, str], tmp_path: Path) -> None:
        """A file about several would be true of none."""
        chain = ("--model", MODEL, "--model", "openai:gpt-5-mini")

        done = heisenberg(
            "eval", CASES, *chain, "--learn", tmp_path / "trust.json", env=environment
        )

        assert 2 == done.returncode
        assert "--learn: takes one model" in done.stderr
