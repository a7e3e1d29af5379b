package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/ingest"
)

func ingestCommand() *cli.Command {
	return &cli.Command{
		Name:      "ingest",
		Usage:     "add ZMap's JSON rows to a dataset",
		ArgsUsage: "FILE…|-",
		Description: "Each FILE (- is standard input) is one scan: one address family, port and probe. It may be\n" +
			"compressed (.gz, .zst). Lines that are not rows of the scan are kept in the dataset's rejects\n" +
			"folder, with the reason. Ingesting a file again changes nothing.\n\n" +
			"  mpcensus ingest --dataset census monday-443-v1.json.zst\n" +
			"  zmap -M tcp_synscan -p 443 -O json -f '*' … | mpcensus ingest --dataset census --probe plain -",
		Flags: []cli.Flag{
			datasetFlag(),
			&cli.UintFlag{Name: "port", Usage: "target `PORT` of the scan", DefaultText: "as the rows say"},
			&cli.StringFlag{Name: "probe", Usage: "what the SYNs carried: `v0|v1|plain|canary`", DefaultText: "as the rows say"},
			&cli.StringFlag{Name: "family", Usage: "address family: `ipv4|ipv6`", DefaultText: "as the rows say"},
			&cli.StringFlag{Name: "date", Usage: "UTC date on which the scan began, `YYYY-MM-DD`", DefaultText: "as the rows say"},
			formatFlag(),
			&cli.Float64Flag{Name: "max-rejects", Usage: "`SHARE` of lines that may be rejected before the exit code is 3", Value: maxRejects},
		},
		Action: runIngest,
	}
}

func runIngest(c *cli.Context) error {
	if err := need(c, "dataset"); err != nil {
		return err
	}
	params, err := ingestParams(c)
	if err != nil {
		return err
	}
	allowed := c.Float64("max-rejects")
	if !(allowed >= 0 && allowed <= 1) {
		return usageErrorf("--max-rejects %v: a share is 0 to 1", allowed)
	}
	inputs := c.Args().Slice()
	if len(inputs) == 0 {
		return usageErrorf("no input: name files, or - for standard input")
	}

	var tooMany []string
	for _, input := range inputs {
		summary, err := ingestInput(c.Context, input, params)
		if err != nil {
			var unknown *ingest.UnknownScanError
			if errors.As(err, &unknown) && unknown.Line > 0 {
				return usageErrorf("%v", err)
			}
			return err
		}
		if err := tooManyRejects(input, summary, allowed); err != nil {
			tooMany = append(tooMany, err.Error())
		}
	}
	if tooMany != nil {
		return &exitError{exitRejected, strings.Join(tooMany, "; ")}
	}
	return nil
}

// maxRejects is the share of lines that may be rejected unless --max-rejects says otherwise.
const maxRejects = 0.01

// tooManyRejects is the error of an input of which more than the allowed share was rejected.
func tooManyRejects(input string, s ingest.Summary, allowed float64) error {
	if float64(s.Rejected) <= allowed*float64(s.Read) {
		return nil
	}
	return &exitError{exitRejected, fmt.Sprintf("%s: %d of %d lines rejected, more than a share of %v: see %s",
		input, s.Rejected, s.Read, allowed, s.Rejects)}
}

// ingestParams reads and checks the command line.
func ingestParams(c *cli.Context) (ingest.Params, error) {
	p := ingest.Params{
		Dataset:     c.String("dataset"),
		Family:      c.String("family"),
		Date:        c.String("date"),
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

// ingestInput adds one input to the dataset, and prints what became of it.
func ingestInput(ctx context.Context, input string, p ingest.Params) (ingest.Summary, error) {
	rows, err := openInput(input)
	if err != nil {
		return ingest.Summary{}, err
	}
	defer rows.Close()
	status := newStatusLine()
	p.Input = input
	if status.terminal {
		p.Progress = func(n ingest.Counts) {
			status.update(fmt.Sprintf("%s: read %d = kept %d + rejected %d", input, n.Read, n.Kept, n.Rejected))
		}
	}
	summary, err := ingest.Run(ctx, rows, p)
	status.done()
	if summary.ScanID != "" {
		fmt.Printf("%s: %s\n", input, summaryText(summary))
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", input, err)
	}
	return summary, err
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
	fmt.Fprintf(&b, " → %s", s.ScanID)
	if !s.Complete {
		b.WriteString(", incomplete")
	}
	return b.String()
}

// openInput opens a file, or standard input for "-", and decompresses it as its name says.
func openInput(input string) (io.ReadCloser, error) {
	if input == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	file, err := os.Open(input)
	if err != nil {
		return nil, err
	}
	var rows io.Reader = file
	switch {
	case strings.HasSuffix(input, ".gz"):
		rows, err = gzip.NewReader(file)
	case strings.HasSuffix(input, ".zst"):
		// Decoding in this goroutine leaves none behind.
		rows, err = zstd.NewReader(file, zstd.WithDecoderConcurrency(1))
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: not what its name says: %w", input, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{rows, file}, nil
}
