package main

import (
	"database/sql"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

func datasetCommand() *cli.Command {
	return &cli.Command{
		Name:   "dataset",
		Usage:  "check a dataset's files, and put them in order",
		Action: noSuchCommand,
		Subcommands: []*cli.Command{
			{
				Name:  "check",
				Usage: "compare the files of a dataset with what its table scans says of them",
				Description: "Reads every file and changes nothing. Prints a line for each problem, with what to do. The exit\n" +
					"code is 1 if there are any. Work that is not finished is told, but no problem.\n\n" +
					"Example:\n\n" +
					"  mpcensus dataset check --dataset census\n" +
					"  mpcensus dataset check --dataset 's3://census/2026?region=eu-north-1'",
				Flags:  []cli.Flag{locationFlag()},
				Action: checkDataset,
			},
			{
				Name:  "compact",
				Usage: "sort the replies of scans by address, into fewer and larger files",
				Description: "A look-up of an address then reads a small part of a file. Replies stay the same, those of one target\n" +
					"in the order in which ZMap printed them. Readers see a scan as it was or as it becomes, also after a\n" +
					"kill; then run it again. It sorts in TMPDIR, which needs room for the rows of the largest scan.\n\n" +
					"Example:\n\n" +
					"  mpcensus dataset compact --dataset census",
				Flags:  []cli.Flag{locationFlag()},
				Action: compactDataset,
			},
			{
				Name:  "views",
				Usage: "write views.sql, by which any DuckDB has the tables of a dataset as views",
				Description: "They are those of mpcensus query: the tables with all their columns, and history. views.sql begins\n" +
					"with how to use it. Its paths are relative, so that the dataset can be moved. It has the files\n" +
					"that there are now: write it again when the dataset has changed.\n\n" +
					"Example:\n\n" +
					"  mpcensus dataset views --dataset census\n" +
					"  cd census && duckdb -init views.sql",
				Flags:  []cli.Flag{datasetFlag()},
				Action: writeViews,
			},
		},
	}
}

// openDataset opens the dataset that the command line names, in a folder or an object store.
func openDataset(c *cli.Context) (*dataset.Dataset, error) {
	if err := need(c, "dataset"); err != nil {
		return nil, err
	}
	if c.Args().Present() {
		return nil, usageErrorf("unexpected argument %q: see %s --help", c.Args().First(), c.Command.HelpName)
	}
	return dataset.Open(c.Context, c.String("dataset"))
}

func checkDataset(c *cli.Context) error {
	d, err := openDataset(c)
	if err != nil {
		return err
	}
	defer d.Close()
	status := newStatusLine()
	report, err := d.Check(c.Context, func(n dataset.CheckCounts) {
		status.update(fmt.Sprintf("checked: files %d, rows %d, bytes %d", n.Files, n.Rows, n.Bytes))
	})
	status.done()
	if err != nil {
		return err
	}
	if report.Scans == 0 && report.Files == 0 && report.Problems == nil && report.Notes == nil {
		return fmt.Errorf("%s: the dataset has no scans: make one with mpcensus scan or ingest", c.String("dataset"))
	}
	w := c.App.Writer
	for _, p := range report.Problems {
		fmt.Fprintln(w, p)
	}
	for _, note := range report.Notes {
		fmt.Fprintln(w, "note:", note)
	}
	n := len(report.Problems)
	if _, err := fmt.Fprintf(w, "check: scans %d, files %d, rows %d, bytes %d, problems %d\n",
		report.Scans, report.Files, report.Rows, report.Bytes, n); err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("dataset %s: problems %d: see the lines above", c.String("dataset"), n)
	}
	return nil
}

func compactDataset(c *cli.Context) error {
	d, err := openDataset(c)
	if err != nil {
		return err
	}
	defer d.Close()
	status := newStatusLine()
	done, err := d.Compact(c.Context, func(scanID string) { status.update(scanID + ": sorting") })
	status.done()
	for _, scan := range done {
		if scan.LeftAlone != "" {
			fmt.Fprintf(c.App.Writer, "%s: left alone: %s\n", scan.ScanID, scan.LeftAlone)
			continue
		}
		fmt.Fprintf(c.App.Writer, "%s: sorted: %d files → %d\n", scan.ScanID, scan.Before, scan.After)
	}
	if err == nil && len(done) == 0 {
		fmt.Fprintln(c.App.Writer, "nothing to compact")
	}
	return err
}

func writeViews(c *cli.Context) error {
	return withDataset(c, func(db *sql.DB) error {
		path, err := dataset.WriteViews(c.Context, db, c.String("dataset"))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.App.Writer, path)
		return err
	})
}
