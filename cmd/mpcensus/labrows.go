package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/lab/rows"
)

func labRowsCommand() *cli.Command {
	return &cli.Command{
		Name:      "rows",
		Usage:     "write the JSON rows of a scan that never took place",
		ArgsUsage: "FILE|-",
		Description: "For benchmarks and tests: rows as ZMap 4 prints them, with the shares of MPTCP that the census of 2021\n" +
			"found. The same options give the same bytes. - is standard output.\n\n" +
			"Example:\n\n" +
			"  mpcensus lab rows --rows 5000000 --probe v0 --family ipv4 rows.json\n" +
			"  mpcensus lab rows --rows 1000 --rejects 0.001 - | mpcensus ingest --dataset census -",
		Flags: []cli.Flag{
			&cli.Uint64Flag{Name: "rows", Usage: "write `N` rows", Value: 1_000_000},
			&cli.StringFlag{Name: "probe", Usage: "what the SYNs carried: `v0|v1`", Value: rows.V0},
			&cli.StringFlag{Name: "family", Usage: "address family: `ipv4|ipv6`", Value: rows.IPv4},
			&cli.UintFlag{Name: "port", Usage: "target `PORT` of the scan", Value: 443},
			&cli.Uint64Flag{Name: "seed", Usage: "draw other rows with another `N`", Value: 1},
			&cli.Float64Flag{Name: "rejects", Usage: "`SHARE` of lines that are no rows, between the rows"},
		},
		Action: labRows,
	}
}

func labRows(c *cli.Context) error {
	if c.NArg() != 1 {
		return usageErrorf("one file, please, or - for standard output: see %s --help", c.Command.HelpName)
	}
	port, err := portOf(c)
	if err != nil {
		return err
	}
	params := rows.Params{
		Rows:    c.Uint64("rows"),
		Probe:   c.String("probe"),
		Family:  c.String("family"),
		Port:    port,
		Seed:    c.Uint64("seed"),
		Rejects: c.Float64("rejects"),
	}
	if err := params.Check(); err != nil {
		return usageErrorf("%v: see %s --help", err, c.Command.HelpName)
	}
	return writeRows(c.Context, c.Args().First(), c.App.Writer, params)
}

// writeRows leaves an unfinished file where it is: what is in it are rows.
func writeRows(ctx context.Context, name string, stdout io.Writer, params rows.Params) error {
	if name == "-" {
		return rows.Write(ctx, stdout, params)
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := errors.Join(rows.Write(ctx, file, params), file.Close()); err != nil {
		return fmt.Errorf("%s: unfinished: %w", name, err)
	}
	return nil
}
