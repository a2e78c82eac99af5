"""Partitions folded in this process (`here`) or spread over processes (`supervisor`).

    Supervisor ──Job──► worker process: one engine per partition, in turns
        ▲                     │
        └─── its messages ────┘

Both run a `Job` and look alike: `run`, `stop`, `reload_tables`, `trouble`, `intake`.
"""
