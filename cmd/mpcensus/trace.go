package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/ingest"
	"github.com/mpcensus/mpcensus/pipeline/spool"
	"github.com/mpcensus/mpcensus/pipeline/targets"
	"github.com/mpcensus/mpcensus/pipeline/trace"
	"github.com/mpcensus/mpcensus/pipeline/verify"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

func traceCommand() *cli.Command {
	return &cli.Command{
		Name:      "trace",
		Usage:     "find out where on their paths MP_CAPABLE is changed, removed, dropped or answered",
		ArgsUsage: "[ADDRESS|CIDR]...",
		Description: "Sends SYNs of every TTL to each target, plain ones as a control and then those of --probe, and compares what\n" +
			"routers quote of them with what was sent. Writes the tables hops, paths and traces. Without a list it traces\n" +
			"the targets that were potential in the newest complete scan; mpcensus classify then knows the paths.\n\n" +
			"Needs raw sockets, but for --rows. Addresses on the blocklist are never probed; the default is IANA's\n" +
			"special-purpose registries. Interrupted or killed, it leaves the dataset as it was.\n\n" +
			"Examples, the potential hosts of a scan, a list, and rows that ZMap printed elsewhere:\n\n" +
			"  mpcensus trace --dataset census --port 443 --rate 10000 --blocklist my.conf\n" +
			"  mpcensus trace --dataset census --port 80 --probe v0 --ttl 1-30 --targets hosts.txt\n" +
			"  mpcensus trace --dataset census --rows plain.json.zst --rows v1.json.zst",
		Flags: []cli.Flag{
			datasetFlag(),
			&cli.UintFlag{Name: "port", Usage: "target TCP `PORT` (required)", DefaultText: "none; with --rows as the rows say"},
			&cli.StringFlag{Name: "probe", Usage: "what the SYNs carry, and the scan that is followed up: `v0|v1|canary`, or plain for a control alone", Value: zmap.ProbeV1},
			&cli.StringFlag{Name: "family", Usage: "`ipv4|ipv6`", DefaultText: "both, as far as there are targets"},
			&cli.StringFlag{Name: "targets", Usage: "target `FILE` (see mpcensus targets), or a hitlist: addresses and CIDRs, one a line, - is standard input", DefaultText: "potential hosts"},
			&cli.StringSliceFlag{Name: "rows", Usage: "take the rows in `FILE`, of one run of ZMap or several, instead of running ZMap; a pattern of files or - ; may be repeated"},
			&cli.StringFlag{Name: "ttl", Usage: "TTLs to send, `FIRST-LAST`", Value: "1-24"},
			&cli.StringFlag{Name: "probe-args", Usage: "further `ARGUMENTS` of the probe module, such as key=static:0011223344556677"},
			&cli.StringFlag{Name: "interface", Usage: "network interface `NAME`", DefaultText: "the one towards the targets"},
			&cli.StringFlag{Name: "source-ip", Usage: "source `ADDRESS`", DefaultText: "the interface's"},
			&cli.StringFlag{Name: "gateway-mac", Usage: "`MAC` address of the next hop", DefaultText: "as the kernel knows it"},
			&cli.UintFlag{Name: "rate", Usage: "`PROBES` a second", Value: 1000},
			&cli.UintFlag{Name: "cooldown", Usage: "`SECONDS` to wait for answers after the last probe", Value: 8},
			&cli.StringFlag{Name: "blocklist", Usage: "`FILE` of addresses and CIDRs never to probe", DefaultText: "special-purpose addresses"},
			&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` that orders the probes", DefaultText: "random"},
			&cli.StringFlag{Name: "zmap", Usage: "`PATH` of ZMap", DefaultText: "found"},
		},
		Action: runTrace,
	}
}

// sendingFlags are those of trace that say nothing about rows from elsewhere.
var sendingFlags = []string{"targets", "ttl", "probe-args", "interface", "source-ip", "gateway-mac", "rate", "cooldown", "blocklist", "seed", "zmap"}

func runTrace(c *cli.Context) error {
	if err := need(c, "dataset"); err != nil {
		return err
	}
	if strings.Contains(c.String("dataset"), "://") {
		return usageErrorf("--dataset %s: trace writes to local folders", c.String("dataset"))
	}
	if family := c.String("family"); family != "" && family != dataset.IPv4 && family != dataset.IPv6 {
		return usageErrorf("--family %s: it is ipv4 or ipv6", family)
	}
	if c.IsSet("rows") {
		return traceRows(c)
	}
	if err := need(c, "port"); err != nil {
		return err
	}
	return traceTargets(c)
}

// beginTrace makes a campaign of the dataset, which end finishes or drops.
func beginTrace(c *cli.Context) (campaign *trace.Campaign, end func() error, err error) {
	d, err := dataset.Open(c.Context, c.String("dataset"))
	if err != nil {
		return nil, nil, err
	}
	if err = d.CheckWritable(c.Context); err == nil {
		campaign, err = trace.Begin(c.Context, d, version)
	}
	if err != nil {
		return nil, nil, oneLine(err, d.Close())
	}
	return campaign, func() error { return errors.Join(campaign.Close(), d.Close()) }, nil
}

// traceRows traces with rows that ZMap printed elsewhere.
func traceRows(c *cli.Context) (err error) {
	for _, flag := range sendingFlags {
		if c.IsSet(flag) {
			return usageErrorf("--%s is for sending probes, --rows for rows that are there: leave out one", flag)
		}
	}
	if c.Args().Present() {
		return usageErrorf("%s: --rows has the targets: name further files by --rows, too", c.Args().First())
	}
	want := trace.Filter{Kind: trace.Kind{Family: c.String("family")}, Controls: true}
	if c.IsSet("port") {
		if want.Port, err = portOf(c); err != nil {
			return err
		}
	}
	if c.IsSet("probe") {
		if want.Probe, err = probeOf(c); err != nil {
			return err
		}
	}
	inputs, err := inputNames(c.StringSlice("rows"))
	if err != nil {
		return err
	}
	for i, name := range inputs {
		if slices.Contains(inputs[:i], name) {
			return usageErrorf("--rows: %s is named twice", name)
		}
	}
	campaign, end, err := beginTrace(c)
	if err != nil {
		return err
	}
	defer func() { err = joined(err, end()) }()
	status := newStatusLine()
	defer status.done()
	campaign.Progress = status.update
	for _, name := range inputs {
		if err := addRows(c.Context, campaign, name, want); err != nil {
			return interruptedTrace(c, err)
		}
	}
	return commitTrace(c, campaign, status)
}

func addRows(ctx context.Context, campaign *trace.Campaign, name string, want trace.Filter) error {
	rows, err := openInput(ctx, name)
	if err != nil {
		return err
	}
	defer rows.Close()
	return campaign.AddFile(ctx, name, rows, want)
}

// joined is the first error; the second adds to it, if there is one.
func joined(first, second error) error {
	if first == nil {
		return second
	}
	return oneLine(first, second)
}

// interruptedTrace says what an interrupt leaves.
func interruptedTrace(c *cli.Context, err error) error {
	if c.Context.Err() != nil {
		return errors.New("interrupted: the dataset is as it was")
	}
	return err
}

// commitTrace adds a campaign to the dataset, and says what is in it.
func commitTrace(c *cli.Context, campaign *trace.Campaign, status *statusLine) error {
	summaries, err := campaign.Commit(c.Context, func(kinds []trace.Kind, earliest time.Time) (string, error) {
		return dateOfRows(c, kinds, earliest)
	})
	status.done()
	if err != nil {
		return interruptedTrace(c, err)
	}
	var share shareOfRejects
	for _, s := range summaries {
		fmt.Fprintln(c.App.Writer, traceText(s))
		summary := ingest.Summary{Counts: ingest.Counts{Read: s.Read, Kept: s.Kept, Rejected: s.Rejected}}
		if s.Rejects != "" {
			summary.Rejects = []string{s.Rejects}
		}
		share.add("trace "+s.TraceID, summary)
	}
	return share.tooMany(maxRejects)
}

// traceText reads: 20261123T081500.123456Z-trace-ipv4-443-v1: read 480 = kept 480 + rejected 0; 20 paths: removed 3, kept 17
func traceText(s trace.Summary) string {
	text := fmt.Sprintf("%s: read %d = kept %d + rejected %d", s.TraceID, s.Read, s.Kept, s.Rejected)
	var reasons, findings []string
	for reason, n := range s.Reasons {
		reasons = append(reasons, fmt.Sprintf("%s %d", reason, n))
	}
	if reasons != nil {
		slices.Sort(reasons)
		text += " (" + strings.Join(reasons, ", ") + ")"
	}
	for _, finding := range trace.Findings {
		if n := s.Findings[finding]; n > 0 {
			findings = append(findings, fmt.Sprintf("%s %d", finding, n))
		}
	}
	return text + fmt.Sprintf("; %d paths: %s", s.Paths, strings.Join(findings, ", "))
}

// dateOfRows is the date of the newest scan that rows from elsewhere can have followed up; if there is none, that of
// the rows.
func dateOfRows(c *cli.Context, kinds []trace.Kind, earliest time.Time) (string, error) {
	db, err := dataset.OpenDuckDB(c.Context, c.String("dataset"), dataset.DuckDBOptions{})
	if err != nil {
		return "", err
	}
	defer db.Close()
	date, ok, err := trace.ScanDate(c.Context, db, kinds, earliest)
	switch {
	case err != nil:
		return "", err
	case ok:
		return date, nil
	case earliest.IsZero():
		return "", fmt.Errorf("no row has a time, and the dataset has no scan of %s port %d that it could belong to: add the scan first", kinds[0].Family, kinds[0].Port)
	default:
		return earliest.UTC().Format(time.DateOnly), nil
	}
}

// traceRun is what all ZMap runs of one command have in common.
type traceRun struct {
	c           *cli.Context
	zmap        zmap.Installation
	spec        zmap.Scan // of the family that is traced
	probe       string
	first, last uint8 // TTLs
	campaign    *trace.Campaign
	status      *statusLine
}

// followed is what is traced of a family.
type followed struct {
	family, date string
	targets      scanTargets
}

func traceTargets(c *cli.Context) (err error) {
	run := traceRun{c: c, probe: c.String("probe")}
	if run.spec, err = sendingSpec(c); err != nil {
		return err
	}
	if slices.Contains(strings.Split(run.spec.ProbeArgs, ","), "canary=on") {
		return usageErrorf("--probe-args canary=on would make canary probes of the plain control: say --probe canary")
	}
	run.spec.ProbeArgs = inOneFlow(run.spec.ProbeArgs)
	if run.first, run.last, err = zmap.ParseTTLs(c.String("ttl")); err != nil {
		return usageErrorf("--ttl: %v", err)
	}
	all, err := run.followed()
	for _, f := range all {
		defer f.targets.remove()
	}
	if err != nil {
		return err
	}
	if run.zmap, err = zmap.Find(c.String("zmap")); err != nil {
		return err
	}
	campaign, end, err := beginTrace(c)
	if err != nil {
		return err
	}
	defer func() { err = joined(err, end()) }()
	run.campaign, run.status = campaign, newStatusLine()
	defer run.status.done()
	campaign.Progress = run.status.update
	for _, f := range all {
		if err := run.trace(f); err != nil {
			return interruptedTrace(c, err)
		}
	}
	return commitTrace(c, campaign, run.status)
}

// inOneFlow adds to arguments of the probe module that all runs are to send to a target from the same port (IPv6: with
// the same flow label, too): probes and control take the same path then where routers balance load by flow. Else one of
// another length would look like a box that answers in the host's place.
func inOneFlow(probeArgs string) string {
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails
	return strings.TrimPrefix(probeArgs+",flow="+hex.EncodeToString(secret[:]), ",")
}

// followed finds out what is to be traced: a list, or the potential hosts of both families.
func (run *traceRun) followed() ([]*followed, error) {
	c := run.c
	blocklist, err := blocklistOf(c)
	if err != nil {
		return nil, fmt.Errorf("no trace without a blocklist: %w", err)
	}
	db, err := dataset.OpenDuckDB(c.Context, c.String("dataset"), dataset.DuckDBOptions{})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if c.Args().Present() || c.IsSet("targets") {
		f, err := run.listed(db, blocklist)
		return []*followed{f}, err
	}
	var all []*followed
	for _, family := range []string{dataset.IPv4, dataset.IPv6} {
		if asked := c.String("family"); asked != "" && asked != family {
			continue
		}
		date, ok, err := verify.NewestPotential(c.Context, db, family, run.spec.Port, run.probe)
		if err != nil {
			return all, err
		}
		if !ok {
			continue
		}
		f := &followed{family: family, date: date}
		all = append(all, f)
		if err := run.potential(db, f, blocklist); err != nil {
			return all, err
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no targets: %s has no complete scan of port %d with probe %s and potential hosts (mpcensus scan, then classify), and none are named",
			c.String("dataset"), run.spec.Port, run.probe)
	}
	return all, nil
}

// listed takes the targets that are named.
func (run *traceRun) listed(db *sql.DB, blocklist *targets.Blocklist) (*followed, error) {
	c, f := run.c, &followed{}
	var err error
	switch list := c.String("targets"); {
	case c.Args().Present() && list != "":
		return f, usageErrorf("targets are named both as arguments and by --targets %s: choose one", list)
	case list != "":
		err = f.targets.read(c, list, blocklist)
	default:
		for _, text := range c.Args().Slice() {
			if _, err := parseTarget(text); err != nil {
				return f, usageErrorf("%v", err)
			}
		}
		text := strings.NewReader(strings.Join(c.Args().Slice(), "\n"))
		err = f.targets.build(c, targets.Input{Name: "command line", Text: text}, blocklist)
	}
	if err != nil {
		return f, err
	}
	f.family = f.targets.family()
	if asked := c.String("family"); asked != "" && asked != f.family {
		return f, usageErrorf("--family %s: the targets are of %s", asked, f.family)
	}
	var ok bool
	if f.date, ok, err = verify.NewestDate(c.Context, db, f.family, run.spec.Port, run.probe); !ok {
		f.date = time.Now().UTC().Format(time.DateOnly)
	}
	return f, err
}

// potential takes the potential hosts of a scan as targets.
func (run *traceRun) potential(db *sql.DB, f *followed, blocklist *targets.Blocklist) error {
	partition := dataset.Partition{Date: f.date, Family: f.family, Port: run.spec.Port, Probe: run.probe}
	hosts, in := io.Pipe()
	defer hosts.Close()
	go func() {
		buffered := bufio.NewWriter(in)
		err := verify.WritePotential(run.c.Context, db, partition, buffered)
		in.CloseWithError(errors.Join(err, buffered.Flush()))
	}()
	return f.targets.build(run.c, targets.Input{Name: "potential hosts of " + f.date, Text: hosts}, blocklist)
}

// trace sends the control and the probes to the targets of a family.
func (run *traceRun) trace(f *followed) error {
	spec := run.spec
	if spec.SourceIP.IsValid() && familyName(spec.SourceIP) != f.family {
		return usageErrorf("--source-ip %s: the targets are of the other family, as %s is; say --family", spec.SourceIP, f.targets.first)
	}
	ttls := uint64(run.last-run.first) + 1
	if f.targets.count > targets.MaxCount/ttls {
		return fmt.Errorf("%d targets, a trace with %d TTLs takes %d: trace parts of them, by --targets", f.targets.count, ttls, targets.MaxCount/ttls)
	}
	spec.FirstTTL, spec.LastTTL = run.first, run.last
	spec.TargetFile, spec.Blocklist = f.targets.file, f.targets.blocklist
	spec.Targets = targets.IndexCIDRs(f.targets.count * ttls)
	if err := completeRoute(&spec, f.targets.first); err != nil {
		return err
	}
	kinds := []string{zmap.ProbePlain, run.probe}
	for _, probe := range slices.Compact(kinds) {
		spec.Probe = probe
		if err := run.probes(f, &spec); err != nil {
			return err
		}
	}
	return nil
}

func familyName(a netip.Addr) string {
	if a.Is4() {
		return dataset.IPv4
	}
	return dataset.IPv6
}

// probes runs ZMap once.
func (run *traceRun) probes(f *followed, spec *zmap.Scan) error {
	if err := f.targets.unchanged(); err != nil {
		return err
	}
	ctx, stopZMap := context.WithCancel(run.c.Context)
	defer stopZMap()
	process, err := zmap.Start(ctx, run.zmap, *spec, run.status.update, run.status.message)
	if err != nil {
		return err
	}
	// Control and probes in the same order: routers that limit how often they answer treat them alike.
	spec.Seed = process.Seed
	run.status.message(fmt.Sprintf("tracing %d targets (%s, port %d) with %s probes of TTL %d to %d from %s on %s",
		f.targets.count, f.family, spec.Port, spec.Probe, run.first, run.last, spec.SourceIP, spec.Interface))
	path := run.campaign.Path(f.family + "-" + spec.Probe + ".zst")
	waited, err := keepRows(path, process.Rows)
	if err != nil {
		stopZMap()
		_, _ = io.Copy(io.Discard, process.Rows)
	}
	result, zmapErr := process.Wait()
	if err = joined(err, zmapErr); err == nil {
		err = run.c.Context.Err()
	}
	if err != nil {
		return err
	}
	traced := trace.Run{
		Kind: trace.Kind{Family: f.family, Port: spec.Port, Probe: spec.Probe}, Date: f.date,
		FirstTTL: run.first, LastTTL: run.last,
		TargetFile: f.targets.file, Targets: f.targets.count, TargetsSHA256: f.targets.sha256,
		Started: process.Started, Finished: process.Started.Add(time.Since(process.Started)),
		ZMapVersion: run.zmap.Version, ZMapArguments: process.Arguments, Seed: process.Seed, Counts: result.Counts,
	}
	for _, warning := range lossWarnings(traced.Counts, spec.Interface) {
		run.status.message(warning)
	}
	if waited > 0 {
		run.status.message(fmt.Sprintf("warning: ZMap had to wait %v for the disk of %s, answers may be lost", waited.Round(time.Millisecond), path))
	}
	rows, err := spool.Open(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer rows.Close()
	return run.campaign.AddRun(run.c.Context, traced, rows)
}

// keepRows puts ZMap's rows into a spool until their end, and says how long ZMap had to wait.
func keepRows(path string, rows io.Reader) (time.Duration, error) {
	out, err := spool.Create(path)
	if err != nil {
		return 0, err
	}
	_, err = out.ReadFrom(rows)
	return out.Waited(), joined(err, out.Close())
}
