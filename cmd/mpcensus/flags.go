package main

import (
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// need refuses a command line that lacks one of the flags, or leaves it empty. (urfave/cli's own check of required flags
// prints the whole help before its error.)
func need(c *cli.Context, flags ...string) error {
	for _, name := range flags {
		if !c.IsSet(name) || c.Value(name) == "" {
			return usageErrorf("--%s is missing: see %s --help", name, c.Command.HelpName)
		}
	}
	return nil
}

// Flags that several subcommands have, and the functions that check what they were given.

func datasetFlag() cli.Flag {
	return &cli.StringFlag{Name: "dataset", Usage: "the dataset's `DIR` (required)"}
}

func formatFlag() cli.Flag {
	return &cli.StringFlag{Name: "format", Usage: "file format: `parquet|arrow`", Value: string(dataset.Parquet)}
}

func formatOf(c *cli.Context) (dataset.Format, error) {
	format := dataset.Format(c.String("format"))
	if format != dataset.Parquet && format != dataset.Arrow {
		return "", usageErrorf("--format %s: it is parquet or arrow", format)
	}
	return format, nil
}

func portOf(c *cli.Context) (uint16, error) {
	port := c.Uint("port")
	if port < 1 || port > 65535 {
		return 0, usageErrorf("--port %d: a TCP port is 1 to 65535", port)
	}
	return uint16(port), nil
}

func probeOf(c *cli.Context) (string, error) {
	probe := c.String("probe")
	if !slices.Contains([]string{zmap.ProbeV0, zmap.ProbeV1, zmap.ProbePlain}, probe) {
		return "", usageErrorf("--probe %s: it is v0, v1 or plain", probe)
	}
	return probe, nil
}
