"""Results of inline tests as JUnit XML: a suite for each rule file, a case for each test."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from cep.testing import NEAREST, TestResult


def junit_xml(results: Sequence[TestResult]) -> bytes:
    """The report as a document."""
    root = ElementTree.Element("testsuites")
    suites: dict[str, list[TestResult]] = {}
    for result in results:
        suites.setdefault(result.test.span.path, []).append(result)
    for path, members in suites.items():
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=path,
            tests=str(len(members)),
            failures=str(sum(not member.passed for member in members)),
            errors="0",
            skipped="0",
            time=f"{sum(member.seconds for member in members):.3f}",
        )
        for member in members:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=_xml_text(member.test.rule),
                name=_xml_text(member.name),
                file=path,
                time=f"{member.seconds:.3f}",
            )
            for failure in member.failures:
                message = _xml_text(_summary(failure.text))
                node = ElementTree.SubElement(case, "failure", message=message)
                node.text = _xml_text(failure.text)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _summary(text: str) -> str:
    """What was expected, and how near it came."""
    first, *details = text.split("\n")
    return "; ".join([first, *(line for line in details if line.startswith(NEAREST))])


def _xml_text(text: str) -> str:
    """XML has no place for most control characters, nor for surrogates."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
