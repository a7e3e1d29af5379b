// Command artifact re-does the paper's tables and figures from a fixed seed, and compares them with the committed
// expectation. Everything is simulated by `mpcensus lab` and goes through the pipeline as rows of a real scan would;
// no packet is sent, and no network is needed. Usage:
//
//	artifact bin/mpcensus DIR           # exit status 1 and the first lines that differ, if any do
//	artifact -update bin/mpcensus DIR   # makes what came out the expectation
//
// DIR is made anew and keeps the dataset and the report.
//
// What is compared: each table, as CSV, line by line, and each figure, as the SHA-256 of its SVG.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// expectedDir is where the expectation is, from the repository's root.
const expectedDir = "testdata/artifact"

// leftOut says what a reader may miss.
const leftOut = `Left out: the column tool_version, for the expectation outlives versions; index.html, which says when it was made;
Markdown and PNG, which say the same as CSV and SVG. The tables and figures of transfers are empty here: they take
real connections between kernels (mpcensus verify), which make demo has.`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	update := flag.Bool("update", false, "make what comes out the expectation")
	flag.Parse()
	if err := command(ctx, *update, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "artifact:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, update bool, arguments []string) error {
	if len(arguments) != 2 {
		return errors.New("usage: artifact [-update] bin/mpcensus DIR")
	}
	c, err := newCensus(arguments[0], arguments[1])
	if err != nil {
		return err
	}
	if err := c.make(ctx); err != nil {
		return err
	}
	found, err := readReport(c.report())
	if err != nil {
		return err
	}
	if update {
		return found.save(expectedDir)
	}
	expected, err := load(expectedDir)
	if err != nil {
		return err
	}
	different := compare(os.Stdout, expected, found)
	fmt.Println("\n" + leftOut)
	fmt.Printf("artifact: %d tables and figures, %d different\n", len(expected), different)
	if different > 0 {
		return fmt.Errorf("%d of %d tables and figures are not as in %s: where the change is meant, make artifact-update", different, len(expected), expectedDir)
	}
	return nil
}
