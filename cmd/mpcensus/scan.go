package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/ingest"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

func scanCommand() *cli.Command {
	return &cli.Command{
		Name:      "scan",
		Usage:     "probe targets with ZMap and write their replies into the dataset",
		ArgsUsage: "[ADDRESS|CIDR]...",
		Description: "Needs raw sockets. Interface, source address and next hop are found out unless named.\n" +
			"Addresses on the blocklist are never probed; the default is IANA's special-purpose registries.\n\n" +
			"Example, a hitlist at 10,000 probes a second:\n\n" +
			"  mpcensus scan --dataset census --port 443 --probe v1 --rate 10000 --blocklist my.conf --targets hitlist.txt",
		Flags: []cli.Flag{
			datasetFlag(),
			formatFlag(),
			&cli.StringFlag{Name: "targets", Usage: "`FILE` of addresses and CIDRs, one a line"},
			&cli.UintFlag{Name: "port", Usage: "target TCP `PORT` (required)", DefaultText: "none"},
			&cli.StringFlag{Name: "probe", Usage: "MP_CAPABLE to send, `v0|v1|plain`: of RFC 6824, of RFC 8684, or none", Value: "v1"},
			&cli.StringFlag{Name: "probe-args", Usage: "further `ARGUMENTS` of the probe module, such as key=static:0011223344556677"},
			&cli.StringFlag{Name: "interface", Usage: "network interface `NAME`", DefaultText: "the one towards the targets"},
			&cli.StringFlag{Name: "source-ip", Usage: "source `ADDRESS`", DefaultText: "the interface's"},
			&cli.StringFlag{Name: "gateway-mac", Usage: "`MAC` address of the next hop", DefaultText: "as the kernel knows it"},
			&cli.UintFlag{Name: "rate", Usage: "`PROBES` a second", Value: 1000},
			&cli.UintFlag{Name: "cooldown", Usage: "`SECONDS` to wait for replies after the last probe", Value: 8},
			&cli.StringFlag{Name: "blocklist", Usage: "`FILE` of CIDRs never to probe", DefaultText: "special-purpose addresses"},
			&cli.UintFlag{Name: "shards", Usage: "`NUMBER` of machines that share the scan", Value: 1},
			&cli.UintFlag{Name: "shard", Usage: "`INDEX` of this machine, from 0"},
			&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` that orders the targets, the same on all machines; required with --shards", DefaultText: "random"},
			&cli.StringFlag{Name: "zmap", Usage: "`PATH` of ZMap", DefaultText: "found"},
		},
		Action: scan,
	}
}

func scan(c *cli.Context) error {
	if err := need(c, "dataset", "port"); err != nil {
		return err
	}
	spec, err := scanSpec(c)
	if err != nil {
		return err
	}
	format, err := formatOf(c)
	if err != nil {
		return err
	}
	installation, err := zmap.Find(c.String("zmap"))
	if err != nil {
		return err
	}
	if installation.Version != zmap.SupportedVersion {
		return fmt.Errorf("%s is ZMap %s, but the probe module is made for %s: name another with --zmap PATH",
			installation.Path, installation.Version, zmap.SupportedVersion)
	}
	if spec.Blocklist == "" {
		file, err := writeDefaultBlocklist()
		if err != nil {
			return err
		}
		defer os.Remove(file)
		spec.Blocklist = file
	}
	if err := completeRoute(&spec); err != nil {
		return err
	}

	// A scan that cannot store its replies must end.
	ctx, stopZMap := context.WithCancel(c.Context)
	defer stopZMap()
	status := newStatusLine()
	defer status.done()
	process, err := zmap.Start(ctx, installation, spec, status.update, status.message)
	if c.Context.Err() != nil {
		return errors.New("interrupted before a probe was sent")
	}
	if err != nil {
		return err
	}
	status.message(fmt.Sprintf("scanning port %d with %s probes from %s on %s", spec.Port, spec.Probe, spec.SourceIP, spec.Interface))

	end := sync.OnceValues(func() (ingest.Provenance, error) { return provenance(process, installation, spec) })
	// The rows end when ZMap does: an interrupt goes to ZMap, and what it had printed is still read.
	summary, err := ingest.Run(context.WithoutCancel(ctx), process.Rows, ingest.Params{
		Dataset:     c.String("dataset"),
		Format:      format,
		Port:        spec.Port,
		Probe:       spec.Probe,
		Family:      dataset.IPv4,
		Date:        process.Started.UTC().Format(time.DateOnly),
		ToolVersion: version,
		Provenance: func(ended error) ingest.Provenance {
			if ended != nil {
				// Nobody reads on, so ZMap must not go on sending.
				stopZMap()
			}
			p, _ := end()
			return p
		},
	})
	if err != nil {
		stopZMap()
	}
	_, zmapErr := end()
	status.done()
	if summary.ScanID != "" {
		fmt.Fprintln(c.App.Writer, summaryText(summary))
	}
	switch {
	case err != nil:
		return err
	case c.Context.Err() != nil:
		return fmt.Errorf("interrupted: the %d replies read so far are in the dataset", summary.Kept)
	case zmapErr != nil:
		return fmt.Errorf("%w; the %d replies read so far are in the dataset", zmapErr, summary.Kept)
	}
	return tooManyRejects("scan "+summary.ScanID, summary, maxRejects)
}

// provenance waits for ZMap to end and says what is known of its run.
func provenance(process *zmap.Process, installation zmap.Installation, spec zmap.Scan) (ingest.Provenance, error) {
	metadata, err := process.Wait()
	p := ingest.Provenance{
		Started:       process.Started,
		Finished:      time.Now(),
		Complete:      err == nil,
		ZMapVersion:   installation.Version,
		ZMapArguments: process.Arguments,
		Seed:          sql.Null[uint64]{V: process.Seed, Valid: true},
	}
	if err == nil {
		p.ProbesSent = sql.Null[uint64]{V: metadata.Sent, Valid: true}
		// ZMap counts the targets of all shards, not of this one.
		p.Targets = sql.Null[uint64]{V: metadata.Targets, Valid: spec.Shards == 1}
	}
	return p, err
}

// scanSpec reads and checks the command line.
func scanSpec(c *cli.Context) (zmap.Scan, error) {
	spec := zmap.Scan{
		Targets:     c.Args().Slice(),
		TargetsFile: c.String("targets"),
		ProbeArgs:   c.String("probe-args"),
		Interface:   c.String("interface"),
		SourceIP:    c.String("source-ip"),
		GatewayMAC:  c.String("gateway-mac"),
		Rate:        c.Uint("rate"),
		Cooldown:    c.Uint("cooldown"),
		Blocklist:   c.String("blocklist"),
		Shards:      c.Uint("shards"),
		Shard:       c.Uint("shard"),
		Seed:        c.Uint64("seed"),
	}
	if len(spec.Targets) == 0 && spec.TargetsFile == "" {
		return spec, usageErrorf("no targets: name addresses, CIDRs or --targets FILE")
	}
	if len(spec.Targets) > 0 && spec.TargetsFile != "" {
		return spec, usageErrorf("targets are named both as arguments and by --targets %s: choose one", spec.TargetsFile)
	}
	for _, target := range spec.Targets {
		if _, err := parseTarget(target); err != nil {
			return spec, usageErrorf("%v", err)
		}
	}
	var err error
	if spec.Port, err = portOf(c); err != nil {
		return spec, err
	}
	if spec.Probe, err = probeOf(c); err != nil {
		return spec, err
	}
	if spec.Rate == 0 {
		return spec, usageErrorf("--rate 0: ZMap would send as fast as it can; name a rate")
	}
	if spec.Rate > math.MaxInt32 || spec.Cooldown > math.MaxInt32 {
		return spec, usageErrorf("--rate %d, --cooldown %d: ZMap takes numbers up to %d", spec.Rate, spec.Cooldown, math.MaxInt32)
	}
	if spec.Shards > 254 || spec.Shard >= spec.Shards {
		return spec, usageErrorf("--shard %d of --shards %d: there can be 254 shards, counted from 0", spec.Shard, spec.Shards)
	}
	// Shards are parts of one permutation.
	if spec.Shards > 1 && spec.Seed == 0 {
		return spec, usageErrorf("--shards %d: name a --seed other than 0, the same on every machine", spec.Shards)
	}
	if spec.Seed > math.MaxInt64 {
		return spec, usageErrorf("--seed %d: ZMap takes seeds up to %d", spec.Seed, int64(math.MaxInt64))
	}
	if c.IsSet("blocklist") {
		if err := checkBlocklist(spec.Blocklist); err != nil {
			return spec, fmt.Errorf("no scan without a blocklist: %w", err)
		}
	}
	return spec, nil
}

// checkBlocklist refuses a file that blocks nothing: ZMap takes even a folder for an empty list.
func checkBlocklist(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		entry, _, _ := strings.Cut(line, "#")
		if strings.TrimSpace(entry) != "" {
			return nil
		}
	}
	return fmt.Errorf("%s has no entry", name)
}

// parseTarget reads an IPv4 address or CIDR and returns its first address.
func parseTarget(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		var prefix netip.Prefix
		if prefix, err = netip.ParsePrefix(text); err != nil {
			return netip.Addr{}, fmt.Errorf("target %q is neither an address nor a CIDR", text)
		}
		addr = prefix.Addr()
	}
	if !addr.Is4() {
		return netip.Addr{}, fmt.Errorf("target %q: only IPv4 can be scanned", text)
	}
	return addr, nil
}

// completeRoute finds out what the user did not say of the way to the targets.
func completeRoute(spec *zmap.Scan) error {
	if spec.Interface != "" && spec.SourceIP != "" && spec.GatewayMAC != "" {
		return nil
	}
	target, err := firstTarget(*spec)
	if err != nil {
		return err
	}
	route, err := zmap.FindRoute(target)
	if err != nil && !(errors.Is(err, zmap.ErrNoNextHop) && spec.GatewayMAC != "") {
		return err
	}
	if spec.Interface != "" && spec.Interface != route.Interface {
		return fmt.Errorf("packets to %s leave by %s: with --interface %s name --source-ip and --gateway-mac too",
			target, route.Interface, spec.Interface)
	}
	if spec.Interface == "" {
		spec.Interface = route.Interface
	}
	if spec.SourceIP == "" {
		spec.SourceIP = route.Source.String()
	}
	if spec.GatewayMAC == "" {
		spec.GatewayMAC = route.GatewayMAC
	}
	return nil
}

// firstTarget is the address whose route stands for all targets.
func firstTarget(spec zmap.Scan) (netip.Addr, error) {
	if len(spec.Targets) > 0 {
		return parseTarget(spec.Targets[0])
	}
	file, err := os.Open(spec.TargetsFile)
	if err != nil {
		return netip.Addr{}, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		target, err := parseTarget(text)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("%s:%d: %w", spec.TargetsFile, number, err)
		}
		return target, nil
	}
	if err := lines.Err(); err != nil {
		return netip.Addr{}, fmt.Errorf("%s: %w", spec.TargetsFile, err)
	}
	return netip.Addr{}, fmt.Errorf("%s names no target", spec.TargetsFile)
}

func writeDefaultBlocklist() (name string, err error) {
	file, err := os.CreateTemp("", "mpcensus-blocklist-*.conf")
	if err != nil {
		return "", err
	}
	if _, err := file.Write(zmap.DefaultBlocklist); err != nil {
		file.Close()
		os.Remove(file.Name())
		return "", err
	}
	return file.Name(), file.Close()
}
