"""Where everything about windows stands in the kernels' arrays, and what its numbers mean."""

from __future__ import annotations

from matcher.exact_sums import NARROW_WORDS

# Columns of `WindowMemory.keys` after SLOT_KEY and SLOT_HEAD (the oldest entry); cells come last.
# `last` is the time of the newest; `number` counts events since the window was last empty.
SLOT_TAIL, SLOT_COUNT, SLOT_NUMBER, SLOT_FLAGS, SLOT_LAST_MS, SLOT_CELLS = range(2, 8)

# Bits of SLOT_FLAGS.  HOT: `when` held at the last event.  WARM: it may have held since.
# DUE: the key stands in the list of keys whose windows are closed by time.
# The bits above tell at which checkpoint the key was last listed as changed.
HOT, WARM, DUE = 1, 2, 4
LISTED_BITS = 3

# Columns of `WindowMemory.entries`; values come next, links of extremes last.  `next` links the
# entries of a key, or free ones; `left` those that have left windows but may still be walked.
ENTRY_TS, ENTRY_POSITION, ENTRY_STEP, ENTRY_NEXT, ENTRY_LEFT, ENTRY_VALUES = range(6)

# Columns of `WindowMemory.values`: how often a key's window has a value, for one cell.
VALUE_KEY, VALUE, VALUE_CELL, VALUE_COUNT = range(4)

# Columns of a cell: what it is, the place of the value it is over, its first column in a key's row,
# and, for extremes, its two links in an entry's row.
CELL_OP, CELL_PLACE, CELL_COLUMN, CELL_LINK = range(4)

# What cells are.  A sum of ints has 128 bits in two columns (high, low); one of doubles is a narrow
# exact sum and the number of values that have no place in it; an extreme has the head and tail of
# the list of entries that may still become the extreme; the rest need one column or none.
VALUES_INT, VALUES_FLOAT, SUM_INT, SUM_FLOAT = range(4)
MIN_INT, MIN_FLOAT, MAX_INT, MAX_FLOAT = range(4, 8)
DISTINCT_INT, DISTINCT_FLOAT, FIRST, LAST = range(8, 12)

WIDTHS = {
    SUM_INT: 2,
    SUM_FLOAT: NARROW_WORDS + 1,
    MIN_INT: 2,
    MIN_FLOAT: 2,
    MAX_INT: 2,
    MAX_FLOAT: 2,
}

# Places in `WindowMemory.totals`; WINDOW_CHANGED is how many of `WindowMemory.changed` are in use,
# CHECKPOINT the number of the next checkpoint, from 1 on.
FREE_ENTRY, ENTRIES, KEYS_USED, VALUES_USED, LEFT = range(5)
DUE_KEYS, DUE_KEPT, NEXT_DUE_MS, TAKEN, WINDOW_CHANGED, WALKED, CHECKPOINT = range(5, 12)
WINDOW_TOTALS = 12

# ---------------------------------------------------------------------- rows, kinds and options

# Columns of a row; one column per cell comes last.  `hot` is whether the key's condition held
# before the batch.  `oldest` and `newest` are the ends of the window's line of entries.
# `by` is the position of the event at hand, which is in no window that it only finds.
(
    ROW_KEY,
    ROW_AT,
    ROW_KIND,
    ROW_POSITION,
    ROW_STEP,
    ROW_OLDEST,
    ROW_NEWEST,
    ROW_HOT,
    ROW_COUNT,
    ROW_BY,
    ROW_CELLS,
) = range(11)

# Kinds of rows: the window an event finds, the window with the event, a window at its end, and what
# is left of a window when events have left it.
BEFORE, AFTER, CLOSED, LEFT_BEHIND = range(4)

# Kinds of windows.  LOADED takes entries as they were saved and looks at nothing.
LOADED, SLIDING, COUNTED, SESSION, TUMBLING, HOPPING = range(6)

# Ways of looking: at each event, only for what rises, at the end, or for readers of a field.
EACH, EDGE, CLOSE, READ = range(4)

# Places in the options.  Of a window with fewer than `least` events the condition is surely false.
# The key's windows that ended by `done` are closed.  `row` is the column of an event that names it.
# With `leaving`, there is a row at each instant at which events leave a window.
(
    OPTION_KIND,
    OPTION_LOOK,
    OPTION_SIZE_MS,
    OPTION_COUNT,
    OPTION_EVERY,
    OPTION_CAP_MS,
    OPTION_LEAST,
    OPTION_DONE_MS,
    OPTION_ROW,
    OPTION_LEAVING,
) = range(10)
OPTIONS = 10

# Bits of an event's mask when fields are read: the event enters windows, or reads the field.
ENTERS, READS = 1, 2

NEVER = -(2**62)
