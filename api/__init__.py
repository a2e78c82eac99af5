"""The HTTP API: a handler parses, calls, serialises; the logic is in the packages below.

Every error is an RFC 9457 problem (`api.problems` has the table).  Who may do what is decided
before a handler is called (`api.access`).
"""
