"""Reads Parquet files with pyarrow, DuckDB and, if it is installed, polars. Says what differs from
the Arrow file of the same name that has their values, and nothing if nothing does.

usage: readers.py DIR
"""

import pathlib
import sys

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

try:
    import polars
except ImportError:
    polars = None


def differences(reader, got, want):
    for field in want.schema:
        # Readers have more than one type for text; the values are compared as the file's schema has them.
        column = got.column(field.name).cast(field.type)
        if not column.equals(want.column(field.name)):
            yield f"{reader}: {field.name}: other values"


def least_and_greatest(values):
    """As statistics have them; None if they should not."""
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    if pa.types.is_string(values.type):
        values = values.cast(pa.binary())
    present = values.to_pylist()
    if not present:
        return None
    least, greatest = min(present), max(present)
    if isinstance(least, bytes) and max(len(least), len(greatest)) > 64:
        return None
    return least, greatest


def wrong_statistics(path, want):
    metadata = pq.ParquetFile(path).metadata
    begin = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        for i, field in enumerate(want.schema):
            values = want.column(i).slice(begin, rows)
            statistics = metadata.row_group(group).column(i).statistics
            where = f"statistics of row group {group}, {field.name}"
            if statistics.null_count != values.null_count:
                yield f"{where}: {statistics.null_count} NULLs, not {values.null_count}"
            expected = least_and_greatest(values.drop_null())
            seen = (statistics.min_raw, statistics.max_raw) if statistics.has_min_max else None
            if seen and pa.types.is_unsigned_integer(field.type):  # raw values are signed
                bits = max(32, field.type.bit_width)
                seen = tuple(v % 2**bits for v in seen)
            if seen != expected:
                yield f"{where}: {seen}, not {expected}"
        begin += rows


def wrong_filters(path, want):
    """Rows that equal a value, read by readers that skip row groups by their statistics."""
    file = next(ds.dataset(path).get_fragments())
    for field in want.schema:
        column = want.column(field.name)
        values = column.drop_null()
        if len(values) == 0 or pa.types.is_timestamp(field.type):
            continue
        for value in (values[0], values[len(values) // 2]):
            expected = pc.sum(pc.equal(column, value)).as_py()
            equal = pc.field(field.name) == value
            got = file.count_rows(filter=equal)
            if got != expected:
                yield f"pyarrow: {field.name} = {value}: {got} rows, not {expected}"
            if path.stem == "ascending" and field.type == pa.uint64() and not field.nullable and file.subset(equal).num_row_groups > 1:
                yield f"pyarrow: {field.name} = {value}: reads {file.subset(equal).num_row_groups} row groups"
            got = duckdb.execute(
                f'SELECT count(*) FROM read_parquet(?) WHERE "{field.name}" = ?', [str(path), value.as_py()]
            ).fetchall()[0][0]
            if got != expected:
                yield f"DuckDB: {field.name} = {value}: {got} rows, not {expected}"


def check(path):
    want = pa.ipc.open_file(path.with_suffix(".arrow")).read_all()
    got = pq.read_table(path)
    if not got.schema.equals(want.schema):
        yield f"pyarrow: schema {got.schema}"
    yield from differences("pyarrow", got, want)
    duckdb.execute("SET TimeZone = 'UTC'")
    yield from differences("DuckDB", duckdb.sql(f"FROM '{path}'").to_arrow_table(), want)
    if polars:
        yield from differences("polars", polars.read_parquet(path).to_arrow(), want)
    yield from wrong_statistics(path, want)
    if path.stem in ("ascending", "random"):
        yield from wrong_filters(path, want)


def main():
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.parquet")):
        for difference in check(path):
            print(f"{path.name}: {difference}")


main()
