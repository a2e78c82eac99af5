"""`cep bench`: the benchmarks of a source checkout, `python -m bench`."""

from __future__ import annotations

import typer

from cep.errors import UsageError


def bench(context: typer.Context) -> None:
    """Run the benchmarks and print JSON; arguments go to `python -m bench`."""
    import runpy
    import sys
    from pathlib import Path

    root = Path(__file__).parents[2]
    if not (root / "bench" / "__main__.py").is_file():
        raise UsageError("the benchmarks come with a source checkout only")
    sys.path.insert(0, str(root))
    sys.argv = ["bench", *context.args]
    runpy.run_module("bench", run_name="__main__")
