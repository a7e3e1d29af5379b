package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/campaign"
	"github.com/mpcensus/mpcensus/pipeline/targets"
)

// dryRun prints what a campaign would send where, and how long that would take.
func dryRun(c *cli.Context, described *campaign.Campaign) error {
	state, err := openCampaign(described)
	if err != nil {
		return err
	}
	blocklist, err := campaignBlocklist(described)
	if err != nil {
		return fmt.Errorf("no scan without a blocklist: %w", err)
	}
	status := newStatusLine()
	counts, err := described.TargetCounts(c.Context, blocklist, func(s targets.Summary) {
		status.update(fmt.Sprintf("hitlists: %d lines, %d addresses", s.Lines, s.Addresses))
	})
	status.done()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "campaign %s: dataset %s, blocklist %s with %d entries", described.Name, described.Dataset, described.Blocklist, blocklist.Entries())
	for _, family := range []targets.Family{targets.IPv4, targets.IPv6} {
		if n, ok := counts[family.String()]; ok {
			fmt.Fprintf(c.App.Writer, ", %d %s addresses", n, family)
		}
	}
	fmt.Fprintln(c.App.Writer)
	return printForecasts(c.App.Writer, described, state, counts)
}

func campaignBlocklist(described *campaign.Campaign) (*targets.Blocklist, error) {
	if described.Blocklist == campaign.DefaultBlocklist {
		return defaultBlocklist()
	}
	return targets.OpenBlocklist(described.Blocklist)
}

// printForecasts prints a line a step, and their sum. What is done is not sent again.
func printForecasts(w io.Writer, described *campaign.Campaign, state *campaign.State, counts map[string]uint64) error {
	var total campaign.Forecast
	followUps := map[campaign.Stage]uint64{}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "step\tsends\ttakes\tcommand\n")
	for i, f := range described.Forecasts(state.Steps, counts) {
		s := &state.Steps[i]
		sends, takes := "", ""
		switch {
		case s.Progress == campaign.Done:
			sends = "done"
		case f.PerHost > 0:
			sends = fmt.Sprintf("%d %s a host", f.PerHost, units[s.Stage])
			followUps[s.Stage] = f.PerHost
		case f.Takes > 0:
			sends, takes = fmt.Sprintf("%d packets", f.Packets), f.Takes.String()
			if described.Shards > 1 {
				sends = "about " + sends
			}
			total.Packets += f.Packets
			total.Takes += f.Takes
		}
		arguments := s.Arguments
		if described.Seed == 0 && state.Date == "" {
			arguments = withoutSeed(arguments)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\tmpcensus %s\n", s.Name(), sends, takes, commandText(arguments))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "total: %d packets, %v at least", total.Packets, total.Takes.Round(time.Second))
	for _, stage := range []campaign.Stage{campaign.StageTrace, campaign.StageVerify} {
		if n := followUps[stage]; err == nil && n > 0 {
			_, err = fmt.Fprintf(w, "; each host that turns out to be potential gets %d %s in %s", n, units[stage], stage)
		}
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}

// units are what follow-ups send.
var units = map[campaign.Stage]string{campaign.StageTrace: "packets", campaign.StageVerify: "connections"}

// withoutSeed shows that the seed is still to be drawn.
func withoutSeed(arguments []string) []string {
	shown := append([]string{}, arguments...)
	for i := range shown {
		if i > 0 && shown[i-1] == "--seed" {
			shown[i] = "RANDOM"
		}
	}
	return shown
}

// commandText is a command line for a shell.
func commandText(arguments []string) string {
	words := make([]string, len(arguments))
	for i, a := range arguments {
		words[i] = shellWord(a)
	}
	return strings.Join(words, " ")
}
