"""Every bound of the API, with its unit in the name."""

from cep import limits as engine_limits

BODY_BYTES_MAX = 10 * 1024 * 1024  # of one request
RULE_BODY_BYTES_MAX = 1024 * 1024  # … that has rule text
ACTION_BODY_BYTES_MAX = 1024 * 1024  # … that says what to do to an alert, a silence
ITEM_ERRORS_MAX = 100  # per-item errors listed in one answer; the rest are counted
PAGE_ROWS_DEFAULT = 100
PAGE_ROWS_MAX = 500
CURSOR_CHARACTERS_MAX = 400
STREAMS_MAX = 100  # answers that go on (server-sent events) at a time
STREAM_HEARTBEAT_SECONDS = 15  # of silence, then a sign of life: proxies close what seems dead
BARS_MAX = 500  # of a chart: intervals in which something is counted

# One append takes a whole request, each record with its line end.
assert 2 * BODY_BYTES_MAX > engine_limits.BATCH_BYTES_MAX > BODY_BYTES_MAX
# One row more than the page tells whether there are more.
assert PAGE_ROWS_MAX < engine_limits.READ_PAGE_ROWS_MAX
