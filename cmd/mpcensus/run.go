package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/campaign"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/ingest"
	"github.com/mpcensus/mpcensus/pipeline/trace"
	"github.com/mpcensus/mpcensus/pipeline/verify"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

func campaignCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "carry out a campaign: targets, scans, verdicts, traces, connections and report, as a file describes it",
		ArgsUsage: "CAMPAIGN.yaml",
		Description: "Needs raw sockets. Whatever stops it, the same command goes on at the step where it stood, and the dataset\n" +
			"becomes that of an undisturbed run. A campaign that has begun cannot be changed: give it a new name.\n\n" +
			"An example of CAMPAIGN.yaml; docs/campaigns.md has every key:\n\n" +
			"  name: november-2026\n" +
			"  dataset: census\n" +
			"  blocklist: blocklist.conf\n" +
			"  targets:\n" +
			"    ipv4: {addresses: [198.18.0.0/16]}\n" +
			"    ipv6: {hitlist: hitlist.txt}\n" +
			"  ports: [443, 80]\n" +
			"  rate: 10000\n" +
			"  shards: 8\n" +
			"  trace: {}\n" +
			"  verify: {}\n" +
			"  report: report\n\n" +
			"Example:\n\n" +
			"  mpcensus run --dry-run november.yaml\n" +
			"  mpcensus run november.yaml",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Usage: "print what would be sent where, and how long it would take; send nothing"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usageErrorf("one file, please: see %s --help", c.Command.HelpName)
			}
			file := c.Args().First()
			described, err := campaign.Load(file)
			if err != nil {
				return err
			}
			if c.Bool("dry-run") {
				return dryRun(c, described)
			}
			return runCampaign(c, file, described)
		},
	}
}

func runCampaign(c *cli.Context, file string, described *campaign.Campaign) error {
	if err := checkLocation(c.Context, described.Dataset); err != nil {
		return err
	}
	release, err := described.Lock()
	if err != nil {
		return err
	}
	defer release()
	state, err := openCampaign(described)
	if err != nil {
		return err
	}
	if state.Finished() {
		fmt.Fprintf(c.App.Writer, "campaign %s is done already: %d steps\n", described.Name, len(state.Steps))
		return nil
	}
	if err := checkMachine(described); err != nil {
		return err
	}
	log, err := openLog(described)
	if err != nil {
		return err
	}
	defer log.Close()
	view := newRunView(state, log)
	campaignView = view
	defer func() { campaignView = nil }()
	err = state.Run(c.Context, &runTools{log, described.Dataset}, version, view.changed)
	view.done()
	if err != nil {
		return fmt.Errorf("%w: when the cause is gone, mpcensus run %s goes on there", err, shellWord(file))
	}
	fmt.Fprintf(c.App.Writer, "campaign %s: %d steps done, dataset %s", described.Name, len(state.Steps), described.Dataset)
	if described.Report != "" {
		fmt.Fprintf(c.App.Writer, ", report %s", filepath.Join(described.Report, "index.html"))
	}
	fmt.Fprintln(c.App.Writer)
	if rejected := state.Rejected(); rejected != nil {
		return &exitError{exitRejected, strings.Join(rejected, "; ")}
	}
	return nil
}

// checkMachine refuses what would stop the campaign hours from now.
func checkMachine(described *campaign.Campaign) error {
	if described.Verify != nil {
		if err := verify.CheckKernel(); err != nil {
			return err
		}
	}
	_, err := zmap.Find("")
	return err
}

func checkLocation(ctx context.Context, location string) error {
	d, err := dataset.Open(ctx, location)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.CheckWritable(ctx)
}

// openCampaign is the state of a campaign, of which something is done or nothing.
func openCampaign(described *campaign.Campaign) (*campaign.State, error) {
	begun, err := described.Begun()
	if err != nil {
		return nil, err
	}
	if begun {
		return described.Resume()
	}
	return described.Begin(version)
}

// openLog opens the file that gets what commands print.
func openLog(described *campaign.Campaign) (*os.File, error) {
	if err := os.MkdirAll(described.Folder(), 0o777); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(described.Folder(), "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
}

// runTools carries out a campaign's steps as the command line would.
type runTools struct {
	log     io.Writer
	dataset string
}

// Command implements campaign.Tools.
func (t *runTools) Command(ctx context.Context, step *campaign.Step) (campaign.Outcome, error) {
	return t.run(ctx, newApp(), step)
}

// Scan implements campaign.Tools.
func (t *runTools) Scan(ctx context.Context, order campaign.ScanOrder) (campaign.Outcome, error) {
	app := newApp()
	app.Command("scan").Action = func(c *cli.Context) error {
		return scan(c, scanTerms{campaign: order.Campaign, date: order.Date, spools: order.Spools, whole: order.Spooled})
	}
	return t.run(ctx, app, order.Step)
}

// run carries out a command line.
func (t *runTools) run(ctx context.Context, app *cli.App, step *campaign.Step) (campaign.Outcome, error) {
	var printed bytes.Buffer
	app.Writer = io.MultiWriter(t.log, &printed)
	outcome, err := outcomeOf(app.RunContext(ctx, append([]string{app.Name}, step.Arguments...)))
	if step.Stage != campaign.StageEnrich && step.Stage != campaign.StageClassify && step.Stage != campaign.StageConclude {
		lines := strings.Split(strings.TrimSpace(printed.String()), "\n") // of tables they would say nothing
		outcome.Result = lines[0]
		if step.Stage == campaign.StageTrace {
			outcome.Result = lines[len(lines)-1] // the first is on its control
		}
	}
	return outcome, err
}

// outcomeOf tells a command that did its work, but for too many rejected rows, from one that failed.
func outcomeOf(err error) (campaign.Outcome, error) {
	var exit *exitError
	if errors.As(err, &exit) && exit.code == exitRejected {
		return campaign.Outcome{Rejected: errorLine(err)}, nil
	}
	return campaign.Outcome{}, err
}

// Ingest implements campaign.Tools.
func (t *runTools) Ingest(ctx context.Context, spool string) (campaign.Outcome, error) {
	d, err := dataset.Open(ctx, t.dataset)
	if err != nil {
		return campaign.Outcome{}, err
	}
	defer d.Close()
	status := newStatusLine()
	summary, err := ingest.IngestLive(ctx, d, spool, func(n ingest.Counts) {
		status.update(fmt.Sprintf("adding the replies to the dataset: %d", n.Read))
	})
	if err != nil {
		return campaign.Outcome{}, err
	}
	if summary.Scan.ID == "" {
		return campaign.Outcome{Result: filepath.Base(spool)}, nil // another process had added it
	}
	var share shareOfRejects
	share.add("scan "+summary.Scan.ID, summary)
	outcome, err := outcomeOf(share.tooMany(maxRejects))
	outcome.Result = summaryText(summary)
	fmt.Fprintln(t.log, outcome.Result)
	return outcome, err
}

// Recover implements campaign.Tools. A verification is added by one file, and needs nothing.
func (t *runTools) Recover(ctx context.Context, step *campaign.Step) error {
	if step.Stage != campaign.StageTrace {
		return nil
	}
	d, err := dataset.Open(ctx, t.dataset)
	if err != nil {
		return err
	}
	defer d.Close()
	// Beginning a trace finishes those of the dead.
	begun, err := trace.Begin(ctx, d, version)
	if err != nil {
		return err
	}
	return begun.Close()
}

// Potential implements campaign.Tools.
func (t *runTools) Potential(ctx context.Context, date string, step *campaign.Step) (n uint64, err error) {
	db, err := dataset.OpenDuckDB(ctx, t.dataset, dataset.DuckDBOptions{})
	if err != nil {
		return 0, err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, `
		SELECT count(*) FROM hosts
		WHERE verdict = 'potential' AND date = $1 AND family = $2 AND port = $3 AND probe = $4`,
		date, step.Family, step.Port, step.Probe).Scan(&n)
	return n, err
}
