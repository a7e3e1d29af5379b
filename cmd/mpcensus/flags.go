package main

import (
	"net/netip"
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

// locationFlag is for commands that work on object stores, too.
func locationFlag() cli.Flag {
	return &cli.StringFlag{Name: "dataset", Usage: "the dataset's `DIR`, or s3://BUCKET/PREFIX (required)"}
}

func spoolFlag() cli.Flag {
	return &cli.StringFlag{Name: "spool", Usage: "`DIR` for a scan's rows until they are in the dataset", DefaultText: "in the dataset; required if that is an object store"}
}

// spoolRoot is the folder of spools; empty if none is named, and the dataset is in an object store.
func spoolRoot(c *cli.Context, d *dataset.Dataset) string {
	if root := c.String("spool"); root != "" {
		return root
	}
	root, _ := d.LocalUnfinished()
	return root
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
	if !slices.Contains(zmap.Probes, probe) {
		return "", usageErrorf("--probe %s: it is v0, v1, plain or canary", probe)
	}
	return probe, nil
}

// sourceOf is the address that --source-ip names; it is not valid if there is none.
func sourceOf(c *cli.Context) (netip.Addr, error) {
	text := c.String("source-ip")
	if text == "" {
		return netip.Addr{}, nil
	}
	source, err := netip.ParseAddr(text)
	if err != nil || source.Zone() != "" {
		return netip.Addr{}, usageErrorf("--source-ip %s: it is an IPv4 or IPv6 address", text)
	}
	return source, nil
}
