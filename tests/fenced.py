"""Runs what the documentation shows: the fenced blocks of a Markdown file, in order, in one folder.

    ```sh, ```console   each command must exit 0; in `console`, lines starting with `$ ` are the
                        commands and the lines after one are its output (`...` stands for anything)
    ```cep              must pass `cep check`, and `cep test` when it has inline tests
    ```python           must run to its end; its output must be the next ```output block, if any

A comment on the line before a block changes that:
    <!-- file: NAME -->     the block is the file NAME for the blocks after it (any language)
    <!-- with: NAME -->     a rule block that needs the declarations in the file NAME
    <!-- exit: N -->        the block's commands exit with N
    <!-- not run: WHY -->   the block is shown only

The folder starts with links to rules/, docs/ and bench/.  `make` is only asked whether it knows the
target: the tests are themselves run by it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIMEOUT_SECONDS = 300
_BLOCK = re.compile(
    r"^(?:<!-- (?P<directive>file|with|exit|not run): (?P<argument>.*?) -->\n)?"
    r"```(?P<language>[a-z]+)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    line: int
    language: str
    body: str
    directive: str | None
    argument: str


class Failed(AssertionError):
    """A block does not do what the page says; the text names the page and the line."""


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            text.count("\n", 0, match.start("language")) + 1,
            match["language"],
            match["body"],
            match["directive"],
            match["argument"] or "",
        )
        for match in _BLOCK.finditer(text)
    ]


def run_page(page: Path, folder: Path) -> None:
    """Raises `Failed` at the first block that fails."""
    for name in ("rules", "docs", "bench"):
        (folder / name).symlink_to(ROOT / name)
    found = blocks(page)
    for block, following in zip_longest(found, found[1:]):
        try:
            run_block(block, following, folder)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            raise Failed(f"{page.relative_to(ROOT)}:{block.line}: {error}") from error


def run_block(block: Block, following: Block | None, folder: Path) -> None:
    if block.directive == "not run":
        return
    if block.directive == "file":
        (folder / block.argument).write_text(block.body)
        return
    if block.language in ("sh", "console"):
        code = int(block.argument) if block.directive == "exit" else 0
        for command, output in _commands(block):
            _run_command(command, output, code, folder)
    elif block.language == "python":
        shown = following.body if following and following.language == "output" else None
        _expect(_execute([sys.executable, "-c", block.body], folder), shown, 0)
    elif block.language == "cep":
        path = folder / f"line{block.line}.cep"
        path.write_text(block.body)
        verb = "test" if re.search(r"^test ", block.body, re.MULTILINE) else "check"
        beside = [block.argument] if block.directive == "with" else []
        code = int(block.argument) if block.directive == "exit" else 0
        _expect(_execute(["cep", verb, *beside, path.name], folder), None, code)


def _commands(block: Block) -> Iterator[tuple[str, str | None]]:
    """Commands with the output shown for each; None: nothing is claimed about it."""
    if block.language == "sh":
        joined = block.body.replace("\\\n", " ")
        yield from ((line, None) for line in joined.splitlines() if line and line[0] != "#")
        return
    for part in re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        while command.endswith("\\"):
            more, _, output = output.partition("\n")
            command = command[:-1] + " " + more
        yield command, output or None


def _run_command(command: str, output: str | None, code: int, folder: Path) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        asked = subprocess.run(
            ["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert asked.returncode == 0, asked.stderr
        return
    _expect(_execute(["bash", "-o", "pipefail", "-c", command], folder), output, code)


def _execute(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    scripts = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": f"{scripts}:{os.environ['PATH']}", "NO_COLOR": "1"}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )


def _expect(done: subprocess.CompletedProcess[str], output: str | None, code: int) -> None:
    said = f"{shlex.join(done.args)}\n{done.stdout}{done.stderr}"
    assert done.returncode == code, f"exit {done.returncode}: {said}"
    if output is None:
        return
    pattern = ".*?".join(re.escape(part) for part in output.strip().split("..."))
    actual = (done.stdout + done.stderr).strip()
    assert re.fullmatch(pattern, actual, re.DOTALL), f"other output than shown: {said}"
