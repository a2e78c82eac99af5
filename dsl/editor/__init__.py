"""What editors ask of rule text: a language server, and a grammar that colours it.

`symbols` knows what is declared, `answers` are pure functions from text and a place in it to what
an editor shows, `server` speaks the Language Server Protocol, and `cep.tmLanguage.json` is a
TextMate grammar.  All of it stands on the checker that `cep check` runs.
"""
