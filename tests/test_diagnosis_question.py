"""What a model is shown of an incident: found again, without secrets, within the budget."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from heisenberg import pipeline
from heisenberg.diagnosis import prompt
from heisenberg.diagnosis.answer import SCHEMA
from heisenberg.diagnosis.prompt import digest, estimate, evidence_text, fixed_tokens, write_prompt
from heisenberg.diagnosis.question import shorten
from heisenberg.diagnosis.tokens import estimate_tokens
from heisenberg.diagnosis.verify import readings
from heisenberg.model.question import Item, ItemKind, Question

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "checkout"
CASES = sorted(p for p in (Path(__file__).parent / "data" / "cases").iterdir() if p.is_dir())
FORMS = {"diagnosis-1": "ce2a"}
"""Version to the beginning of the SHA-256 of its task and schema."""


def questions(folder: Path, tokens: int = 4000) -> tuple[Question, ...]:
    report = next(
        folder / name for name in ("report.json", "junit.xml") if (folder / name).exists()
    )
    return pipeline.prepare([report], [folder / "logs"], context_tokens=tokens).questions


def kinds(question: Question) -> list[ItemKind]:
    return [item.kind for item in question.items]


@pytest.mark.parametrize("folder", CASES, ids=lambda p: p.name)
class TestCases:
    def test_every_line_that_may_be_cited_is_there(self, folder: Path) -> None:
        """Each exact stretch stands in its artefact, from its line on."""
        for question in questions(folder):
            for line in (line for item in question.items for line in item.lines):
                path = folder / line.source
                path = path if path.exists() else folder / "logs" / line.source
                rest = path.read_text("utf-8", "replace").split("\n")[line.line - 1 :]
                for stretch in line.exact:
                    assert any(stretch in reading for raw in rest for reading in readings(raw))

    def test_the_same_input_gives_the_same_prompt(self, folder: Path) -> None:
        """Byte for byte, so that an answer can be kept."""
        once, again = ([digest(write_prompt(q, 1500)) for q in questions(folder)] for _ in range(2))

        assert once == again

    @pytest.mark.parametrize("tokens", [1800, 2500, 4000])
    def test_the_budget_holds(self, folder: Path, tokens: int) -> None:
        """Of the whole prompt; the most telling item is there in any case."""
        for question in questions(folder, tokens):
            assert question.items
            assert estimate(question) <= tokens or len(question.items) == 1

    def test_text_of_artefacts_stands_behind_bars(self, folder: Path) -> None:
        """Any line is ours, or begins with the mark of what it belongs to."""
        for question in questions(folder):
            for line in evidence_text(question).splitlines():
                ours = re.match(
                    r"## |\[E\d+\] |Of \d+ tests|Services |There are no|and \d+ more|owner \w+, |"
                    r"Every attempt|\d+ lines were left out",
                    line,
                )
                assert ours or re.match(r"(?:E\d+|T|S\d+|H)\| ", line), line


class TestChoice:
    def test_the_most_telling_comes_first(self) -> None:
        """What the test saw, then what the rules suspect, then its request, then the rest."""
        (question,) = questions(EXAMPLE)

        order = list(dict.fromkeys(kinds(question)))
        assert [
            ItemKind.ERROR,
            ItemKind.CAUSE,
            ItemKind.REQUEST,
            ItemKind.DIFFERENCE,
            ItemKind.PASSED,
        ] == order
        assert ["E1", "E2", "E3"] == [item.id for item in question.items][:3]

    def test_the_hypothesis_is_in_it_to_be_tested(self) -> None:
        """With its confidence, and its words behind a bar."""
        (question,) = questions(EXAMPLE)

        assert "owner product, mechanism unhandled_exception, confidence 0.87" in question.head
        assert (
            "H| payments raises KeyError: 'USD' while serving POST /api/checkout." in question.head
        )

    def test_a_small_budget_keeps_what_tells_most(self) -> None:
        """Items are left out from the end."""
        (whole,) = questions(EXAMPLE)
        (small,) = questions(EXAMPLE, 2600)

        assert len(small.items) < len(whole.items)
        assert whole.items[:3] == small.items[:3]

    def test_a_question_can_be_shortened(self) -> None:
        """For a model that reads less: a part of the items, until one is left."""
        (question,) = questions(EXAMPLE)
        half = shorten(question, 0.5)
        assert half is not None
        least = shorten(half, 0.0)
        assert least is not None

        assert question.items[: len(half.items)] == half.items
        assert sum(i.tokens for i in half.items) <= 0.5 * sum(i.tokens for i in question.items)
        assert question.items[:1] == least.items
        assert shorten(least, 0.0) is None

    def test_no_logs_is_said(self) -> None:
        """A model need not look for what was not there."""
        report = EXAMPLE / "report.json"
        for question in pipeline.prepare([report], context_tokens=4000).questions:
            assert "There are no logs." in question.head
            assert {ItemKind.ERROR, ItemKind.PASSED} == set(kinds(question))

    def test_nothing_is_asked_when_nothing_is_wanted(self) -> None:
        """Offline analysis pays nothing for questions."""
        assert () == pipeline.prepare([EXAMPLE]).questions


class TestSecrets:
    @pytest.fixture
    def leaky(self, tmp_path: Path) -> Path:
        """The example, whose failing request logs a password, twice."""
        shutil.copytree(EXAMPLE, tmp_path / "case")
        log = tmp_path / "case" / "logs" / "payments.log"
        text = log.read_text().replace(
            "charge failed", "charge failed password=hunter2hunter2 user=ann@shop.example"
        )
        log.write_text(text)
        return tmp_path / "case"

    def test_secrets_stay_at_home(self, leaky: Path) -> None:
        """They are replaced, the same by the same placeholder, and counted."""
        (question,) = questions(leaky)
        sent = evidence_text(question)

        assert "hunter2" not in sent
        assert "ann@" not in sent
        assert "password=<secret:1> user=<email:1>" in sent
        assert sum(question.redacted.values()) >= 2

    def test_what_is_left_of_the_line_can_be_cited(self, leaky: Path) -> None:
        """By the stretches around the secrets, which stand in the log exactly."""
        (question,) = questions(leaky)
        lines = [line for item in question.items for line in item.lines]
        (line, *_) = [line for line in lines if "<secret:1>" in line.text]

        raw = (leaky / "logs" / "payments.log").read_text()
        assert line.exact
        assert all(stretch in raw and "hunter2" not in stretch for stretch in line.exact)

    def test_nothing_secret_leaves_with_the_question(self, leaky: Path) -> None:
        """A worker sends the whole question to the service: no part of it holds a secret."""
        (question,) = questions(leaky)

        assert b"hunter2" not in msgspec.msgpack.encode(question)


class TestForm:
    def test_a_version_names_one_form(self) -> None:
        """Whoever changes the task or the schema gives it a new version."""
        form = hashlib.sha256((prompt.task() + json.dumps(SCHEMA)).encode()).hexdigest()

        assert form.startswith(FORMS[prompt.VERSION]), form

    def test_the_schema_is_one_that_all_providers_take(self) -> None:
        """Every object is closed and has all its properties required."""

        def objects(schema: object) -> list[dict[str, object]]:
            if isinstance(schema, dict):
                inner = [found for value in schema.values() for found in objects(value)]
                return [schema, *inner] if schema.get("type") == "object" else inner
            return []

        found = objects(SCHEMA)
        assert len(found) > 3
        for one in found:
            assert one["additionalProperties"] is False
            assert list(one["properties"]) == one["required"]  # type: ignore[call-overload]

    def test_the_digest_changes_with_all_that_is_sent(self) -> None:
        """Evidence, and the length of the answer."""
        (question,) = questions(EXAMPLE)
        fewer = replace(question, items=question.items[:-1])

        prompts = [
            write_prompt(question, 1500),
            write_prompt(question, 900),
            write_prompt(fewer, 1500),
        ]
        assert 3 == len({digest(p) for p in prompts})

    def test_task_and_schema_are_a_small_part(self) -> None:
        """Most of the budget is for evidence."""
        assert fixed_tokens() < 2000

    @pytest.mark.parametrize(
        ("text", "least", "most"),
        [
            ("", 0, 0),
            ("a b c", 3, 3),
            ("internationalization", 2, 5),
            ("2026-11-23T17:03:23.828Z", 8, 24),
            ("日本語", 3, 6),
            ("\n\n\n", 1, 3),
        ],
    )
    def test_tokens_are_estimated_without_a_vocabulary(
        self, text: str, least: int, most: int
    ) -> None:
        """Within what vocabularies in use would say."""
        assert least <= estimate_tokens(text) <= most


def test_an_item_knows_its_lines() -> None:
    """As they are sent."""
    (question,) = questions(EXAMPLE)
    first: Item = question.items[0]

    assert first.text == tuple(line.text for line in first.lines)
