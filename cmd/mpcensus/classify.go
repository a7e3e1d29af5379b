package main

import (
	"cmp"
	"database/sql"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/classify"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/keys"
)

func classifyCommand() *cli.Command {
	return &cli.Command{
		Name:  "classify",
		Usage: "conclude from the replies what each target is, and write the tables hosts and treatments",
		Description: "Reads the tables replies and scans. hosts has a verdict on each target of a scan; treatments, for\n" +
			"campaigns of scan --paired, how each target treats MP_CAPABLE. Running it again replaces its own\n" +
			"output and nothing else.\n\n" +
			"Where trace or verify was run, hosts also has a final verdict, by the newest of each: true,\n" +
			"middlebox-affected or unreachable. Run classify again after them.\n\n" +
			"A SYN-ACK decides before an RST, an RST before an ICMP message, among equals the earliest. A key that\n" +
			"came from several hosts, or from one host in several scans, speaks against all of them: verdicts depend\n" +
			"on all scans of the dataset, so run it again when one is added.\n\n" +
			"Memory: at most 2 GB; what needs more goes to files in TMPDIR.\n\n" +
			"Example:\n\n" +
			"  mpcensus classify --dataset census",
		Flags: []cli.Flag{datasetFlag()},
		Action: func(c *cli.Context) error {
			if err := withDataset(c, func(db *sql.DB) error { return judgeScans(c, db) }); err != nil {
				return err
			}
			// Opened anew, for only then are the hosts of all scans seen.
			return withDataset(c, func(db *sql.DB) error { return judgeCampaigns(c, db) })
		},
	}
}

// judgeScans writes the hosts of all scans and prints what was found.
func judgeScans(c *cli.Context, db *sql.DB) error {
	dir := c.String("dataset")
	scans, err := classify.Scans(c.Context, db)
	if err != nil {
		return err
	}
	if len(scans) == 0 {
		return fmt.Errorf("%s: the dataset has no scans: make one with mpcensus scan or ingest", dir)
	}
	status := newStatusLine()
	defer status.done()
	status.update("looking for keys that came back more than once")
	if err := classify.CheckRows(c.Context, db); err != nil {
		return err
	}
	classifier, err := classify.New(c.Context, db, dir)
	if err != nil {
		return err
	}
	for i, scan := range scans {
		status.update(fmt.Sprintf("scan %d of %d: %s", i+1, len(scans), scan.ID))
		result, err := classifier.Hosts(c.Context, scan)
		if err != nil {
			return err
		}
		status.done()
		if err := printResult(c.App.Writer, scan, result); err != nil {
			return err
		}
	}
	return nil
}

// withDataset calls f on the dataset that the command line names, for a command without arguments.
func withDataset(c *cli.Context, f func(*sql.DB) error) error {
	if c.Args().Present() {
		return usageErrorf("unexpected argument %q: see %s --help", c.Args().First(), c.Command.HelpName)
	}
	return withViews(c, f)
}

// withViews calls f on the dataset that the command line names.
func withViews(c *cli.Context, f func(*sql.DB) error) error {
	if err := need(c, "dataset"); err != nil {
		return err
	}
	dir := c.String("dataset")
	if _, err := os.Stat(dir); err != nil {
		if strings.Contains(dir, "://") {
			return usageErrorf("--dataset %s: %s reads local folders: copy it to one first", dir, c.Command.Name)
		}
		return fmt.Errorf("no dataset: %w", err)
	}
	db, err := dataset.OpenDuckDB(c.Context, dir, dataset.DuckDBOptions{})
	if err != nil {
		return err
	}
	defer db.Close()
	return f(db)
}

// judgeCampaigns writes the treatments of all paired campaigns and prints them.
func judgeCampaigns(c *cli.Context, db *sql.DB) error {
	campaigns, err := classify.Campaigns(c.Context, db)
	if err != nil {
		return err
	}
	for _, campaign := range campaigns {
		treated, notes, err := campaign.Judge(c.Context, db, c.String("dataset"))
		if err != nil {
			return err
		}
		fmt.Fprintf(c.App.Writer, "campaign %s, %s port %d%s\n", campaign.ID, campaign.Family, campaign.Port, shardText(campaign.Shard))
		for _, note := range notes {
			fmt.Fprintf(c.App.Writer, "%s\n", note)
		}
		for _, t := range treated {
			fmt.Fprintf(c.App.Writer, "MP_CAPABLE %s, scan %s\n", t.Scan.Probe, t.Scan.ID)
			if err := printCounts(c.App.Writer, classify.Treatments, t.Treatments, "all targets"); err != nil {
				return err
			}
		}
		fmt.Fprintln(c.App.Writer)
	}
	return nil
}

// shardText reads: , shard 0 of 2
func shardText(shard string) string {
	if shard == "" {
		return ""
	}
	return ", shard " + shard
}

// printResult prints the verdicts on a scan's targets, and the outlying weights of its keys.
func printResult(w io.Writer, scan classify.Scan, result classify.Result) error {
	fmt.Fprintf(w, "scan %s\n", scan.ID)
	if err := printCounts(w, classify.Verdicts, result.Verdicts, "all targets"); err != nil {
		return err
	}
	if len(result.Final) > 0 {
		fmt.Fprintln(w, "final verdicts:")
		if err := printCounts(w, classify.FinalVerdicts, result.Final, "with a final verdict"); err != nil {
			return err
		}
	}

	printFindings(w, result.Findings)
	if err := printWeights(w, result.Returned); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// shown is the number of findings of a kind that are printed: the table hosts has all.
const shown = 10

// printFindings prints what was found in groups of keys, the surest first.
func printFindings(w io.Writer, findings []keys.Finding) {
	if len(findings) == 0 {
		return
	}
	fmt.Fprintln(w, "keys of one network, or of the scan, that are not random:")
	findings = slices.SortedStableFunc(slices.Values(findings), func(a, b keys.Finding) int { return cmp.Compare(a.AdjustedP, b.AdjustedP) })
	for _, f := range findings[:min(shown, len(findings))] {
		fmt.Fprintf(w, "  %s\n", f.Reason)
	}
	printMore(w, len(findings))
}

func printMore(w io.Writer, all int) {
	if all > shown {
		fmt.Fprintf(w, "  and %d more\n", all-shown)
	}
}

// printWeights prints the outlying weights of the keys that came back, the largest excess first.
func printWeights(w io.Writer, test keys.WeightTest) error {
	outliers := test.Outliers()
	switch {
	case test.Keys == 0:
		fmt.Fprintln(w, "no key came back")
		return nil
	case test.TooFew:
		fmt.Fprintf(w, "weights of the keys that came back: not enough data, %d keys of at least %d\n", test.Keys, keys.MinKeys)
		return nil
	case len(outliers) == 0:
		fmt.Fprintf(w, "weights of the %d keys that came back: none is outlying\n", test.Keys)
		return nil
	}
	fmt.Fprintf(w, "outlying weights of the %d keys that came back:\n", test.Keys)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "  weight\tobserved\texpected\tp-value\texcess\t95 %% interval\t\n")
	slices.SortStableFunc(outliers, func(a, b keys.Weight) int { return cmp.Compare(b.Excess, a.Excess) })
	for _, weight := range outliers[:min(shown, len(outliers))] {
		fmt.Fprintf(table, "  %d\t%d\t%.3g\t%s\t%.0f\t%.0f–%.0f\t\n", weight.Weight, weight.Observed, weight.Expected,
			keys.FormatP(weight.P), weight.Excess, weight.ExcessLow, weight.ExcessHigh)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	printMore(w, len(outliers))
	return nil
}

// printCounts prints how many targets have each conclusion, in the order of names, and their sum, named all.
func printCounts(w io.Writer, names []string, counts map[string]uint64, all string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	total := uint64(0)
	for _, name := range names {
		if n := counts[name]; n > 0 {
			fmt.Fprintf(table, "  %s\t%d\t\n", name, n)
			total += n
		}
	}
	fmt.Fprintf(table, "  %s\t%d\t\n", all, total)
	return table.Flush()
}
