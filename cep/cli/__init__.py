"""The command line `cep`: one module per command; see `main`.

Exit codes: 0 done (also when stopped by SIGTERM or SIGINT), 1 a rule file does not compile, a test
fails or a file is not formatted, 2 wrong usage or an unreadable source, 3 the store cannot be used.

Modules here import nothing heavy when loaded: `cep --help` and `cep check` must start at once.
"""


def main() -> None:
    """Entry point of the console script."""
    from cep.cli.app import run

    run()
