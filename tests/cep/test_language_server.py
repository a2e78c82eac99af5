"""`cep lsp` as an editor meets it: a real process, spoken to over its standard input and output."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

EVENTS = "event Login { ts: timestamp @time  user: string  ok: bool }\n"
RULE = """rule r {
  severity low
  by user
  match a: Login[not okay] -> b: Login
  within 1m
  alert "é {user}"
}
"""


def edit(folder: Path, text: str, use: Callable[[LanguageClient, str], Awaitable[None]]) -> None:
    """Opens `text` as rule.cep beside a file of events in a running server."""
    (folder / "events.cep").write_text(EVENTS)
    path = folder / "rule.cep"

    async def session() -> None:
        client = LanguageClient("test", "1")
        await client.start_io(sys.executable, "-m", "cep.cli", "lsp")
        try:
            await client.initialize_async(
                lsp.InitializeParams(
                    capabilities=lsp.ClientCapabilities(), root_uri=folder.as_uri()
                )
            )
            client.initialized(lsp.InitializedParams())
            found: asyncio.Queue[list[lsp.Diagnostic]] = asyncio.Queue()

            @client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
            def published(params: lsp.PublishDiagnosticsParams) -> None:
                found.put_nowait(list(params.diagnostics))

            client.diagnostics = found  # type: ignore[attr-defined]  # for the test to read
            client.text_document_did_open(
                lsp.DidOpenTextDocumentParams(
                    lsp.TextDocumentItem(path.as_uri(), "cep", version=1, text=text)
                )
            )
            await use(client, path.as_uri())
        finally:
            await client.shutdown_async(None)
            client.exit(None)
            await client.stop()

    asyncio.run(asyncio.wait_for(session(), 60))


def test_an_error_is_shown_at_its_place_and_goes_when_it_is_fixed(tmp_path: Path) -> None:
    async def use(client: LanguageClient, uri: str) -> None:
        (wrong,) = await client.diagnostics.get()  # type: ignore[attr-defined]  # see `edit`
        assert wrong.code == "E011" and "did you mean `ok`?" in wrong.message
        start, end = RULE.split("\n")[3].index("okay"), RULE.split("\n")[3].index("okay") + 4
        assert wrong.range == lsp.Range(lsp.Position(3, start), lsp.Position(3, end))
        change = lsp.TextDocumentContentChangeWholeDocument(RULE.replace("okay", "ok"))
        document = lsp.VersionedTextDocumentIdentifier(version=2, uri=uri)
        client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [change]))
        assert await client.diagnostics.get() == []  # type: ignore[attr-defined]  # see `edit`

    edit(tmp_path, RULE, use)


def test_hover_definition_completion_and_format(tmp_path: Path) -> None:
    text = "\n" + RULE.replace("okay", "ok").replace("  by user", "by user")

    async def use(client: LanguageClient, uri: str) -> None:
        document = lsp.TextDocumentIdentifier(uri)
        lines = text.split("\n")
        login = lsp.Position(4, lines[4].index("Login") + 2)
        shown = await client.text_document_hover_async(lsp.HoverParams(document, login))
        assert shown is not None and "user: string" in str(shown.contents)
        place = await client.text_document_definition_async(lsp.DefinitionParams(document, login))
        assert isinstance(place, lsp.Location) and place.uri.endswith("/events.cep")
        assert place.range.start == lsp.Position(0, EVENTS.index("Login"))
        inside = lsp.Position(4, lines[4].index("ok"))
        items = await client.text_document_completion_async(lsp.CompletionParams(document, inside))
        assert isinstance(items, list) and items[0].label == "ts"
        options = lsp.FormattingOptions(tab_size=2, insert_spaces=True)
        edits = await client.text_document_formatting_async(
            lsp.DocumentFormattingParams(document, options)
        )
        assert edits is not None and edits[0].new_text == RULE.replace("okay", "ok")

    edit(tmp_path, text, use)
