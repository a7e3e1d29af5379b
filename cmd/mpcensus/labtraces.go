package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/lab/history"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

func labTracesCommand(population cli.Flag) *cli.Command {
	return &cli.Command{
		Name:  "traces",
		Usage: "write the JSON rows of traces of the hosts of lab history",
		Description: "Two files a month, family, port and probe, as ZMap 4 prints them: a trace of the hosts that were potential, and\n" +
			"its plain control. Routers, boxes and hosts are the lab's own. The options say which history; the same ones\n" +
			"give the same bytes.\n\n" +
			"Example:\n\n" +
			"  mpcensus lab history --out year\n" +
			"  mpcensus lab traces --out traces --probe v1\n" +
			"  mpcensus ingest --dataset census 'year/*.json.zst'\n" +
			"  mpcensus trace --dataset census --port 443 --family ipv4 --rows 'traces/2026-10-15-ipv4-443-v1-*.json.zst'",
		Flags: append(historyFlags(population),
			&cli.StringFlag{Name: "ttl", Usage: "probe each target with all TTLs `FIRST-LAST`", Value: "1-24"},
			&cli.BoolFlag{Name: "all", Usage: "trace all hosts that were there, not only those that were potential"},
		),
		Action: labTraces,
	}
}

func labTraces(c *cli.Context) error {
	past, err := historyParams(c)
	if err != nil {
		return err
	}
	params := history.TraceParams{Params: past, All: c.Bool("all")}
	if params.FirstTTL, params.LastTTL, err = zmap.ParseTTLs(c.String("ttl")); err != nil {
		return usageErrorf("--ttl: %v", err)
	}
	if err := params.Check(); err != nil {
		return usageErrorf("%v: see %s --help", err, c.Command.HelpName)
	}
	status := newStatusLine()
	params.Progress = func(s history.Summary) {
		status.update(fmt.Sprintf("%s: %d files, %d rows", c.String("out"), s.Scans, s.Rows))
	}
	summary, err := history.WriteTraces(c.Context, c.String("out"), params)
	status.done()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s: %d files, %d rows\n", c.String("out"), summary.Scans, summary.Rows)
	return nil
}
