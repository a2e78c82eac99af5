"""`cep test`: the inline tests of rule files, through the engine's own steps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cep.cli.arguments import RulePaths
from cep.errors import UsageError


def test(
    paths: RulePaths,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a JUnit XML report.")
    ] = None,
) -> None:
    """Run the tests inside rule files; exit code 1 if one fails."""
    from cep.junit import junit_xml
    from cep.load import load_rules
    from cep.testing import place, run_test

    rules = load_rules(paths)
    results = []
    for inline_test in rules.tests:
        result = run_test(rules, inline_test)
        results.append(result)
        if not result.passed:
            print(f"FAILED  {result.name}")
            for failure in result.failures:
                head, *details = failure.text.split("\n")
                print(f"  {place(inline_test, failure)}: {head}")
                print("".join(f"    {line}\n" for line in details), end="")
    failed = sum(not result.passed for result in results)
    tests = f"{len(results)} test" + ("" if len(results) == 1 else "s")
    print(f"{tests}: {failed} failed" if failed else f"{tests} passed")
    if junit is not None:
        try:
            junit.write_bytes(junit_xml(results))
        except OSError as error:
            raise UsageError(f"{junit}: {error.strerror}") from error
    if failed:
        raise typer.Exit(1)
