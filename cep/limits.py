"""Every bound of the engine, with its unit in the name.

The asserts state how bounds relate; they run at import, so a changed bound that breaks a relation
stops the program before it reads an event.
"""

from matcher import limits as matcher_limits

KIB = 1024
MIB = 1024 * KIB

# ---------------------------------------------------------------------------------- log
READ_BLOCK_BYTES = 4 * MIB  # one read of a file
BATCH_BYTES_MAX = 16 * MIB  # bytes the engine folds in one step, a longest line aside
BATCH_RECORDS_MAX = 65_536  # records the engine folds in one step
LINE_BYTES_MAX = 1 * MIB  # a longer record is a dead letter and is never held whole
APPEND_BYTES_MAX = 4 * MIB  # one chunk (one row) of the embedded log
APPEND_ENTRY_RECORDS_MAX = 1_000  # records in one entry of a Redis stream …
APPEND_ENTRY_BYTES_MAX = 256 * KIB  # … and bytes, a longest record aside
LOG_POLL_INTERVAL_MS_MAX = 20  # how long an idle follower waits before it looks again
STDIN_PAUSE_MS = 20  # a pause of the writer that ends a batch
STDIN_SILENCE_MS = 200  # how long a read waits before it looks whether to stop
SOURCE_MARK_BYTES = 4 * KIB  # how much of the first record tells one source from another
PARTITIONS_MAX = 256  # of a topic
TOPIC_CHARACTERS_MAX = 190  # with the number of a partition it fits its column
EVENT_IDS_MAX = 200_000  # the ids of so many events of a topic are known when a new one comes
CHUNKS_PER_QUERY = 16  # of the embedded log, when it is read
CHUNKS_REMOVED_AT_ONCE = 16  # of the embedded log, in one transaction
KEYS_PLACED_MAX = 100_000  # partitions remembered by key while appending

# ---------------------------------------------------------------------------------- Redis
REDIS_TIMEOUT_SECONDS = 10  # for one answer of the server
REDIS_REPLY_BYTES = 2 * MIB  # what one reply is asked to come to; servers are slower at larger ones
REDIS_RETRY_INTERVAL_MS_MAX = 2_000  # between attempts to reach a server that is gone
REDIS_PROGRESS_INTERVAL_MS = 1_000  # how often progress is shown in the consumer group
REDIS_BOOKMARKS_MAX = 256 * KIB  # entries whose places are known; of older ones every second

# ---------------------------------------------------------------------------------- store
DEAD_LETTER_RAW_BYTES = 4 * KIB  # how much of a bad record is kept
DATABASE_RETRY_INTERVAL_MS_MAX = 2_000  # between attempts to reach a server that is gone
SQLITE_PAGE_BYTES = 8 * KIB  # of files made from now on
SQLITE_LOG_PAGES = 8 * KIB  # so many gather in the write-ahead log: 64 MiB
STORE_BUSY_TIMEOUT_MS = 30_000  # how long a commit waits for another writer of the same file
TEXTS_KEPT_MIN = 4_000_000  # texts of keys and fields, before those that are gone are let go
PAGES_MADE_BYTES = 1 * MIB  # of state, in one turn at the end of the log
COMMIT_INTERVAL_MS = 500  # while catching up, steps share a commit
UNCOMMITTED_ROWS_MAX = 10_000  # … until about so many detections and dead letters wait for it
PAGE_NAME_CHARACTERS_MAX = 200  # the width of the column
RULE_NAME_CHARACTERS_MAX = 150
DESTINATION_CHARACTERS_MAX = 200  # of its name: the width of the column
READ_PAGE_ROWS_MAX = 1_000  # rows of one page of a listing
CHECKPOINT_FORMAT = 2
OUTBOX_ROWS_MAX = 50_000  # with more rows that no dispatcher has taken, nothing is read
INTAKE_LOOK_MS = 200  # how often that is looked at
STORE_SLOW_MS = 1_000  # a commit that takes longer is told of

# ---------------------------------------------------------------------------------- workers
WORKER_RESTART_MS = 500  # before a worker that died is started again; doubled each time in a row
WORKER_RESTART_MS_MAX = 30_000
WORKER_DEATHS_MAX = 8  # in a row, with nothing committed in between: then all stop
WORKER_REPORT_MS = 200  # how often a worker says how far it is
DRAIN_MS_MAX = 8_000  # how long workers may take to commit and end when told to stop

DEAD_LETTERS_TOLD_MAX = 5  # by `cep run`; the others are counted only
DEGRADED_TOLD_MAX = 5  # rules that were refused partial matches, by `cep run` at its end

# ---------------------------------------------------------------------------------- time
BEGINNING_OF_TIME_MS = -(2**62)  # the watermark before the first event
END_OF_TIME_MS = 2**62  # the watermark after the last event of a finite source
AHEAD_OF_INGEST_MS_MAX = 5 * 60_000  # an event further ahead of its ingest is quarantined
IDLE_MS = 30_000  # a followed log that is silent for so long gets a tick
IDLE_MS_MIN = 1_000

# ---------------------------------------------------------------------------------- deployments
DEPLOYMENTS_LOOK_MS = 200  # how often the store is asked for new ones
DEPLOYMENT_RETRY_MS_MAX = 30_000  # … and one tried again for which the log could not be read
RULE_PATH_CHARACTERS_MAX = 1_000

# ------------------------------------------------------------------------- texts from outside
APART_NICENESS = 10  # of processes that answer questions, behind the engine and the server
TESTS_SECONDS_MAX = 30  # for the inline tests of a text, the start of their process included
TESTS_MEMORY_BYTES_MAX = 2 * 1024 * MIB
TESTS_AT_ONCE = 2
EXPLAIN_SECONDS_MAX = 60  # to read the log for one question
EXPLAIN_MEMORY_BYTES_MAX = 4 * 1024 * MIB
EXPLAIN_AT_ONCE = 2
KEYS_TOLD_MAX = 20

# ---------------------------------------------------------------------------------- back-tests
BACKTEST_LISTED = 100  # detections listed of each class, by default; all are counted
BACKTEST_LISTED_MAX = 10_000
BACKTEST_EVENTS_SHOWN_MAX = 100  # of a detection that is listed
BACKTEST_MESSAGE_CHARACTERS_MAX = 1_000  # …
BACKTEST_VALUE_BYTES_MAX = 4 * KIB  # … of its key, and of its fields, as JSON
BACKTEST_BUCKETS_MAX = 400  # spans of time for which detections are counted
BACKTEST_UNMATCHED_MAX = 1_000_000  # detections that wait for their like of the other rule set
BACKTEST_UNMATCHED_SHOWN_MAX = 10_000  # … and can be listed
BACKTEST_EPISODES_MAX = 1_000_000  # alerts that are open at once
BACKTESTS_AT_ONCE = 1  # processes, by default
BACKTESTS_AT_ONCE_MAX = 8
BACKTESTS_WAITING_MAX = 20
BACKTESTS_KEPT_MAX = 200  # that are over, with their results
BACKTEST_SECONDS_MAX = 3_600  # of a process
BACKTEST_MEMORY_BYTES_MAX = 4 * 1024 * MIB  # … that it asks the system for
BACKTEST_LOOK_SECONDS = 0.2  # how often it is looked for new ones, and such as are cancelled
BACKTEST_PROGRESS_MS = 200  # how often a process says how far it is …
BACKTEST_PROGRESS_STORED_MS = 2_000  # … and the store is told
BACKTEST_REASON_CHARACTERS_MAX = 4_000  # why one failed
BACKTEST_EPISODE_MS = 24 * 3_600_000  # without a detection, then an alert is taken to be over

# ---------------------------------------------------------------------------------- tables
TABLES_KEPT_MAX = 2  # in memory, of those that people look into
LOOK_UPS_OF_KEPT_MAX = 10_000  # then it is read anew
BAD_ROWS_SHOWN_MAX = 10  # of one reading of a source; all of them are counted

# ---------------------------------------------------------------------------------- detections
MESSAGE_BYTES_MAX = 16 * KIB  # a rendered message or attribute
FORMAT_WIDTH_MAX = 256  # the width or precision a format spec may ask for
SUPPRESS_PAGES = 64  # suppression state of a rule is spread over so many pages

assert READ_BLOCK_BYTES >= MIB
assert LINE_BYTES_MAX <= READ_BLOCK_BYTES <= BATCH_BYTES_MAX
assert LINE_BYTES_MAX <= APPEND_BYTES_MAX <= BATCH_BYTES_MAX
assert LINE_BYTES_MAX == matcher_limits.EVENT_BYTES_MAX
assert DEAD_LETTER_RAW_BYTES == matcher_limits.DEAD_LETTER_RAW_BYTES
assert DEAD_LETTER_RAW_BYTES < LINE_BYTES_MAX
assert SOURCE_MARK_BYTES <= LINE_BYTES_MAX
assert APPEND_ENTRY_BYTES_MAX <= APPEND_BYTES_MAX
assert REDIS_REPLY_BYTES <= BATCH_BYTES_MAX
assert STDIN_PAUSE_MS < STDIN_SILENCE_MS < COMMIT_INTERVAL_MS
assert LOG_POLL_INTERVAL_MS_MAX < COMMIT_INTERVAL_MS < STORE_BUSY_TIMEOUT_MS
assert TOPIC_CHARACTERS_MAX + len(f"/{PARTITIONS_MAX}") <= 200
assert UNCOMMITTED_ROWS_MAX < OUTBOX_ROWS_MAX
assert WORKER_RESTART_MS < WORKER_RESTART_MS_MAX
assert WORKER_REPORT_MS < DRAIN_MS_MAX < 10_000
assert RULE_NAME_CHARACTERS_MAX + len("suppress//shadow-00") <= PAGE_NAME_CHARACTERS_MAX
# An old version of a rule is called NAME~NUMBER.
assert RULE_NAME_CHARACTERS_MAX + len("rule/~/") + 2 * len(str(2**63)) <= PAGE_NAME_CHARACTERS_MAX
assert MESSAGE_BYTES_MAX > FORMAT_WIDTH_MAX
assert LOG_POLL_INTERVAL_MS_MAX < IDLE_MS_MIN <= IDLE_MS
# Any event time plus any span of a rule stays inside 64 bits.
assert END_OF_TIME_MS - BEGINNING_OF_TIME_MS < 2**63 + 1
assert END_OF_TIME_MS + 2**61 < 2**63
