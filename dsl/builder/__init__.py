"""From what the grammar recognised to syntax tree nodes: one method per grammar rule.

Lark calls these while it parses, so no parse tree is ever built or walked.  Every token is kept,
so a rule's children reach from its first character to its last and give its exact place; a part
in `[…]` that is not there arrives as one None per token.
"""

from __future__ import annotations

from dsl.builder.declarations import Build

__all__ = ["Build"]
