"""Where the rows of tables and lists come from: files, Redis, a program, the command line.

A source is read as a whole, at the start and on reload; what differs from the rows there are is
applied as one change at the log position then reached.  Rows that do not fit are left out, counted
and named with their place.
"""
