"""Reference data: tables and lists that rules look rows up in, as of a position in the log.

    value(table, field, key, position) = of the newest row of that key written at or before position

A change is applied at a position between two steps and keeps what it replaces, so an event that
waited for the watermark sees the rows of its own place in the log, however late it is matched.
`history.py` says the same as plain code.
"""
