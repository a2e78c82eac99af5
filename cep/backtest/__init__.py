"""Back-tests: what a rule set would have found in a range of a log, and what another found there.

    records of the range ──► fold of the candidate ──► detections ─┐
                         └─► fold of the baseline  ──► detections ─┴─► compared, counted, listed

`question` says what is asked, `history` where the records come from, `side` folds them,
`occurrence` and `difference` compare, `tally` counts, `run` is the loop, `result` the answer as
JSON.  The answer depends on the records, the rules and the rows of tables alone.  Memory is
bounded: what is counted is counted exactly, what is listed are the first few.

`jobs` runs back-tests in processes of their own, for whoever must not be slowed by them.
"""
