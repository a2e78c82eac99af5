"""The HTTP API: a handler parses, calls, serialises; the logic is in the packages below.

Every error is an RFC 9457 problem (`api.problems` has the table).  There is no authentication yet,
so the server is for loopback only: `api.app.check_bind` refuses other addresses.
"""
