"""`cep bench`: the benchmarks of a source checkout, `python -m bench`."""

from __future__ import annotations

import click

from cep.errors import UsageError


@click.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    }
)
@click.pass_context
def bench(context: click.Context) -> None:
    """Run the benchmarks and print JSON. Arguments go to `python -m bench`."""
    import runpy
    import sys
    from pathlib import Path

    root = Path(__file__).parents[2]
    if not (root / "bench" / "__main__.py").is_file():
        raise UsageError("the benchmarks come with a source checkout only")
    sys.path.insert(0, str(root))
    sys.argv = ["bench", *context.args]
    runpy.run_module("bench", run_name="__main__")
