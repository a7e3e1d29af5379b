package main

import (
	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/lab/check"
	"github.com/mpcensus/mpcensus/lab/netlab"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

func labCheckCommand(dir cli.Flag) *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "compare a census of the running lab with the truth",
		Description: "Fails when a reply that the lab sent is no row, or a certain verdict or treatment is wrong. The dataset\n" +
			"must have all scans since lab up; earlier ones, and targets that were never asked, are left out. With --paths\n" +
			"it fails too when a trace places a box wrongly or misses one that what answered shows, or when a final\n" +
			"verdict is wrong.\n\n" +
			"Example:\n\n" +
			"  mpcensus lab check --dataset census --truth truth.parquet\n" +
			"  mpcensus lab check --dataset census --truth truth.parquet --paths paths.parquet",
		Flags: []cli.Flag{
			dir,
			datasetFlag(),
			&cli.StringFlag{Name: "truth", Usage: "`FILE` that lab truth wrote (required)"},
			&cli.StringFlag{Name: "paths", Usage: "compare traces and final verdicts too, with the `FILE` that lab paths wrote"},
		},
		Action: labCheck,
	}
}

func labCheck(c *cli.Context) error {
	if err := need(c, "dataset", "truth"); err != nil {
		return err
	}
	dir, err := labDir(c)
	if err != nil {
		return err
	}
	state, err := netlab.Status(dir)
	if err != nil {
		return err
	}
	db, err := dataset.OpenDuckDB(c.Context, c.String("dataset"), dataset.DuckDBOptions{})
	if err != nil {
		return err
	}
	defer db.Close()
	report, err := check.Compare(c.Context, db, check.Truth{Targets: c.String("truth"), Paths: c.String("paths")}, state.Up, seen(state))
	if err != nil {
		return err
	}
	if err := report.Print(c.App.Writer); err != nil {
		return err
	}
	return report.Err()
}

// seen is the lab's own count of what its hosts got and sent.
func seen(state *netlab.State) map[check.Source]check.Seen {
	counts := map[check.Source]check.Seen{}
	for _, t := range state.Population.Targets {
		source := check.Source{Behaviour: t.Behaviour, Asking: check.Asking{Family: t.Family, Port: t.Port, Probe: t.Probe}}
		counts[source] = check.Seen{SYNs: t.SYNs, Targets: t.Targets, Sent: t.Replies}
	}
	return counts
}
