"""Every bound of delivering, with its unit in the name; the asserts say how they relate."""

KIB = 1024
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS

# ---------------------------------------------------------------------------------- retries
# How long after the end of attempt n attempt n + 1 follows; the first one is at once.
RETRY_DELAYS_MS = (
    5_000,
    30_000,
    2 * MINUTE_MS,
    10 * MINUTE_MS,
    30 * MINUTE_MS,
    2 * HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    24 * HOUR_MS,
    24 * HOUR_MS,
)
RETRY_JITTER = 0.2  # each delay is spread over ±20 %
RETRY_AFTER_MAX_MS = 24 * HOUR_MS  # a receiver may not put us off for longer
REFUSED_ATTEMPTS_MAX = 2  # of a message the receiver says it will never take

# ---------------------------------------------------------------------------------- dispatcher
POLL_INTERVAL_MS = 200  # how long an idle dispatcher waits before it looks at the outbox again
STORE_RETRY_INTERVAL_MS = 1_000  # how long to wait for a store that takes no writes
CLAIMS_MAX = 10  # before the dispatcher looks after sending again
CLAIM_ROWS_MAX = 200  # outbox rows that become deliveries in one transaction
SHUTDOWN_GRACE_MS = 5_000  # how long sends under way may still take after a stop
ROUNDS_TAKEN = 4  # times its concurrency, of messages to a destination that left the store
CONCURRENCY_DEFAULT = 4  # messages under way to one destination
CONCURRENCY_MAX = 64
TIMEOUT_DEFAULT_MS = 10_000  # of one attempt, from look-up to the last byte of the answer
TIMEOUT_MAX_MS = 120_000
THREADS_MAX = 64  # blocking sends of one destination, those included that are late

# ---------------------------------------------------------------------------------- messages
URLS_KEPT = 256  # parsed
ANSWER_READ_BYTES = 64 * KIB  # of a receiver's answer; the rest is not read
ANSWER_KEPT_BYTES = 8 * KIB  # of it in the attempt log
ERROR_KEPT_CHARACTERS = 500
SUBJECT_CHARACTERS_MAX = 150
TEXT_BYTES_MAX = 16 * KIB  # of what people read in one message, before it is escaped
MESSAGE_CHARACTERS_MAX = 2_000  # of it, the rendered message of a detection
NOTE_CHARACTERS_MAX = 500
VALUE_CHARACTERS_MAX = 500  # of one field, event or line
EVENTS_SHOWN_MAX = 20  # of a detection's events
DETECTIONS_SHOWN_MAX = 20  # of those a message gathers
ENVELOPE_BYTES_MAX = 512 * KIB  # of a message that holds other than one detection
LINK_CHARACTERS_MAX = 500
PAGER_SUMMARY_CHARACTERS_MAX = 1_024  # PagerDuty's bound
PAGER_SOURCE_CHARACTERS_MAX = 255
CHAT_CHARACTERS_MAX = 3_500  # most chat services take 4,000
RECIPIENTS_MAX = 100
SECRETS_MAX = 2  # the current one and the one being rotated out
SECRET_BYTES_MIN = 24  # as Standard Webhooks asks
SECRET_BYTES_MAX = 64

# ---------------------------------------------------------------------------------- alerts
NAME_CHARACTERS_MAX = 100  # of a route, a destination, a person
PATTERN_CHARACTERS_MAX = 200
PATTERN_STARS_MAX = 8  # of one pattern
PATTERNS_MAX = 100  # of one matcher, for one thing
ROUTES_MAX = 1_000
ROUTE_DURATION_MAX_MS = 366 * 24 * HOUR_MS
STORM_MESSAGES_MAX = 100_000
TITLE_CHARACTERS_MAX = 300
COMMENT_CHARACTERS_MAX = 4_000
SILENCE_MAX_MS = 366 * 24 * HOUR_MS  # how long a silence may last
PREVIEW_DETECTIONS_MAX = 1_000  # the newest ones, which the preview of a silence looks at
PREVIEW_ALERTS_MAX = 1_000  # the newest that are going on, likewise
RESOLUTIONS_MAX = 100_000  # read at once
RESOLUTIONS_AT_ONCE = 500  # taken in by one transaction
ALERTS_DUE_MAX = 200  # whose timers are looked at in one transaction
RENDERED_AT_ONCE = 50  # messages whose detections are in memory together
GATHERED_MAX = 100  # detections shown in one message; the others are counted

# ---------------------------------------------------------------------------------- breaker
BREAKER_FAILURES = 5  # in a row, after which a destination is left alone for a while
BREAKER_PAUSE_MS = 10_000  # the first while; it doubles with each failed probe
BREAKER_PAUSE_MAX_MS = 2 * MINUTE_MS

# ---------------------------------------------------------------------------------- watching
FEED_POLL_MS = 500  # how often the feed of changes looks at the store, at most
FEED_ALERTS_MAX = 10_000  # of those that are going on, the newest are watched
FEED_CHANGES_KEPT = 1_000  # for whoever was cut off
FEED_READ_ROWS = 500  # read by one query
COUNTED_ALERTS_MAX = 100_000  # the newest alerts, of which it is counted when they were opened

assert ANSWER_KEPT_BYTES <= ANSWER_READ_BYTES
assert len(RETRY_DELAYS_MS) >= REFUSED_ATTEMPTS_MAX
assert list(RETRY_DELAYS_MS) == sorted(RETRY_DELAYS_MS)
# A character has at most four bytes; what is left is for facts, events and detections.
assert 4 * (MESSAGE_CHARACTERS_MAX + NOTE_CHARACTERS_MAX) + LINK_CHARACTERS_MAX < TEXT_BYTES_MAX
assert 0 < RETRY_JITTER < 1
assert CONCURRENCY_DEFAULT <= CONCURRENCY_MAX <= THREADS_MAX
assert TIMEOUT_DEFAULT_MS <= TIMEOUT_MAX_MS
