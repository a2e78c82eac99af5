"""`python -m cep.cli` is `cep`."""

from cep.cli import main

main()
