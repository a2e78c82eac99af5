"""The workload as an Arrow table and as a Parquet file: what a data team would keep of it.

Texts are plain strings, `ts` a timestamp of ms, `amount` a double; card and amount are null where
there is no payment.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench import workload as payments
from bench.workload import OUT, TX, TYPES, Workload
from cep import limits


def table(workload: Workload) -> pa.Table:
    """One row per event, in the order of the stream."""
    other = workload.type != TX
    return pa.table(
        {
            "type": _texts(TYPES, workload.type),
            "ts": pa.array(workload.ts, pa.timestamp("ms", "UTC")),
            "user": _texts(payments.user_names(workload), workload.user),
            "ip": _texts(payments.ip_names(workload), workload.ip),
            "country": _texts(payments.country_names(), workload.country),
            "card": _texts(payments.card_names(workload), workload.card, other),
            "amount": pa.array(workload.amount / 100, mask=other),
        }
    )


def _texts(
    names: list[str] | tuple[str, ...],
    codes: NDArray[np.integer],
    null: NDArray[np.bool_] | None = None,
) -> pa.Array:
    index = pa.array(codes.astype(np.int32), mask=null)
    return pa.DictionaryArray.from_arrays(index, pa.array(names)).cast(pa.string())


def cached_parquet(n: int, head: int, seed: int = 1) -> Path:
    """The first `head` rows of `generate(n)` as a file in bench/out/, written on first use."""
    path = OUT / f"payments-{n}-{head}-{seed}.parquet"
    if not path.exists():
        OUT.mkdir(exist_ok=True)
        part = path.with_suffix(".part")
        pq.write_table(table(payments.generate(n, seed).head(head)), part)
        part.rename(path)
    return path


def _of_few_texts(path: Path) -> list[str]:
    """The columns that take about a byte of each row, or less, before they are compressed."""
    group = pq.read_metadata(path).row_group(0)
    columns = (group.column(place) for place in range(group.num_columns))
    texts = (each for each in columns if each.physical_type == "BYTE_ARRAY")
    return [each.path_in_schema for each in texts if each.total_uncompressed_size <= group.num_rows]


def tables_of(path: Path) -> Iterator[pa.Table]:
    """The rows of a Parquet file, in tables of one step of the engine each.

    Columns of few texts stay the dictionaries that they are in the file.
    """
    with pq.ParquetFile(path, read_dictionary=_of_few_texts(path)) as file:
        for batch in file.iter_batches(limits.BATCH_RECORDS_MAX, use_threads=False):
            yield pa.Table.from_batches([batch])
