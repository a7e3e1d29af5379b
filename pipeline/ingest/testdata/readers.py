"""Reads a dataset with pyarrow and DuckDB, and prints what each of them sees in it as JSON.

usage: readers.py DATASET parquet|arrow
"""

import json
import sys

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds


def plain(value):
    return value.hex() if isinstance(value, bytes) else value


def rows(table):
    # Times as microseconds since 1970, so that no time zone database is needed.
    columns = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in table.columns]
    table = pa.table(columns, names=table.column_names)
    return [{k: plain(v) for k, v in row.items()} for row in table.to_pylist()]


def main():
    dataset, file_format = sys.argv[1:]
    seen = {}
    for name in ("replies", "scans"):
        table = ds.dataset(f"{dataset}/{name}", format=file_format, partitioning="hive").to_table()
        seen[f"pyarrow {name}"] = {
            "types": {f.name: str(f.type) for f in table.schema},
            "nullable": [f.name for f in table.schema if f.nullable],
            "meanings": sum(b"meaning" in (f.metadata or {}) for f in table.schema),
            "rows": rows(table),
        }
        if file_format == "parquet":
            duck = duckdb.sql(f"FROM read_parquet('{dataset}/{name}/**/*.parquet', hive_partitioning = true)")
            seen[f"duckdb {name}"] = {
                "types": dict(zip(duck.columns, map(str, duck.types))),
                "rows": rows(duck.arrow().read_all()),
            }
    json.dump(seen, sys.stdout, default=str)  # DuckDB makes a date of the partition key


main()
