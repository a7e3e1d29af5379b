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
		Description: "Fails when a reply that the lab sent is no row, or a certain verdict is wrong.\n\n" +
			"Example: mpcensus lab check --dataset census --truth truth.parquet",
		Flags: []cli.Flag{
			dir,
			datasetFlag(),
			&cli.StringFlag{Name: "truth", Usage: "`FILE` that lab truth wrote (required)"},
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
	report, err := check.Compare(c.Context, db, c.String("truth"), repliesSent(state))
	if err != nil {
		return err
	}
	if err := report.Print(c.App.Writer); err != nil {
		return err
	}
	return report.Err()
}

// repliesSent is the lab's own count of what its hosts sent.
func repliesSent(state *netlab.State) map[check.Source]uint64 {
	sent := map[check.Source]uint64{}
	for _, t := range state.Population.Targets {
		sent[check.Source{Behaviour: t.Behaviour, Port: t.Port, Probe: t.Probe}] += t.Replies
	}
	for _, h := range state.Hosts {
		sent[check.Source{Behaviour: h.Behaviour, Port: h.Port, Probe: h.Probe}] += h.Replies
	}
	return sent
}
