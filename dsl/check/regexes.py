"""Regular expressions: RE2 only, so that no rule can make matching slow."""

from __future__ import annotations

from dsl import limits

FLAGS = "ims"


def regex_problem(pattern: str, flags: str) -> str | None:
    if len(pattern) > limits.REGEX_CHARS_MAX:
        return f"a regular expression longer than {limits.REGEX_CHARS_MAX} characters"
    for flag in flags:
        if flag not in FLAGS:
            return f"unknown flag `{flag}`; flags are i, m and s"
    import re2  # native code; loaded only for rules that use it

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "unsupported"
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        return f"RE2 does not take this regular expression: {text}"
    return None


def regex_groups(pattern: str) -> int:
    """How many groups a pattern that RE2 takes has."""
    import re2

    groups: int = re2.compile(pattern).groups
    return groups
