package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/lab/history"
	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/lab/scenario"
)

func labHistoryCommand(population cli.Flag) *cli.Command {
	return &cli.Command{
		Name:  "history",
		Usage: "write the JSON rows of months of scans, and who really was there when",
		Description: "One file a month, family, port and probe, as ZMap 4 prints it, of hosts that come and go; and truth.parquet, a\n" +
			"row a family, port and target that was ever there. A month after the last scan everything is as the scenario\n" +
			"says, so that a scan of the lab goes on where the history ends. The same options give the same bytes.\n\n" +
			"Example:\n\n" +
			"  mpcensus lab history --out year\n" +
			"  mpcensus ingest --dataset census 'year/*.json.zst'\n" +
			"  mpcensus lab history --targets 2000000 --family ipv4 --port 443 --out large",
		Flags:  historyFlags(population),
		Action: labHistory,
	}
}

// historyFlags say which history: lab traces has them too.
func historyFlags(population cli.Flag) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "out", Usage: "write to `DIR`, which must be empty or not exist (required)"},
		&cli.IntFlag{Name: "months", Usage: "scan `N` times, once a month", Value: 12},
		&cli.StringFlag{Name: "last", Usage: "`YYYY-MM-DD`: date of the last scans; earlier ones are made on the same day of their month", Value: "2026-10-15"},
		&cli.UintSliceFlag{Name: "port", Usage: "target `PORT`, one of the scenario's; may be repeated", DefaultText: "all of the scenario's: 80 and 443"},
		&cli.StringSliceFlag{Name: "probe", Usage: "what the SYNs carry: `v0|v1`; may be repeated", Value: cli.NewStringSlice(rows.V0, rows.V1)},
		&cli.StringSliceFlag{Name: "family", Usage: "address family: `ipv4|ipv6`; may be repeated", DefaultText: "those of the scenario"},
		population,
		&cli.IntFlag{Name: "targets", Usage: "invent `N` addresses of each family, with the scenario's shares of behaviours", DefaultText: "the scenario's addresses"},
		&cli.Uint64Flag{Name: "seed", Usage: "draw another history with another `N`", Value: 1},
	}
}

func labHistory(c *cli.Context) error {
	params, err := historyParams(c)
	if err != nil {
		return err
	}
	status := newStatusLine()
	params.Progress = func(s history.Summary) {
		status.update(fmt.Sprintf("%s: %d scans, %d rows", c.String("out"), s.Scans, s.Rows))
	}
	summary, err := history.Write(c.Context, c.String("out"), params)
	status.done()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s: %d scans, %d rows, %d targets in truth.parquet\n", c.String("out"), summary.Scans, summary.Rows, summary.Targets)
	return nil
}

// historyParams reads and checks the command line.
func historyParams(c *cli.Context) (p history.Params, err error) {
	if err := need(c, "out"); err != nil {
		return p, err
	}
	if c.Args().Present() {
		return p, usageErrorf("%s is no option: see %s --help", c.Args().First(), c.Command.HelpName)
	}
	if c.IsSet("targets") && c.Int("targets") == 0 {
		return p, usageErrorf("--targets 0: leave it out to take the scenario's addresses")
	}
	name, text, err := labScenario(c)
	if err != nil {
		return p, err
	}
	p = history.Params{
		Families: c.StringSlice("family"),
		Probes:   c.StringSlice("probe"),
		Months:   c.Int("months"),
		Targets:  c.Int("targets"),
		Seed:     c.Uint64("seed"),
	}
	if p.Scenario, err = scenario.Parse(name, text); err != nil {
		return p, err
	}
	if p.Last, err = time.Parse(time.DateOnly, c.String("last")); err != nil {
		return p, usageErrorf("--last %s: a date is YYYY-MM-DD", c.String("last"))
	}
	for _, port := range c.UintSlice("port") {
		if port > 65535 {
			return p, usageErrorf("--port %d: a TCP port is 1 to 65535", port)
		}
		p.Ports = append(p.Ports, uint16(port))
	}
	if p.Ports == nil {
		p.Ports = p.Scenario.Ports
	}
	if p.Families == nil {
		p.Families = slices.DeleteFunc(slices.Clone(scenario.Families), func(f string) bool { return !p.Scenario.Has(f) })
	}
	if err := p.Check(); err != nil {
		return p, usageErrorf("%v: see %s --help", err, c.Command.HelpName)
	}
	return p, nil
}
