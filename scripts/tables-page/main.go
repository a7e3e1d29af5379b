// Command tables-page prints docs/tables.md: the dataset's tables as schemas/tables.yaml defines them, and
// what else is in a dataset. It reads the sources of the working directory.
package main

import (
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mpcensus/mpcensus/schemas"
)

type column struct {
	Name, Type, Meaning, Unit, Reference string
	NullWhen                             string `yaml:"null_when"`
	Since                                int
}

// contract keeps the tables as a YAML node, for their order.
type contract struct {
	Version    int
	Partitions []column
	Tables     yaml.Node
}

type table struct {
	Meaning string
	Columns []column
}

// types are what the types of columns are to readers.
var types = [][]string{
	{"`string`", "string", "VARCHAR", "String"},
	{"`binary`", "binary", "BLOB", "Binary"},
	{"`bool`", "bool", "BOOLEAN", "Boolean"},
	{"`uint8`", "uint8", "UTINYINT", "UInt8"},
	{"`uint16`", "uint16", "USMALLINT", "UInt16"},
	{"`uint32`", "uint32", "UINTEGER", "UInt32"},
	{"`uint64`", "uint64", "UBIGINT", "UInt64"},
	{"`float64`", "double", "DOUBLE", "Float64"},
	{"`timestamp`", "timestamp[us, tz=UTC]", "TIMESTAMP WITH TIME ZONE", "Datetime(us, UTC)"},
	{"`list<string>`", "list of string", "VARCHAR[]", "List(String)"},
	{"`list<struct<…>>`", "list of struct", "STRUCT(…)[]", "List(Struct)"},
}

func main() {
	if err := printPage(); err != nil {
		fmt.Fprintln(os.Stderr, "tables-page:", err)
		os.Exit(1)
	}
}

func printPage() error {
	var c contract
	if err := yaml.Unmarshal(schemas.Tables, &c); err != nil {
		return fmt.Errorf("schemas/tables.yaml: %w", err)
	}
	fmt.Print("<!-- Generated from schemas/tables.yaml and the Go sources by `make docs`. -->\n" +
		"# The dataset's tables\n\n" +
		"Keys are unsigned 64-bit integers whose most significant byte is the first on the wire; times are UTC.\n" +
		"*Since* is the version of the tables that had the column first; in files of an older one it is missing. This page is\n")
	fmt.Printf("of version %d, which Parquet and Arrow files of `replies` and `scans` have as metadata `mpcensus_tables_version`.\n", c.Version)
	fmt.Print(folders)

	fmt.Print("\n## Partition keys\n\nFolder names (Hive style), which readers show as columns of every table but `networks` and `sources`. In `--arrow-stream` they have these\n" +
		"types; readers of files guess them from the names.\n\n")
	printColumns(c.Partitions)
	for i := 0; i < len(c.Tables.Content); i += 2 {
		var t table
		if err := c.Tables.Content[i+1].Decode(&t); err != nil {
			return fmt.Errorf("schemas/tables.yaml: %w", err)
		}
		fmt.Printf("\n## `%s`\n\n%s\n\n", c.Tables.Content[i].Value, t.Meaning)
		printColumns(t.Columns)
	}

	printReasons()
	fmt.Print(history)
	fmt.Print("\n## Types\n\n")
	printTable([]string{"type", "pyarrow, pandas", "DuckDB", "polars"}, types)
	return printRejects()
}

// folders is what a dataset looks like: packages pipeline/dataset (layout, commit protocol), ingest and spool.
const folders = `
## Folders

` + "```" + `
DATASET/
  scans/date=…/family=…/port=…/probe=…/SCAN_ID.parquet          what a scan is; lists its files
  replies/date=…/…/SCAN_ID-00000.parquet, SCAN_ID-00001.parquet  parts, in the order of the input
  replies/date=…/…/SCAN_ID-sorted-00000.parquet, …               in place of them after dataset compact
  hosts/date=…/…/SCAN_ID.parquet                                 made by classify
  treatments/date=…/…/SCAN_ID.parquet                            made by classify
  networks/networks.parquet, sources/sources.parquet             made by enrich
  views.sql                                                      made by dataset views
  rejects/date=…/…/SCAN_ID-00000.jsonl                           lines that are no rows
  rejects/unassigned-DIGEST-00000.jsonl                          of an input that names no scan
  unfinished/                                                    not part of the dataset yet
    NAME/                                                        parts, and how far they go
    SCAN_ID/rows.jsonl.zst, scan.json                            spool: what ZMap prints
    SCAN_ID.commit.json                                          a commit that is being carried out
` + "```" + `

A file that no row of ` + "`scans`" + ` lists is no part of the dataset. A part has the rows of 1 GiB of the input,
decompressed, so that the same input gives the same files; a part without rows has no file. With
` + "`--format arrow`" + `, ` + "`replies` and `scans`" + ` are Arrow IPC files (` + "`.arrow`" + `). Names that begin with ` + "`.tmp-`" + ` are
files that are being written.
`

// history is the view that pipeline/dataset/views.sql makes beside the tables.
const history = `
## View ` + "`history`" + `

In ` + "`mpcensus query` and in `views.sql`" + `: a row a family, port, probe (` + "`v0` or `v1`" + `) and target that was ` + "`potential`" + ` on a
complete date, which is one whose scans of that family, port and probe are all complete and classified.

| column | meaning |
|---|---|
| ` + "`family`, `port`, `probe`, `target`" + ` | as in ` + "`hosts`" + ` |
| ` + "`first_seen`, `last_seen`" + ` | the first and last complete date on which it was ` + "`potential`" + ` |
| ` + "`seen`" + ` | the number of these dates |
| ` + "`scanned`" + ` | the number of complete dates of that family, port and probe |
| ` + "`presence`" + ` | ` + "`always`" + ` (seen on all), ` + "`once`, or `sometimes`" + `; NULL where fewer than two dates are complete |
`

func printColumns(columns []column) {
	var rows [][]string
	for _, c := range columns {
		rows = append(rows, []string{"`" + c.Name + "`", "`" + c.Type + "`", c.Meaning, c.Unit, c.NullWhen, c.Reference, fmt.Sprint(c.Since)})
	}
	printTable([]string{"column", "type", "meaning", "unit", "NULL when", "reference", "since"}, rows)
}

func printTable(heads []string, rows [][]string) {
	fmt.Println("| " + strings.Join(heads, " | ") + " |")
	fmt.Println(strings.Repeat("|---", len(heads)) + "|")
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = strings.ReplaceAll(cell, "|", `\|`)
		}
		fmt.Println("| " + strings.Join(cells, " | ") + " |")
	}
}
