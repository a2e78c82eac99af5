"""`cep test`: the inline tests of rule files, through the engine's own steps."""

from __future__ import annotations

from pathlib import Path

import click

from cep.cli.arguments import rule_paths
from cep.errors import UsageError


@click.command()
@rule_paths
@click.option(
    "--junit",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Also write a JUnit XML report.",
)
def test(rules: tuple[Path, ...], junit: Path | None) -> None:
    """Run the tests inside rule files. Exit code 1 if one fails."""
    from cep.junit import junit_xml
    from cep.load import load_rules
    from cep.testing import place, run_test

    rule_set = load_rules(rules)
    results = []
    for inline_test in rule_set.tests:
        result = run_test(rule_set, inline_test)
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
        raise SystemExit(1)
