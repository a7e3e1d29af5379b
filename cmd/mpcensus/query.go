package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/query"
	"github.com/mpcensus/mpcensus/pipeline/store"
)

// maxStatement is the most bytes of SQL that are read from standard input.
const maxStatement = 1 << 20

func queryCommand() *cli.Command {
	return &cli.Command{
		Name:      "query",
		Usage:     "ask a dataset in SQL",
		ArgsUsage: "SQL|-",
		Description: "One SELECT in DuckDB's SQL (- reads it from standard input) over the tables and the view history:\n" +
			"SHOW TABLES lists them, DESCRIBE hosts the columns of one. It can change nothing, and reads no file but\n" +
			"the dataset's. It takes up to 1 GiB of memory, beside single lists and texts of that size; what needs more,\n" +
			"and the result, goes to TMPDIR.\n\n" +
			"table aligns columns. csv has lists as JSON. json is an object a line; keys and other integers have all\n" +
			"their digits there, more than a double holds. In parquet and arrow a sum of integers is a double: cast\n" +
			"it (sum(n)::BIGINT) if all digits matter. arrow is an IPC file with --out, a stream without.\n\n" +
			"Example:\n\n" +
			"  mpcensus query --dataset census 'SELECT family, port, probe, verdict, count(*) AS targets\n" +
			"      FROM hosts GROUP BY ALL ORDER BY ALL'\n" +
			"  mpcensus query --dataset census 'SELECT presence, count(*) FROM history GROUP BY ALL'\n" +
			"  mpcensus query --dataset census --format json 'FROM scans' | jq .rows_kept\n" +
			"  mpcensus query --dataset census --format parquet --out true.parquet - < true.sql",
		Flags: []cli.Flag{
			datasetFlag(),
			&cli.StringFlag{Name: "format", Usage: "`table|csv|json|parquet|arrow`", Value: string(query.Table)},
			&cli.StringFlag{Name: "out", Usage: "write to `FILE`, which appears whole or not at all (required for parquet)", DefaultText: "standard output"},
		},
		Action: runQuery,
	}
}

func runQuery(c *cli.Context) error {
	if c.NArg() != 1 {
		return usageErrorf("one SQL statement in quotes, please, or - for standard input: see %s --help", c.Command.HelpName)
	}
	out := c.String("out")
	format := query.Format(c.String("format"))
	switch {
	case !slices.Contains([]query.Format{query.Table, query.CSV, query.JSON, query.Parquet, query.Arrow}, format):
		return usageErrorf("--format %s: it is table, csv, json, parquet or arrow", format)
	case format == query.Parquet && out == "":
		return usageErrorf("--out is missing: a parquet file needs a name")
	case format == query.Arrow && out == "":
		format = query.ArrowStream
	}
	return withViews(c, func(db *sql.DB) error {
		statement, err := readStatement(c.Args().First(), c.App.Reader)
		if err != nil {
			return err
		}
		if err := query.Protect(c.Context, db, c.String("dataset")); err != nil {
			return err
		}
		write := func(w io.Writer) error { return query.Write(c.Context, db, statement, format, w) }
		if out == "" {
			return write(c.App.Writer)
		}
		return writeWhole(c.Context, out, write)
	})
}

// readStatement is the SQL that an argument has or, if that is -, standard input.
func readStatement(argument string, stdin io.Reader) (string, error) {
	if argument != "-" {
		return argument, nil
	}
	text, err := io.ReadAll(io.LimitReader(stdin, maxStatement+1))
	if len(text) > maxStatement {
		return "", fmt.Errorf("standard input: more than %d bytes of SQL", maxStatement)
	}
	return string(text), err
}

// writeWhole makes a file that appears when write is done with it.
func writeWhole(ctx context.Context, path string, write func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return usageErrorf("--out %s: it is a folder, name a file", path)
	}
	folder, err := store.Open(ctx, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	file, err := folder.Create(ctx, filepath.Base(path))
	if err != nil {
		return err
	}
	if err := write(file); err != nil {
		return errors.Join(err, file.Discard())
	}
	return file.Commit(ctx)
}
