package dataset

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/mpcensus/mpcensus/pipeline/store"
)

// ErrArrow is returned for a table with Arrow IPC files: SQL reads Parquet, and would leave them out.
var ErrArrow = errors.New("has Arrow IPC files, but SQL reads Parquet: ingest them again without --format arrow, or keep them in a dataset of their own")

// DuckDBOptions bound what DuckDB may use. The zero value means the defaults.
type DuckDBOptions struct {
	MemoryLimit string // as DuckDB writes it; default 1GiB. What needs more is spilled to TempDir.
	Threads     int    // default: all cores
	TempDir     string // an existing folder; default: the system's
}

// OpenDuckDB opens an in-memory DuckDB with the tables of the dataset in dir as views, their partition
// keys as columns. A table of which there is no file yet is an empty view with its documented columns.
// replies also has file_index and file_row_number, by which its rows stand in the order that ZMap printed
// them. The view history has the hosts over time.
//
// The database is one connection, so that temporary tables and settings hold for all statements. It
// loads no extension that is not in the binary, and so nothing from a network.
func OpenDuckDB(ctx context.Context, dir string, o DuckDBOptions) (*sql.DB, error) {
	if strings.Contains(dir, "://") {
		return nil, fmt.Errorf("dataset %s: SQL reads a folder of this machine: name its path, and copy a dataset in an object store to one", dir)
	}
	db, err := openDuckDB(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := createViews(ctx, db, dir); err != nil {
		return nil, errors.Join(duckError("dataset "+dir, err), db.Close())
	}
	return db, nil
}

// duckError makes one line of an error of DuckDB, which shows the statement after its message, and says
// what it was about.
func duckError(about string, err error) error {
	if duckErr := new(duckdb.Error); errors.As(err, &duckErr) {
		message, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Errorf("%s: %s", about, message)
	}
	return err
}

// openDuckDB opens a database without tables.
func openDuckDB(ctx context.Context, o DuckDBOptions) (*sql.DB, error) {
	if o.MemoryLimit == "" {
		o.MemoryLimit = "1GiB"
	}
	spill, err := os.MkdirTemp(o.TempDir, "mpcensus-duckdb-")
	if err != nil {
		return nil, err
	}
	settings := []string{
		"SET autoinstall_known_extensions = false",
		"SET autoload_known_extensions = false",
		"SET memory_limit = " + Literal(o.MemoryLimit),
		"SET temp_directory = " + Literal(spill),
		"SET TimeZone = 'UTC'",
	}
	if o.Threads > 0 {
		settings = append(settings, fmt.Sprintf("SET threads = %d", o.Threads))
	}

	c, err := duckdb.NewConnector("", func(conn driver.ExecerContext) error {
		for _, s := range settings {
			if _, err := conn.ExecContext(ctx, s, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(spill))
	}
	db := sql.OpenDB(connector{c, spill})
	db.SetMaxOpenConns(1)
	return db, nil
}

// connector removes the folder for spilled data when the database is closed.
type connector struct {
	*duckdb.Connector
	spill string
}

func (c connector) Close() error {
	return errors.Join(c.Connector.Close(), os.RemoveAll(c.spill))
}

// Literal is s as an SQL string.
func Literal(s string) string {
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// SQLType is the column's type in DuckDB.
func (c column) SQLType() (string, error) {
	t, ok := map[string]string{
		"string": "VARCHAR", "binary": "BLOB", "bool": "BOOLEAN",
		"uint8": "UTINYINT", "uint16": "USMALLINT", "uint32": "UINTEGER", "uint64": "UBIGINT", "float64": "DOUBLE",
		"timestamp": "TIMESTAMP WITH TIME ZONE", "list<string>": "VARCHAR[]",
		"list<struct<path: string, rows: uint64, bytes: uint64, sha256: string>>": `STRUCT("path" VARCHAR, "rows" UBIGINT, "bytes" UBIGINT, sha256 VARCHAR)[]`,
	}[c.Type]
	if !ok {
		return "", fmt.Errorf("column %s: type %q has no counterpart in DuckDB", c.Name, c.Type)
	}
	return t, nil
}

// WriteParquet puts the result of a query into the file at path, of a database of [OpenDuckDB]. The
// file appears whole or not at all; a query that orders its rows gives the same bytes each time.
func WriteParquet(ctx context.Context, db *sql.DB, query, path string) error {
	var spill string
	if err := db.QueryRowContext(ctx, "SELECT current_setting('temp_directory')").Scan(&spill); err != nil {
		return err
	}
	// DuckDB writes to names, a file of package store has none yet.
	unfinished := filepath.Join(spill, "result.parquet")
	defer os.Remove(unfinished)
	if _, err := db.ExecContext(ctx, "COPY ("+query+") TO "+Literal(unfinished)+
		" (FORMAT parquet, COMPRESSION zstd)"); err != nil {
		return err
	}
	return copyFile(ctx, unfinished, path)
}

// copyFile makes a copy that appears whole or not at all.
func copyFile(ctx context.Context, from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	folder, err := store.Open(ctx, filepath.Dir(to))
	if err != nil {
		return err
	}
	file, err := folder.Create(ctx, filepath.Base(to))
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, source); err != nil {
		return discard(err, file)
	}
	return file.Commit(ctx)
}
