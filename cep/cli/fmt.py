"""`cep fmt`: rule files in the one format."""

from __future__ import annotations

from pathlib import Path

import click

from cep.cli.arguments import rule_paths
from cep.errors import RulesError, UsageError


@click.command()
@rule_paths
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 if a file would change.")
def fmt(rules: tuple[Path, ...], check: bool) -> None:
    """Format rule files in place. A file with syntax errors stays as it is."""
    import sys

    import dsl
    from dsl.format import format_text

    changed, broken = [], []
    try:
        for path in dsl.rule_files(rules):
            text = path.read_text(encoding="utf-8")
            try:
                formatted = format_text(text, str(path))
            except dsl.RuleError as error:
                broken.append(str(error))
                continue
            if formatted != text:
                changed.append(path)
                if not check:
                    path.write_text(formatted, encoding="utf-8", newline="")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(str(error)) from error
    for path in changed:
        print(f"{'would change' if check else 'formatted'} {path}", file=sys.stderr)
    if broken:
        raise RulesError("\n".join(broken))
    if check and changed:
        raise SystemExit(1)
