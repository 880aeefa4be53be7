"""The elements inside a JUnit test case, and their texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heisenberg.readers.junit_text import clean
from heisenberg.readers.xml_stream import local_name, text_of

if TYPE_CHECKING:
    from lxml import etree


def named_children(element: etree._Element) -> list[tuple[str, etree._Element]]:
    """The elements directly inside, with their local names; empty for what has none."""
    return [(local_name(child), child) for child in element]


def by_name(
    named: list[tuple[str, etree._Element]],
) -> dict[str, list[etree._Element]]:
    """Those that have a name, grouped by it."""
    children: dict[str, list[etree._Element]] = {}
    for name, child in named:
        if name:
            children.setdefault(name, []).append(child)
    return children


def body_of(element: etree._Element) -> str:
    """The element's text, without the output that Surefire nests in it."""
    parts = [element.text or ""]
    for child in element:
        if local_name(child) not in {"", "system-out", "system-err"}:
            parts.append(text_of(child))
        parts.append(child.tail or "")
    return "".join(parts)


def outputs_of(children: dict[str, list[etree._Element]]) -> tuple[str, str]:
    """Text of `system-out` and `system-err`."""
    out, err = children.get("system-out"), children.get("system-err")
    return (
        "\n".join([clean(text_of(e)) for e in out]) if out else "",
        "\n".join([clean(text_of(e)) for e in err]) if err else "",
    )


def tags_of(children: dict[str, list[etree._Element]]) -> tuple[str, ...]:
    """Properties of the case as `name: value`."""
    if "properties" not in children:
        return ()
    items = ((p.get("name") or "", p.get("value") or "") for g in children["properties"] for p in g)
    return tuple(clean(f"{name}: {value}" if value else name) for name, value in items if name)
