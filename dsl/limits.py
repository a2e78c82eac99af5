"""Every bound on rule text, with its unit.

Rule text may come from anybody, so size, nesting and numbers are bounded before any recursive
visit; the bounds are far above what people write and low enough that refusing is quick.
"""

from __future__ import annotations

FILE_CHARS_MAX = 256 * 1024
"""Characters of one file."""

CHARS_PER_DECLARATION_MIN = 32
CHARS_PER_TOKEN_MIN = 2.5
DENSITY_FREE_CHARS = 8 * 1024
"""A file may hold one token (word, number, literal or sign) per 2.5 characters and one declaration
per 32, beyond the first 8 KiB: twice what people write, and it bounds the time per KiB."""

DECLARATION_TOKENS_MAX = 8192
"""Tokens of one declaration."""

BRACKET_DEPTH_MAX = 48
"""Brackets open at one place; checked before parsing."""

TREE_DEPTH_MAX = 96
"""Levels of the syntax tree, long chains of one operator included; checked after parsing."""

DIAGNOSTICS_MAX = 100
"""Diagnostics reported at once; whoever has more fixes these first."""

LINE_SHOWN_MAX = 160
"""Characters of a source line shown with a diagnostic."""

SUGGESTIONS_MAX = 64
"""Known names compared with a misspelt one."""

INTEGER_MAX = 2**63 - 1
DURATION_MS_MAX = 100 * 366 * 24 * 3600 * 1000
"""One hundred years: keeps every deadline far inside 64 bits."""

DECIMAL_SCALE_DEFAULT = 4
DECIMAL_SCALE_MAX = 15
DECIMAL_SCALED_MAX = 2**53
"""A decimal scaled to an integer stays below this, so its float is exact."""

EXPANSION_NODES_MAX = 2_000
"""Parts of an expression that one use of a `def` comes to."""

EXPANSIONS_FREE_NODES = 20_000
EXPANSION_CHARS_PER_NODE_MIN = 2
"""All uses together: so many parts, and one more for every two characters of text."""

EXPRESSION_NODES_MAX = 10_000
"""Parts of one checked expression, those that stand in it more than once counted each time."""

TOP_MAX = 100
"""Values that `top` may give."""

REPEAT_MAX = 10_000
"""Largest count in a quantifier."""

RUNS_MAX = 10_000
"""Largest `limit … runs`: partial matches of one rule and key."""

STEPS_MAX = 64
"""Steps of one pattern, absences included."""

WINDOWS_PER_EVENT_MAX = 1440
"""Hopping windows that one event may be in: a day, every minute."""

SESSION_MS_MAX = 24 * 3600 * 1000
"""Length of a session whose window has no `cap`."""

WINDOW_EVENTS_MAX = 100_000
"""Events of a count window."""

ANY_ORDER_MAX = 16
"""Parts of one `A & B` or `n of (…)`."""

EVENT_FIELDS_MAX = 1000
"""Fields of one event, those of the events it extends included."""

INSTANCE_NODES_MAX = 16_000
"""Nodes of the syntax trees of all rules that one file makes from templates."""

PLACEHOLDER_NODES = 2
PLACEHOLDER_TOKENS = 4
"""What a brace in a message counts for beside: an expression is read from there on."""

STRATA_MAX = 16
"""Rules in a chain, each reading what the one before emits."""

EMITS_MAX = 16
"""`emit` clauses of one rule."""

REGEX_CHARS_MAX = 1000
TEMPLATE_CHARS_MAX = 16 * 1024
PLACEHOLDERS_MAX = 100
"""Placeholders of one message."""

FORMAT_WIDTH_MAX = 99
"""Width of a placeholder's format; its precision is at most DECIMAL_SCALE_MAX."""
