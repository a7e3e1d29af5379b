package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/targets"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

func targetsCommand() *cli.Command {
	return &cli.Command{
		Name:  "targets",
		Usage: "turn hitlists into target files, which ZMap probes by index",
		Description: "Example:\n\n" +
			"  mpcensus targets build --out hitlist.targets hitlist.txt.zst\n" +
			"  mpcensus scan --dataset census --port 443 --targets hitlist.targets",
		Action: noSuchCommand,
		Subcommands: []*cli.Command{
			{
				Name:      "build",
				Usage:     "write a target file: hitlists sorted, each address once, minus the blocklist",
				ArgsUsage: "HITLIST…|-",
				Description: "A HITLIST (- is standard input) is text: one IPv4 or IPv6 address or CIDR a line, # begins a\n" +
					"comment. It may be compressed by gzip or zstd. The first line that says anything else is an\n" +
					"error. A CIDR stands for all its addresses, up to 2^28; a target file holds as many. It\n" +
					"appears whole or not at all, and the same addresses give the same bytes.\n\n" +
					"Example:\n\n" +
					"  mpcensus targets build --out hitlist.targets --blocklist my.conf --family ipv6 hitlist.txt more.txt.zst\n" +
					"  zcat responsive.gz | mpcensus targets build --out responsive.targets -",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "out", Usage: "write to `FILE` (required)"},
					&cli.StringFlag{Name: "blocklist", Usage: "`FILE` of addresses and CIDRs never to probe", DefaultText: "special-purpose addresses"},
					&cli.StringFlag{Name: "family", Usage: "leave out addresses that are not of `ipv4|ipv6`", DefaultText: "the only one"},
				},
				Action: targetsBuild,
			},
			{
				Name:      "arguments",
				Usage:     "print the ZMap arguments with which a target file is scanned, one a line",
				ArgsUsage: "FILE",
				Description: "The launcher zmap-mptcp adds them by itself.\n\n" +
					"Example: mpcensus targets arguments hitlist.targets\n" +
					"         mpcensus targets arguments --ttl 1-24 potential.targets",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "ttl", Usage: "for a trace (mptcp_trace) with the TTLs `FIRST-LAST`", DefaultText: "for a scan"},
					&cli.StringFlag{Name: "interface", Usage: "network interface `NAME`", DefaultText: "the one towards the targets"},
					&cli.StringFlag{Name: "source-ip", Usage: "source `ADDRESS`", DefaultText: "the interface's"},
					&cli.StringFlag{Name: "gateway-mac", Usage: "`MAC` address of the next hop", DefaultText: "as the kernel knows it"},
				},
				Action: targetsArguments,
			},
		},
	}
}

func targetsBuild(c *cli.Context) error {
	if err := need(c, "out"); err != nil {
		return err
	}
	names := c.Args().Slice()
	if len(names) == 0 {
		return usageErrorf("no hitlist: name files, or - for standard input")
	}
	params := targets.Params{}
	switch family := c.String("family"); {
	case family == targets.IPv4.String():
		params.Family = targets.IPv4
	case family == targets.IPv6.String():
		params.Family = targets.IPv6
	case c.IsSet("family"):
		return usageErrorf("--family %s: it is ipv4 or ipv6", family)
	}
	var err error
	if params.Blocklist, err = blocklistOf(c); err != nil {
		return err
	}
	for _, name := range names {
		text, err := openHitlist(name)
		if err != nil {
			return err
		}
		defer text.Close()
		params.Inputs = append(params.Inputs, targets.Input{Name: name, Text: text})
	}
	summary, err := buildTargets(c.Context, c.String("out"), params)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s: %s\n", c.String("out"), targetsText(summary))
	return nil
}

// buildTargets shows its progress on a terminal.
func buildTargets(ctx context.Context, out string, p targets.Params) (targets.Summary, error) {
	status := newStatusLine()
	defer status.done()
	p.Progress = func(s targets.Summary) {
		status.update(fmt.Sprintf("hitlists: %d lines, %d addresses", s.Lines, s.Addresses))
	}
	summary, err := targets.Build(ctx, out, p)
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted: no target file was written")
	}
	return summary, err
}

// targetsText reads: 7 lines, 5 addresses = written 2 + duplicate 1 + blocked 2 (ipv6); 1 line of ipv4 left out
func targetsText(s targets.Summary) string {
	text := fmt.Sprintf("%d lines, %d addresses = written %d + duplicate %d + blocked %d (%s)",
		s.Lines, s.Addresses, s.Written, s.Duplicates, s.Blocked, s.Family)
	if s.OtherFamily > 0 {
		text += fmt.Sprintf("; left out %d lines of the other family", s.OtherFamily)
	}
	return text
}

// blocklistOf is the list that --blocklist names, or the default one.
func blocklistOf(c *cli.Context) (*targets.Blocklist, error) {
	if c.IsSet("blocklist") {
		return targets.OpenBlocklist(c.String("blocklist"))
	}
	return defaultBlocklist()
}

func defaultBlocklist() (*targets.Blocklist, error) {
	return targets.ParseBlocklist("default", bytes.NewReader(zmap.DefaultBlocklist))
}

func openHitlist(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	return os.Open(name)
}

// targetsArguments prints what the launcher zmap-mptcp adds to ZMap's command line for a target file:
//
//	--interface=NAME
//	--source-ip=ADDRESS      of IPv6 targets: zmap.IPv4Placeholder
//	--gateway-mac=MAC
//	-b/dev/null              the blocklist, in the spelling of 2.1.1 and 4
//	--seed=1                 of at most smallestGroup indices: see safeSeed
//	CIDR                     as many lines as IndexCIDRs has
//	probe-args:source=ADDRESS
//
// The last line is there for IPv6 targets only. It is no argument of ZMap: what follows
// "probe-args:" belongs into --probe-args, after a comma. No line holds white space or characters
// special to a shell. What flags name is printed as named, and the rest found out as scan does.
func targetsArguments(c *cli.Context) error {
	if c.NArg() != 1 {
		return usageErrorf("one target file, please: see %s --help", c.Command.HelpName)
	}
	file, err := targets.Open(c.Args().First())
	if err != nil {
		return err
	}
	defer file.Close()
	first, err := file.First()
	if err != nil {
		return err
	}
	indices := file.Count
	if c.IsSet("ttl") {
		firstTTL, lastTTL, err := zmap.ParseTTLs(c.String("ttl"))
		if err != nil {
			return usageErrorf("--ttl: %s", err)
		}
		ttls := uint64(lastTTL-firstTTL) + 1
		if file.Count > targets.MaxCount/ttls {
			return fmt.Errorf("%s lists %d addresses, a trace with %d TTLs takes %d: split the file",
				c.Args().First(), file.Count, ttls, targets.MaxCount/ttls)
		}
		indices *= ttls
	}
	spec := zmap.Scan{Interface: c.String("interface"), GatewayMAC: c.String("gateway-mac")}
	if spec.SourceIP, err = sourceOf(c); err != nil {
		return err
	}
	if spec.SourceIP.IsValid() && spec.SourceIP.Is4() != first.Is4() {
		return usageErrorf("--source-ip %s: the targets are of the other family, as %s is", spec.SourceIP, first)
	}
	if err := completeRoute(&spec, first); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.App.Writer, strings.Join(indexArguments(spec, indices), "\n"))
	return err
}

// ZMap 2.1.1 permutes up to smallestGroup targets in the same group, where it aborts with one seed in
// 257; safeSeed is none of these. (The order of so few targets matters to nobody.)
const (
	smallestGroup = 256
	safeSeed      = 1
)

// indexArguments are the lines for so many indices of targets, which are of the source's family.
func indexArguments(spec zmap.Scan, indices uint64) []string {
	source := spec.SourceIP.String()
	if spec.SourceIP.Is6() {
		source = zmap.IPv4Placeholder
	}
	lines := []string{
		"--interface=" + spec.Interface,
		"--source-ip=" + source,
		"--gateway-mac=" + spec.GatewayMAC,
		"-b/dev/null",
	}
	if indices <= smallestGroup {
		lines = append(lines, fmt.Sprintf("--seed=%d", safeSeed))
	}
	lines = append(lines, targets.IndexCIDRs(indices)...)
	if spec.SourceIP.Is6() {
		lines = append(lines, "probe-args:source="+spec.SourceIP.String())
	}
	return lines
}
