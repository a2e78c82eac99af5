"""Every bound of the API, with its unit in the name."""

from cep import limits as engine_limits

BODY_BYTES_MAX = 10 * 1024 * 1024  # of one request
RULE_BODY_BYTES_MAX = 1024 * 1024  # … that has rule text
RULE_TEXT_CHARACTERS_MAX = 256 * 1024  # as many as a rule file may have
DRAFT_NAME_CHARACTERS_MAX = 200
VERSION_CHARACTERS_MAX = 32
ACTION_BODY_BYTES_MAX = 1024 * 1024  # … that says what to do to an alert, a silence
IDEMPOTENCY_KEY_CHARACTERS_MAX = 200
ANSWERS_KEPT_MS = 24 * 3_600_000  # to requests with an Idempotency-Key …
ANSWER_KEPT_BYTES_MAX = 64 * 1024  # … longer ones are not
ANSWER_UNDER_WAY_MS = 60_000  # after which a request is taken to be lost with its server
FORM_BYTES_MAX = 2 * 1024 * 1024  # of one form of the console, urlencoded rule text included
FORM_FIELDS_MAX = 100
ITEM_ERRORS_MAX = 100  # per-item errors listed in one answer; the rest are counted
PAGE_ROWS_DEFAULT = 100
PAGE_ROWS_MAX = 500
CURSOR_CHARACTERS_MAX = 400
BACKTEST_POLL_SECONDS = 0.25  # how often a stream looks how far a back-test is
KEY_CHARACTERS_MAX = 1_000  # of a part of a key that is looked up in a table
KEY_PARTS_MAX = 20
STREAMS_MAX = 100  # answers that go on (server-sent events) at a time
STREAM_HEARTBEAT_SECONDS = 15  # of silence, then a sign of life: proxies close what seems dead
BARS_MAX = 500  # of a chart: intervals in which something is counted

# Who asks, and how often.
REQUESTS_PER_SECOND = 200  # of one caller, events not counted
REQUESTS_BURST_SECONDS = 5  # … as many seconds' worth at once
CALLERS_KEPT = 10_000  # whose rate is known; the longest unseen are forgotten
SIGN_IN_TRIES = 5  # failed ones in a row, by name and by address …
SIGN_IN_TRY_EVERY_MS = 10_000  # … and then one in so long
LOGIN_MS = 12 * 3_600_000  # after which a person signs in again
KEY_USED_EVERY_MS = 60_000  # how exactly is known when a key was last used
PASSWORD_CHARACTERS_MIN = 10
PASSWORD_CHARACTERS_MAX = 200
ROLES_MAX = 10
AUDITED_BODY_BYTES_MAX = 8 * 1024  # of a request, in the audit; of longer ones there is a hash
AUDITED_PATH_CHARACTERS_MAX = 300
PARTIAL_MATCHES_BYTES_MAX = 64 * 1024 * 1024  # of saved pages that one answer is made from
PARTIAL_MATCHES_AT_ONCE = 1  # such answers that are being made
PARTIAL_MATCHES_WAIT_SECONDS = 5  # … for which another request waits
KEY_PARTS_MAX = 32  # of a key that is asked about

# One append takes a whole request, each record with its line end.
assert 2 * BODY_BYTES_MAX > engine_limits.BATCH_BYTES_MAX > BODY_BYTES_MAX
# One row more than the page tells whether there are more.
assert PAGE_ROWS_MAX < engine_limits.READ_PAGE_ROWS_MAX
