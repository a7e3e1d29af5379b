package main

import (
	"bytes"
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	_ "github.com/duckdb/duckdb-go/v2"
)

// peerCommand makes this program the peer: DuckDB 1.5.6 through its Go binding, in a process of its own.
//
// DuckDB 2.0.0 in Python was measured beside it, on a machine with other work (best runs on 5 million rows): 6.4 and
// 6.6 CPU seconds for the short statement, 13.3 and 12.8 for all columns, 264 and 250 MB, 323 and 299 MB. Neither
// is clearly faster; 1.5.6 needs less memory, and so is the harder peer.
const peerCommand = "duckdb"

// peer runs a statement: its text, the file of rows and the file to write.
func peer(arguments []string) error {
	if len(arguments) != 3 {
		return fmt.Errorf("%s: it is given a statement and two files", peerCommand)
	}
	statement, rows, out := arguments[0], arguments[1], arguments[2]
	db, err := sql.Open("duckdb", fmt.Sprintf("?threads=%d", runtime.NumCPU()))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // temporary macros and settings are a connection's
	if _, err := db.Exec(fill(statement, rows, out)); err != nil {
		return err
	}
	return syncFile(out)
}

// fill puts parameters into a statement: COPY takes no prepared ones.
func fill(statement, rows, out string) string {
	return strings.NewReplacer(":rows", literal(rows), ":out", literal(out)).Replace(statement)
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// syncFile does what ours does before it ends, and DuckDB's COPY does not (strace shows no fsync).
func syncFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

//go:embed equal.sql
var equalSQL string

// verify makes sure that two contenders write the same rows. It runs in a process of its own, too: the
// memory that it needs is nobody's peak.
func (b *bench) verify(ctx context.Context, ours, same *contender) error {
	for _, c := range []*contender{ours, same} {
		progress("once unmeasured: %s", c.name)
		if _, err := b.measure(ctx, c); err != nil {
			return err
		}
	}
	progress("comparing both tables")
	command := exec.CommandContext(ctx, b.self, peerCommand, equalSQL, ours.replies, same.replies)
	command.Dir = b.dir
	var problem bytes.Buffer
	command.Stderr = &problem
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s and %s differ: %w: %s", ours.name, same.name, err, strings.TrimSpace(problem.String()))
	}
	return nil
}
