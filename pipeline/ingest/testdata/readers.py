"""Reads a dataset with pyarrow, polars and DuckDB, and prints what each of them sees in it as JSON.

usage: readers.py DATASET parquet|arrow
       readers.py STREAM stream
"""

import json
import sys

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds


def plain(value):
    return value.hex() if isinstance(value, bytes) else value


def of_arrow(table):
    # Times as microseconds since 1970, so that no time zone database is needed.
    columns = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in table.columns]
    rows = pa.table(columns, names=table.column_names).to_pylist()
    return {
        "types": {f.name: str(f.type) for f in table.schema},
        "meanings": sum(b"meaning" in (f.metadata or {}) for f in table.schema),
        "version": (table.schema.metadata or {}).get(b"mpcensus_tables_version", b"").decode(),
        "rows": [{k: plain(v) for k, v in row.items()} for row in rows],
    }


def of_polars(frame):
    rows = frame.with_columns(pl.col(pl.Datetime).cast(pl.Int64)).to_dicts()
    return {
        "types": {name: str(dtype) for name, dtype in frame.schema.items()},
        "rows": [{k: plain(v) for k, v in row.items()} for row in rows],
    }


def of_duckdb(relation):
    return of_arrow(relation.arrow().read_all()) | {"types": dict(zip(relation.columns, map(str, relation.types)))}


def read(path, file_format):
    if file_format == "stream":
        with pa.ipc.open_stream(path) as stream:
            yield "pyarrow replies", of_arrow(stream.read_all())
        yield "polars replies", of_polars(pl.read_ipc_stream(path))
        return
    for name in ("replies", "scans") if file_format == "arrow" else ("replies", "hosts", "treatments", "scans"):
        files = f"{path}/{name}/**/*.{file_format}"
        yield f"pyarrow {name}", of_arrow(ds.dataset(f"{path}/{name}", format=file_format, partitioning="hive").to_table())
        scan = pl.scan_ipc if file_format == "arrow" else pl.scan_parquet
        yield f"polars {name}", of_polars(scan(files, hive_partitioning=True).collect())
        if file_format == "parquet":
            yield f"duckdb {name}", of_duckdb(duckdb.sql(f"FROM read_parquet('{files}', hive_partitioning = true)"))


# str: two of the readers make a date of the partition key.
json.dump(dict(read(*sys.argv[1:])), sys.stdout, default=str)
