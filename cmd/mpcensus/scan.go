package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
			"Examples, a hitlist of either family at 10,000 probes a second, and a campaign that tells how targets\n" +
			"treat what they do not know:\n\n" +
			"  mpcensus scan --dataset census --port 443 --probe v1 --rate 10000 --blocklist my.conf --targets hitlist.txt\n" +
			"  mpcensus scan --dataset census --port 443 --paired --targets hitlist.targets",
		Flags: []cli.Flag{
			locationFlag(),
			formatFlag(),
			spoolFlag(),
			&cli.StringFlag{Name: "targets", Usage: "target `FILE` (see mpcensus targets), or a hitlist: addresses and CIDRs, one a line, - is standard input"},
			&cli.UintFlag{Name: "port", Usage: "target TCP `PORT` (required)", DefaultText: "none"},
			&cli.StringFlag{Name: "probe", Usage: "what the SYN carries, `v0|v1|plain|canary`: MP_CAPABLE of RFC 6824 or RFC 8684, nothing, or an option that nobody knows", Value: zmap.ProbeV1},
			&cli.BoolFlag{Name: "paired", Usage: "send plain, v0, v1 and canary probes, one kind after the other, as one campaign"},
			&cli.StringFlag{Name: "probe-args", Usage: "further `ARGUMENTS` of the probe module, such as key=static:0011223344556677"},
			&cli.StringFlag{Name: "interface", Usage: "network interface `NAME`", DefaultText: "the one towards the targets"},
			&cli.StringFlag{Name: "source-ip", Usage: "source `ADDRESS`", DefaultText: "the interface's"},
			&cli.StringFlag{Name: "gateway-mac", Usage: "`MAC` address of the next hop", DefaultText: "as the kernel knows it"},
			&cli.UintFlag{Name: "rate", Usage: "`PROBES` a second", Value: 1000},
			&cli.UintFlag{Name: "cooldown", Usage: "`SECONDS` to wait for replies after the last probe", Value: 8},
			&cli.StringFlag{Name: "blocklist", Usage: "`FILE` of addresses and CIDRs never to probe", DefaultText: "special-purpose addresses"},
			&cli.UintFlag{Name: "shards", Usage: "`NUMBER` of machines that share the scan", Value: 1},
			&cli.UintFlag{Name: "shard", Usage: "`INDEX` of this machine, from 0"},
			&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` that orders the targets, the same on all machines; required with --shards", DefaultText: "random"},
			&cli.StringFlag{Name: "zmap", Usage: "`PATH` of ZMap", DefaultText: "found"},
		},
		Action: func(c *cli.Context) error { return scan(c, scanTerms{}) },
	}
}

// scanTerms are what mpcensus run asks of a scan beyond its command line. The zero value asks nothing.
type scanTerms struct {
	campaign string                    // that the scan belongs to
	date     string                    // of its partition, if not today's
	spools   string                    // folder for its rows, if not the dataset's
	whole    func(scanID string) error // if not nil: told when all rows are stored, and what breaks off is dropped
}

// pairedProbes are the scans of a campaign, in their order: the control first.
var pairedProbes = []string{zmap.ProbePlain, zmap.ProbeV0, zmap.ProbeV1, zmap.ProbeCanary}

// scanRun is what all scans of one command have in common.
type scanRun struct {
	c       *cli.Context
	dataset *dataset.Dataset
	spools  string // folder
	format  dataset.Format
	zmap    zmap.Installation
	spec    zmap.Scan // Probe and, after the first scan, Seed differ
	targets scanTargets
	terms   scanTerms
}

func scan(c *cli.Context, terms scanTerms) error {
	if err := need(c, "dataset", "port"); err != nil {
		return err
	}
	spec, err := scanSpec(c)
	if err != nil {
		return err
	}
	run := scanRun{c: c, spec: spec, terms: terms}
	if run.format, err = formatOf(c); err != nil {
		return err
	}
	if run.zmap, err = zmap.Find(c.String("zmap")); err != nil {
		return err
	}
	if run.targets, err = targetsOf(c); err != nil {
		return err
	}
	defer run.targets.remove()
	if run.spec.SourceIP.IsValid() && run.spec.SourceIP.Is4() != run.targets.first.Is4() {
		return usageErrorf("--source-ip %s: the targets are of the other family, as %s is", run.spec.SourceIP, run.targets.first)
	}
	run.spec.Targets, run.spec.TargetFile, run.spec.Blocklist = run.targets.permuted, run.targets.file, run.targets.blocklist
	if err := completeRoute(&run.spec, run.targets.first); err != nil {
		return err
	}
	if run.dataset, err = dataset.Open(c.Context, c.String("dataset")); err != nil {
		return err
	}
	defer run.dataset.Close()
	if err := run.dataset.CheckWritable(c.Context); err != nil {
		return err
	}
	if run.spools = cmp.Or(terms.spools, spoolRoot(c, run.dataset)); run.spools == "" {
		return usageErrorf("--spool is missing: the dataset is in an object store, and a scan's rows need a local folder first")
	}
	if !c.Bool("paired") {
		return run.scan(c.String("probe"))
	}
	run.terms.campaign = fmt.Sprintf("%s-%s-%d", time.Now().UTC().Format("20060102T150405.000000Z"), run.targets.family(), spec.Port)
	for i, probe := range pairedProbes {
		if err := run.scan(probe); err != nil {
			return fmt.Errorf("%s scan, %d of %d in campaign %s: %w", probe, i+1, len(pairedProbes), run.terms.campaign, err)
		}
	}
	fmt.Fprintf(c.App.Writer, "campaign %s: %d scans\n", run.terms.campaign, len(pairedProbes))
	return nil
}

// scan runs ZMap once and adds what comes of it to the dataset.
func (run *scanRun) scan(probe string) error {
	c := run.c
	if err := run.targets.unchanged(); err != nil {
		return err
	}
	run.spec.Probe = probe
	// A scan that cannot store its replies must end.
	ctx, stopZMap := context.WithCancel(c.Context)
	defer stopZMap()
	status := newStatusLine()
	defer status.done()
	partition := dataset.Partition{
		Date: cmp.Or(run.terms.date, time.Now().UTC().Format(time.DateOnly)), Family: run.targets.family(), Port: run.spec.Port, Probe: probe,
	}
	scanID := partition.ScanID(time.Now())
	folder := filepath.Join(run.spools, scanID)
	live, err := ingest.BeginLive(folder, ingest.Params{
		Format: run.format, Partition: partition, ToolVersion: version, Provenance: &ingest.Provenance{Started: time.Now()},
	})
	if err != nil {
		return fmt.Errorf("spool for ZMap's rows: %w", err)
	}
	process, err := zmap.Start(ctx, run.zmap, run.spec, status.update, status.message)
	if c.Context.Err() != nil {
		return oneLine(errors.New("interrupted before a probe was sent"), live.Drop())
	}
	if err != nil {
		return oneLine(err, live.Drop())
	}
	run.spec.Seed = process.Seed // of the campaign's other scans too
	if process.NothingToSend {
		status.message(fmt.Sprintf("nothing to send: none of the few targets is in shard %d of %d", run.spec.Shard, run.spec.Shards))
	} else {
		status.message(fmt.Sprintf("scanning port %d with %s probes from %s on %s", run.spec.Port, probe, run.spec.SourceIP, run.spec.Interface))
	}

	provenance := run.provenanceOf(process)
	// Beside the reading of rows: ZMap must not wait for the disk.
	noted := make(chan error, 1)
	go func(p ingest.Provenance) {
		err := live.Begun(p)
		if err != nil {
			stopZMap()
		}
		noted <- err
	}(provenance)
	// The rows end when ZMap does: an interrupt goes to ZMap, and what it had printed is still read.
	spooled, err := live.ReadFrom(process.Rows)
	if err != nil {
		stopZMap()
	}
	if noteErr := <-noted; err == nil {
		err = noteErr
	}
	zmapErr := run.await(process, &provenance)
	if endErr := live.End(provenance); err == nil {
		err = endErr
	}
	for _, warning := range lossWarnings(provenance.Counts, run.spec.Interface) {
		status.message(warning)
	}
	if waited := live.Waited(); waited > 0 {
		status.message(fmt.Sprintf("warning: ZMap had to wait %v for the disk of %s, replies may be lost: name a faster one by --spool", waited.Round(time.Millisecond), folder))
	}
	if run.terms.whole != nil {
		switch {
		case err != nil:
		case c.Context.Err() != nil:
			err = errors.New("interrupted")
		default:
			err = zmapErr
		}
		if err != nil {
			return oneLine(err, os.RemoveAll(folder))
		}
		if err := run.terms.whole(scanID); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("%w: the rows stored so far are in %s; when the cause is gone, %s adds them to the dataset", err, folder, run.resumeCommand())
	}
	if spooled > 0 {
		status.update("adding the replies to the dataset")
	}
	summary, err := ingest.IngestLive(context.WithoutCancel(ctx), run.dataset, folder, nil)
	status.done()
	if summary.Scan.ID != "" {
		fmt.Fprintln(c.App.Writer, summaryText(summary))
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: when the cause is gone, %s adds the scan to the dataset", err, run.resumeCommand())
	case c.Context.Err() != nil:
		return fmt.Errorf("interrupted: the %d replies read so far are in the dataset", summary.Kept)
	case zmapErr != nil:
		return fmt.Errorf("%w; the %d replies read so far are in the dataset", zmapErr, summary.Kept)
	}
	var share shareOfRejects
	share.add("scan "+summary.Scan.ID, summary)
	return share.tooMany(maxRejects)
}

// resumeCommand is what adds the rows in a spool to the dataset. Quoted, for locations have ? and &.
func (run *scanRun) resumeCommand() string {
	command := fmt.Sprintf("mpcensus ingest --resume --dataset '%s'", run.c.String("dataset"))
	if spool := run.c.String("spool"); spool != "" {
		command += fmt.Sprintf(" --spool '%s'", spool)
	}
	return command
}

// provenanceOf is what is known of ZMap's run while it is running.
func (run *scanRun) provenanceOf(process *zmap.Process) ingest.Provenance {
	return ingest.Provenance{
		Started:       process.Started,
		ZMapVersion:   run.zmap.Version,
		ZMapArguments: process.Arguments,
		Seed:          sql.Null[uint64]{V: process.Seed, Valid: true},
		Campaign:      run.terms.campaign,
		TargetsSHA256: run.targets.sha256,
		Targets:       sql.Null[uint64]{V: run.targets.count, Valid: run.targets.count > 0},
	}
}

// await waits for ZMap to end and adds what is known of its run then.
func (run *scanRun) await(process *zmap.Process, p *ingest.Provenance) error {
	result, err := process.Wait()
	// By the monotonic clock: the other may have been set meanwhile.
	p.Finished = p.Started.Add(time.Since(p.Started))
	p.Complete = err == nil
	p.Counts = result.Counts
	if !p.Targets.Valid {
		p.Targets = result.Targets
	}
	return err
}

// lossWarnings tell of probes and replies that were lost on this machine, and what to do about it.
func lossWarnings(n zmap.Counts, iface string) []string {
	var warnings []string
	warn := func(count sql.Null[uint64], format string, args ...any) {
		if count.V > 0 {
			warnings = append(warnings, fmt.Sprintf("warning: "+format, append([]any{count.V}, args...)...))
		}
	}
	warn(n.SendFailures, "%d probes could not be sent, so their targets were not probed: lower --rate, and see that %s stays up", iface)
	warn(n.KernelDrops, "the kernel dropped %d packets before ZMap read them, replies may be among them: lower --rate, or leave the machine more CPU time")
	warn(n.BacklogDrops, "the kernel's receive backlog was full for %d packets of this machine, replies may be among them: lower --rate, or lengthen it (sysctl net.core.netdev_max_backlog)")
	warn(n.InterfaceDrops, "interface %[2]s dropped %[1]d packets, replies may be among them: lower --rate, or enlarge its receive ring (ethtool -G %[2]s rx 4096)", iface)
	return warnings
}

// scanSpec reads and checks what the command line says of a scan, but for its targets.
func scanSpec(c *cli.Context) (zmap.Scan, error) {
	spec, err := sendingSpec(c)
	if err != nil {
		return spec, err
	}
	spec.Shards, spec.Shard = c.Uint("shards"), c.Uint("shard")
	if c.Bool("paired") && c.IsSet("probe") {
		return spec, usageErrorf("--paired sends every kind of probe: leave out --probe %s", c.String("probe"))
	}
	if (c.Bool("paired") || c.String("probe") == zmap.ProbePlain) && slices.Contains(strings.Split(spec.ProbeArgs, ","), "canary=on") {
		return spec, usageErrorf("--probe-args canary=on makes canary probes of plain ones: say --probe canary or, for all kinds, --paired")
	}
	if spec.Shards > 254 || spec.Shard >= spec.Shards {
		return spec, usageErrorf("--shard %d of --shards %d: there can be 254 shards, counted from 0", spec.Shard, spec.Shards)
	}
	// Shards are parts of one permutation.
	if spec.Shards > 1 && spec.Seed == 0 {
		return spec, usageErrorf("--shards %d: name a --seed other than 0, the same on every machine", spec.Shards)
	}
	return spec, nil
}

// sendingSpec reads and checks what scan and trace have in common.
func sendingSpec(c *cli.Context) (zmap.Scan, error) {
	spec := zmap.Scan{
		ProbeArgs:  c.String("probe-args"),
		Interface:  c.String("interface"),
		GatewayMAC: c.String("gateway-mac"),
		Rate:       c.Uint("rate"),
		Cooldown:   c.Uint("cooldown"),
		Shards:     1,
		Seed:       c.Uint64("seed"),
	}
	for _, argument := range strings.Split(spec.ProbeArgs, ",") {
		// A target file named here would go past the blocklist.
		switch name, _, _ := strings.Cut(argument, "="); name {
		case "probe", "targets", "source", "ttl":
			return spec, usageErrorf("--probe-args %s: %s sets it itself, as its other flags say", argument, c.Command.Name)
		}
	}
	var err error
	if spec.Port, err = portOf(c); err != nil {
		return spec, err
	}
	if _, err = probeOf(c); err != nil {
		return spec, err
	}
	if spec.SourceIP, err = sourceOf(c); err != nil {
		return spec, err
	}
	if spec.Rate == 0 {
		return spec, usageErrorf("--rate 0: ZMap would send as fast as it can; name a rate")
	}
	if spec.Rate > math.MaxInt32 || spec.Cooldown >= math.MaxInt32 {
		return spec, usageErrorf("--rate %d, --cooldown %d: ZMap takes numbers below %d", spec.Rate, spec.Cooldown, math.MaxInt32)
	}
	if spec.Seed > math.MaxInt64 {
		return spec, usageErrorf("--seed %d: ZMap takes seeds up to %d", spec.Seed, int64(math.MaxInt64))
	}
	return spec, nil
}

// completeRoute finds out what the user did not say of the way to the targets.
func completeRoute(spec *zmap.Scan, target netip.Addr) error {
	if spec.Interface != "" && spec.SourceIP.IsValid() && spec.GatewayMAC != "" {
		return nil
	}
	route, err := zmap.FindRoute(target, spec.Interface)
	if err != nil && !(errors.Is(err, zmap.ErrNoNextHop) && spec.GatewayMAC != "") {
		return err
	}
	spec.Interface = route.Interface
	if !spec.SourceIP.IsValid() {
		spec.SourceIP = route.Source
	}
	if spec.GatewayMAC == "" {
		spec.GatewayMAC = route.GatewayMAC
	}
	return nil
}
