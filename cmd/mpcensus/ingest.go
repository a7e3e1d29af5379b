package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/ingest"
	"github.com/mpcensus/mpcensus/pipeline/spool"
)

func ingestCommand() *cli.Command {
	return &cli.Command{
		Name:      "ingest",
		Usage:     "add ZMap's JSON rows to a dataset",
		ArgsUsage: "FILE…|-",
		Description: "Each FILE (- is standard input) is one scan: one address family, port and probe. It may be\n" +
			"compressed (.gz, .zst), and a pattern ('monday-*.json.zst') stands for several. Lines that are not\n" +
			"rows of the scan are kept in the dataset's rejects folder, with the reason. Ingesting a file again\n" +
			"changes nothing. After an ingest or a scan that was killed, or found the disk full, --resume goes on.\n\n" +
			"  mpcensus ingest --dataset census monday-443-v1.json.zst\n" +
			"  mpcensus ingest --dataset census --resume\n" +
			"  mpcensus ingest --dataset 's3://census/2026?region=eu-north-1' monday-443-v1.json.zst\n" +
			"  zmap -M tcp_synscan -p 443 -O json -f '*' … | mpcensus ingest --dataset census --probe plain -\n" +
			"  mpcensus ingest --arrow-stream - monday-443-v1.json.zst | notebook.py",
		Flags: []cli.Flag{
			locationFlag(),
			&cli.UintFlag{Name: "port", Usage: "target `PORT` of the scan", DefaultText: "as the rows say"},
			&cli.StringFlag{Name: "probe", Usage: "what the SYNs carried: `v0|v1|plain|canary`", DefaultText: "as the rows say"},
			&cli.StringFlag{Name: "family", Usage: "address family: `ipv4|ipv6`", DefaultText: "as the rows say"},
			&cli.StringFlag{Name: "date", Usage: "UTC date on which the scan began, `YYYY-MM-DD`", DefaultText: "as the rows say"},
			formatFlag(),
			&cli.StringFlag{Name: "arrow-stream", Usage: "write replies to `-`, standard output, as an Arrow IPC stream, and to no dataset"},
			&cli.BoolFlag{Name: "resume", Usage: "finish what scans and ingests left unfinished in the dataset"},
			spoolFlag(),
			&cli.Float64Flag{Name: "max-rejects", Usage: "`SHARE` of lines that may be rejected before the exit code is 3", Value: maxRejects},
		},
		Action: runIngest,
	}
}

func runIngest(c *cli.Context) error {
	params, err := ingestParams(c)
	if err != nil {
		return err
	}
	allowed := c.Float64("max-rejects")
	if !(allowed >= 0 && allowed <= 1) {
		return usageErrorf("--max-rejects %v: a share is 0 to 1", allowed)
	}
	if c.IsSet("arrow-stream") {
		return streamReplies(c, params, allowed)
	}
	if err := need(c, "dataset"); err != nil {
		return err
	}
	if c.Bool("resume") && c.Args().Present() {
		return usageErrorf("--resume finds its inputs in the dataset: leave out %s", c.Args().First())
	}
	var inputs []string
	if !c.Bool("resume") {
		if inputs, err = inputNames(c.Args().Slice()); err != nil {
			return err
		}
	}
	d, err := dataset.Open(c.Context, c.String("dataset"))
	if err != nil {
		return err
	}
	defer d.Close()
	// Somebody else's death in the middle of a commit.
	committed, err := d.RollForward(c.Context)
	if err != nil {
		return err
	}
	var share shareOfRejects
	if c.Bool("resume") {
		for _, scan := range committed {
			fmt.Printf("scan %s: committed\n", scan)
		}
		err = resume(c, d, &share)
	} else {
		err = ingestAll(c.Context, d, inputs, params, &share)
	}
	var unknown *ingest.UnknownScanError
	switch {
	case errors.As(err, &unknown) && unknown.Line > 0:
		return usageErrorf("%v", err)
	case errors.Is(err, ingest.ErrUnfinished):
		return fmt.Errorf("%w: when the cause is gone, mpcensus ingest --resume goes on", err)
	case err != nil:
		return err
	}
	return share.tooMany(allowed)
}

func ingestAll(ctx context.Context, d *dataset.Dataset, inputs []string, p ingest.Params, share *shareOfRejects) error {
	for _, input := range inputs {
		if err := ingestOne(ctx, d, input, p, share); err != nil {
			return err
		}
	}
	return nil
}

func ingestOne(ctx context.Context, d *dataset.Dataset, input string, p ingest.Params, share *shareOfRejects) error {
	rows, err := openInput(ctx, input)
	if err != nil {
		return err
	}
	defer rows.Close()
	p.Input, p.Source = input, sourceOfInput(input)
	p.Stage = stageOf(p)
	return withProgress(input, &p, share, func() (ingest.Summary, error) {
		return ingest.Run(ctx, d, rows, p)
	})
}

// resume finishes scans whose rows are in spools, and ingests that processes left unfinished.
func resume(c *cli.Context, d *dataset.Dataset, share *shareOfRejects) error {
	root := spoolRoot(c, d)
	var folders []string
	if root != "" {
		var err error
		if folders, err = ingest.LiveFolders(root); err != nil {
			return err
		}
	}
	// What cannot be finished, as when its input is gone, does not keep the rest from being so.
	var failures error
	for _, folder := range folders {
		var p ingest.Params
		err := withProgress(folder, &p, share, func() (ingest.Summary, error) {
			return ingest.IngestLive(c.Context, d, folder, p.Progress)
		})
		if errors.Is(err, spool.ErrBusy) {
			fmt.Fprintf(os.Stderr, "%v: left alone\n", err)
			continue
		}
		failures = errors.Join(failures, err)
		if c.Context.Err() != nil {
			return failures
		}
	}
	left, err := ingest.Unfinished(c.Context, d)
	if err != nil {
		return errors.Join(failures, err)
	}
	for _, l := range left {
		l.ToolVersion = version
		err := withProgress(l.Input, &l.Params, share, func() (ingest.Summary, error) {
			return l.Resume(c.Context, d, openInput)
		})
		if errors.Is(err, dataset.ErrBusy) {
			fmt.Fprintf(os.Stderr, "%v: left alone\n", err)
			continue
		}
		failures = errors.Join(failures, err)
		if c.Context.Err() != nil {
			return failures
		}
	}
	if len(folders) == 0 && len(left) == 0 {
		fmt.Printf("nothing else is unfinished; spools were looked for in %s\n", cmp.Or(root, "no folder, as --spool names none"))
	}
	return failures
}

// withProgress runs an ingest, shows on a terminal how far it is, and prints what became of it.
func withProgress(input string, p *ingest.Params, share *shareOfRejects, run func() (ingest.Summary, error)) error {
	status := newStatusLine()
	if status.terminal {
		p.Progress = func(n ingest.Counts) {
			status.update(fmt.Sprintf("%s: read %d = kept %d + rejected %d", input, n.Read, n.Kept, n.Rejected))
		}
	}
	summary, err := run()
	status.done()
	if summary.Scan.ID != "" {
		fmt.Printf("%s: %s\n", input, summaryText(summary))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", input, err)
	}
	share.add(input, summary)
	return nil
}

// streamReplies writes the replies in all inputs to standard output. What else there is to say goes to
// standard error.
func streamReplies(c *cli.Context, p ingest.Params, allowed float64) error {
	if c.String("arrow-stream") != "-" {
		return usageErrorf("--arrow-stream %s: it can only be -, standard output", c.String("arrow-stream"))
	}
	for _, flag := range []string{"dataset", "resume", "format", "spool"} {
		if c.IsSet(flag) {
			return usageErrorf("--%s is for a dataset, --arrow-stream for a pipe: leave out one", flag)
		}
	}
	inputs, err := inputNames(c.Args().Slice())
	if err != nil {
		return err
	}
	stream, err := dataset.StreamReplies(os.Stdout)
	if err != nil {
		return err
	}
	var share shareOfRejects
	for _, input := range inputs {
		rows, err := openInput(c.Context, input)
		if err != nil {
			return err
		}
		p.Input = input
		summary, err := ingest.Stream(c.Context, stream, rows, p)
		rows.Close()
		var unknown *ingest.UnknownScanError
		if errors.As(err, &unknown) && unknown.Line > 0 {
			return usageErrorf("%s: %v", input, err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", input, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", input, summaryText(summary))
		share.add(input, summary)
	}
	if err := stream.Close(); err != nil {
		return err
	}
	return share.tooMany(allowed)
}

// maxRejects is the share of lines that may be rejected unless --max-rejects says otherwise.
const maxRejects = 0.01

// shareOfRejects collects what was rejected of each input.
type shareOfRejects struct {
	names     []string
	summaries []ingest.Summary
}

func (s *shareOfRejects) add(name string, summary ingest.Summary) {
	s.names, s.summaries = append(s.names, name), append(s.summaries, summary)
}

// tooMany is the error of the inputs of which more than the allowed share was rejected.
func (s *shareOfRejects) tooMany(allowed float64) error {
	var complaints []string
	for i, n := range s.summaries {
		if float64(n.Rejected) > allowed*float64(n.Read) {
			where := "no --dataset, so that they are not kept"
			if n.Rejects != nil {
				where = "see " + n.Rejects[0]
			}
			complaints = append(complaints, fmt.Sprintf("%s: %d of %d lines rejected, more than a share of %v: %s",
				s.names[i], n.Rejected, n.Read, allowed, where))
		}
	}
	if complaints == nil {
		return nil
	}
	return &exitError{exitRejected, strings.Join(complaints, "; ")}
}

// ingestParams reads and checks the command line.
func ingestParams(c *cli.Context) (ingest.Params, error) {
	p := ingest.Params{
		Partition:   dataset.Partition{Family: c.String("family"), Date: c.String("date")},
		ToolVersion: version,
	}
	var err error
	if p.Format, err = formatOf(c); err != nil {
		return p, err
	}
	if c.IsSet("port") {
		if p.Port, err = portOf(c); err != nil {
			return p, err
		}
	}
	if c.IsSet("probe") {
		if p.Probe, err = probeOf(c); err != nil {
			return p, err
		}
	}
	if c.IsSet("family") && p.Family != dataset.IPv4 && p.Family != dataset.IPv6 {
		return p, usageErrorf("--family %s: it is ipv4 or ipv6", p.Family)
	}
	if c.IsSet("date") {
		if _, err := time.Parse(time.DateOnly, p.Date); err != nil {
			return p, usageErrorf("--date %s: a date is YYYY-MM-DD", p.Date)
		}
	}
	return p, nil
}

// summaryText reads: read 5 = kept 3 + rejected 2 (not-json 1, range 1) → 20261123T081500.123456Z-ipv4-443-v1
func summaryText(s ingest.Summary) string {
	var b strings.Builder
	fmt.Fprintf(&b, "read %d = kept %d + rejected %d", s.Read, s.Kept, s.Rejected)
	var reasons []string
	for reason, n := range s.Reasons {
		reasons = append(reasons, fmt.Sprintf("%s %d", reason, n))
	}
	if reasons != nil {
		slices.Sort(reasons)
		fmt.Fprintf(&b, " (%s)", strings.Join(reasons, ", "))
	}
	fmt.Fprintf(&b, " → %s", s.Scan.ID)
	if !s.Complete {
		b.WriteString(", incomplete")
	}
	return b.String()
}
