"""The language server: diagnostics, hover, completion, format and go-to-definition over stdio.

The `.cep` files of a document's folder are one namespace, as for `cep check FOLDER`; what is open
in the editor stands for what is on disk.  Needs the extra `editor` (pygls).
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

import dsl
from dsl.diagnostics import Diagnostic
from dsl.editor import answers
from dsl.editor.symbols import Symbols
from dsl.format import format_text
from dsl.source import Source, Span

_KINDS = {
    "event": lsp.CompletionItemKind.Struct,
    "filter": lsp.CompletionItemKind.Variable,
    "rule": lsp.CompletionItemKind.Class,
    "template": lsp.CompletionItemKind.Class,
    "table": lsp.CompletionItemKind.Struct,
    "list": lsp.CompletionItemKind.Variable,
    "feature": lsp.CompletionItemKind.Variable,
    "def": lsp.CompletionItemKind.Function,
    "field": lsp.CompletionItemKind.Field,
    "step": lsp.CompletionItemKind.Variable,
    "function": lsp.CompletionItemKind.Function,
    "word": lsp.CompletionItemKind.Keyword,
}


class _Namespace:
    """The files that belong with one document, and the way between LSP places and offsets."""

    def __init__(self, server: LanguageServer, uri: str) -> None:
        self.path = _path(uri)
        texts = {
            _path(document.uri): document.source
            for document in server.workspace.text_documents.values()
            if Path(_path(document.uri)).parent == Path(self.path).parent
        }
        for file in sorted(Path(self.path).parent.glob(f"*{dsl.SUFFIX}")):
            if str(file) not in texts:
                texts[str(file)] = file.read_text(encoding="utf-8-sig", errors="replace")
        self.sources = {path: Source(path, text) for path, text in sorted(texts.items())}
        self.source = self.sources[self.path]

    def symbols(self) -> Symbols:
        return Symbols.of(self.sources.values())

    def offset(self, position: lsp.Position) -> int:
        """LSP counts characters in UTF-16 code units."""
        lines = self.source.text.split("\n")
        line = min(position.line, len(lines) - 1)
        before = sum(len(text) + 1 for text in lines[:line])
        units = lines[line].encode("utf-16-le", "surrogatepass")[: 2 * position.character]
        return before + len(units.decode("utf-16-le", "ignore"))

    def range(self, span: Span) -> lsp.Range:
        source = self.sources[span.path]
        return lsp.Range(_position(source, span.start), _position(source, span.end))

    def location(self, span: Span) -> lsp.Location:
        return lsp.Location(Path(span.path).as_uri(), self.range(span))

    def diagnostic(self, found: Diagnostic) -> lsp.Diagnostic:
        error = found.severity == "error"
        return lsp.Diagnostic(
            range=self.range(found.span),
            message=f"{found.message}\n{found.hint}" if found.hint else found.message,
            severity=lsp.DiagnosticSeverity.Error if error else lsp.DiagnosticSeverity.Warning,
            code=found.code,
            source="cep",
        )


def _path(uri: str) -> str:
    return unquote(urlsplit(uri).path)


def _position(source: Source, offset: int) -> lsp.Position:
    line, column = source.line_column(offset)
    before = source.line(line)[: column - 1]
    return lsp.Position(line - 1, len(before.encode("utf-16-le", "surrogatepass")) // 2)


def create_server(version: str) -> LanguageServer:
    """The server with its features; `start_io()` serves standard input and output."""
    server = LanguageServer("cep", version)

    def publish(uri: str) -> None:
        space = _Namespace(server, uri)
        by_path: dict[str, list[lsp.Diagnostic]] = {path: [] for path in space.sources}
        for found in dsl.load_sources(list(space.sources.values())).diagnostics:
            by_path[found.span.path].append(space.diagnostic(found))
        shown = {_path(document.uri) for document in server.workspace.text_documents.values()}
        for path in shown & by_path.keys():
            server.text_document_publish_diagnostics(
                lsp.PublishDiagnosticsParams(Path(path).as_uri(), by_path[path])
            )

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        publish(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        publish(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    def hovered(params: lsp.HoverParams) -> lsp.Hover | None:
        space = _Namespace(server, params.text_document.uri)
        found = answers.hover(space.symbols(), space.source, space.offset(params.position))
        if found is None:
            return None
        text, span = found
        content = lsp.MarkupContent(lsp.MarkupKind.Markdown, text)
        return lsp.Hover(content, space.range(span))

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    def defined(params: lsp.DefinitionParams) -> lsp.Location | None:
        space = _Namespace(server, params.text_document.uri)
        offset = space.offset(params.position)
        span = answers.definition(space.symbols(), space.source, offset)
        return None if span is None else space.location(span)

    @server.feature(
        lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=[".", "["])
    )
    def completed(params: lsp.CompletionParams) -> list[lsp.CompletionItem]:
        space = _Namespace(server, params.text_document.uri)
        found = answers.completions(space.symbols(), space.source, space.offset(params.position))
        return [
            lsp.CompletionItem(
                item.label, kind=_KINDS[item.kind], detail=item.detail, sort_text=f"{place:05}"
            )
            for place, item in enumerate(found)
        ]

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def formatted(params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit] | None:
        space = _Namespace(server, params.text_document.uri)
        try:
            text = format_text(space.source.text, space.path)
        except dsl.RuleError:
            return None  # its diagnostics are on display already
        whole = Span(space.path, 0, len(space.source.text))
        return [lsp.TextEdit(space.range(whole), text)]

    return server
