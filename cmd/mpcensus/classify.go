package main

import (
	"database/sql"
	"fmt"
	"io"
	"os"
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
			"Example:\n\n" +
			"  mpcensus classify --dataset census",
		Flags: []cli.Flag{datasetFlag()},
		Action: func(c *cli.Context) error {
			dir := c.String("dataset")
			err := withDataset(c, func(db *sql.DB) error { return classify.CheckRows(c.Context, db) })
			if err != nil {
				return err
			}
			err = eachScan(c, func(db *sql.DB, scan classify.Scan) error {
				result, err := classify.Hosts(c.Context, db, dir, scan)
				if err != nil {
					return err
				}
				return printResult(c.App.Writer, scan, result)
			})
			if err != nil {
				return err
			}
			// Opened anew, for only then are the hosts of all scans seen.
			return withDataset(c, func(db *sql.DB) error { return judgeCampaigns(c, db) })
		},
	}
}

// withDataset calls f on the dataset that the command line names.
func withDataset(c *cli.Context, f func(*sql.DB) error) error {
	if err := need(c, "dataset"); err != nil {
		return err
	}
	if c.Args().Present() {
		return usageErrorf("unexpected argument %q: see %s --help", c.Args().First(), c.Command.HelpName)
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

// eachScan calls f for each scan of the dataset that the command line names.
func eachScan(c *cli.Context, f func(*sql.DB, classify.Scan) error) error {
	return withDataset(c, func(db *sql.DB) error {
		scans, err := classify.Scans(c.Context, db)
		if err != nil {
			return err
		}
		if len(scans) == 0 {
			return fmt.Errorf("%s: the dataset has no scans: make one with mpcensus scan or ingest", c.String("dataset"))
		}
		for _, scan := range scans {
			if err := f(db, scan); err != nil {
				return err
			}
		}
		return nil
	})
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
		fmt.Fprintf(c.App.Writer, "campaign %s, %s port %d\n", campaign.ID, campaign.Family, campaign.Port)
		for _, note := range notes {
			fmt.Fprintf(c.App.Writer, "%s\n", note)
		}
		for _, t := range treated {
			fmt.Fprintf(c.App.Writer, "MP_CAPABLE %s, scan %s\n", t.Scan.Probe, t.Scan.ID)
			if err := printCounts(c.App.Writer, classify.Treatments, t.Treatments); err != nil {
				return err
			}
		}
		fmt.Fprintln(c.App.Writer)
	}
	return nil
}

// printResult prints the verdicts on a scan's targets, and the outlying weights of its keys.
func printResult(w io.Writer, scan classify.Scan, result classify.Result) error {
	fmt.Fprintf(w, "scan %s\n", scan.ID)
	if err := printCounts(w, classify.Verdicts, result.Verdicts); err != nil {
		return err
	}

	test := result.Returned
	switch {
	case test.Keys == 0:
		fmt.Fprintf(w, "no key came back\n\n")
		return nil
	case test.TooFew:
		fmt.Fprintf(w, "weights of the keys that came back: not enough data, %d keys of at least %d\n\n", test.Keys, keys.MinKeys)
		return nil
	case len(test.Outliers()) == 0:
		fmt.Fprintf(w, "weights of the %d keys that came back: none is outlying\n\n", test.Keys)
		return nil
	}
	fmt.Fprintf(w, "outlying weights of the %d keys that came back:\n", test.Keys)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "  weight\tobserved\texpected\tp-value\t\n")
	for _, weight := range test.Outliers() {
		fmt.Fprintf(table, "  %d\t%d\t%.3g\t%s\t\n", weight.Weight, weight.Observed, weight.Expected, keys.FormatP(weight.P))
	}
	fmt.Fprintf(table, "\n")
	return table.Flush()
}

// printCounts prints how many targets have each conclusion, in the order of names, and their sum.
func printCounts(w io.Writer, names []string, counts map[string]uint64) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	total := uint64(0)
	for _, name := range names {
		if n := counts[name]; n > 0 {
			fmt.Fprintf(table, "  %s\t%d\t\n", name, n)
			total += n
		}
	}
	fmt.Fprintf(table, "  all targets\t%d\t\n", total)
	return table.Flush()
}
