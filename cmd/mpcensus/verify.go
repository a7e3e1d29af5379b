package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/targets"
	"github.com/mpcensus/mpcensus/pipeline/verify"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "make real MPTCP connections to potential hosts, each beside one of plain TCP",
		ArgsUsage: "[ADDRESS|CIDR]...",
		Description: "Fetches / by HTTP, on port 443 over TLS, with the kernel's MPTCP and with plain TCP, and writes what came\n" +
			"of each connection into the table grabs. Without a list it connects to the targets that were potential in\n" +
			"the newest complete scans. Names are never looked up, redirects never followed, certificates not verified.\n" +
			"A host has one connection of ours at a time. net.mptcp.blackhole_timeout must be 0.\n\n" +
			"It prints at its start by when it ends. A family's connections are added to the dataset when all of them are\n" +
			"made: interrupted or killed, it leaves nothing of those.\n\n" +
			"Examples:\n\n" +
			"  mpcensus verify --dataset census --port 443\n" +
			"  mpcensus verify --dataset census --port 80 --rounds 5 --blocklist my.conf --targets hosts.txt",
		Flags: []cli.Flag{
			datasetFlag(),
			&cli.UintFlag{Name: "port", Usage: "target TCP `PORT` (required)", DefaultText: "none"},
			&cli.StringFlag{Name: "probe", Usage: "the scan that is followed up: `v1`, the version that kernels speak", Value: zmap.ProbeV1},
			&cli.StringFlag{Name: "family", Usage: "`ipv4|ipv6`", DefaultText: "both, as far as there are targets"},
			&cli.StringFlag{Name: "targets", Usage: "target `FILE` (see mpcensus targets), or a hitlist: addresses and CIDRs, one a line, - is standard input", DefaultText: "potential hosts"},
			&cli.StringFlag{Name: "protocol", Usage: "`http|tls`: HTTP, or HTTP over TLS", DefaultText: "tls on port 443, else http"},
			&cli.IntFlag{Name: "rounds", Usage: "`NUMBER` of connections of each kind to a target", Value: 3},
			&cli.StringFlag{Name: "blocklist", Usage: "`FILE` of addresses and CIDRs never to connect to", DefaultText: "special-purpose addresses"},
			&cli.IntFlag{Name: "rate", Usage: "`CONNECTIONS` begun a second", Value: 100},
			&cli.IntFlag{Name: "connections", Usage: "`NUMBER` of connections at once", Value: 256},
			&cli.DurationFlag{Name: "connect-timeout", Usage: "`TIME` to wait for a connection, more than 4s: without an answer the kernel goes on without MPTCP after 3.1s", Value: 6 * time.Second},
			&cli.DurationFlag{Name: "timeout", Usage: "`TIME` that a connection has in all", Value: 15 * time.Second},
			&cli.Int64Flag{Name: "max-response", Usage: "`BYTES` to read of a response", Value: 256 << 10},
		},
		Action: verifyTargets,
	}
}

// verifyRun is what the verifications of one command have in common.
type verifyRun struct {
	c         *cli.Context
	dir       string
	blocklist *targets.Blocklist
	list      string // file of targets; empty: those named, or the potential ones
	params    verify.Params
	blocked   error // of a family without any target that is not on the blocklist
}

func verifyTargets(c *cli.Context) error {
	if err := need(c, "dataset", "port"); err != nil {
		return err
	}
	run := verifyRun{c: c, dir: c.String("dataset"), list: c.String("targets")}
	families, err := run.flags()
	if err != nil {
		return err
	}
	if strings.Contains(run.dir, "://") {
		return usageErrorf("--dataset %s: verify writes to local folders", run.dir)
	}
	if run.blocklist, err = blocklistOf(c); err != nil {
		return fmt.Errorf("no connections without a blocklist: %w", err)
	}
	if err := verify.CheckKernel(); err != nil {
		return err
	}
	if run.list == "-" {
		if run.list, err = keepInput(os.Stdin); err != nil {
			return err
		}
		defer os.Remove(run.list)
	}
	connected := false
	for _, family := range families {
		ok, err := run.family(family)
		if err != nil {
			return err
		}
		connected = connected || ok
	}
	if !connected && run.blocked != nil {
		return run.blocked
	}
	if !connected {
		return fmt.Errorf("no targets: %s has no complete scan of port %d with probe v1 and potential hosts (mpcensus scan, then classify), and none are named",
			run.dir, run.params.Port)
	}
	return nil
}

// keepInput puts a list into a file, as each family's run reads it anew.
func keepInput(list io.Reader) (name string, err error) {
	file, err := os.CreateTemp("", "mpcensus-*.txt")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(file, list)
	if err = errors.Join(err, file.Close()); err != nil {
		os.Remove(file.Name())
	}
	return file.Name(), err
}

// flags reads the command line, and returns the families that it asks for.
func (run *verifyRun) flags() ([]string, error) {
	c, p := run.c, &run.params
	var err error
	if p.Port, err = portOf(c); err != nil {
		return nil, err
	}
	if p.Probe = c.String("probe"); p.Probe != zmap.ProbeV1 {
		return nil, usageErrorf("--probe %s: it is v1, the only version that kernels speak", p.Probe)
	}
	if c.Args().Present() && run.list != "" {
		return nil, usageErrorf("targets are named both as arguments and by --targets %s: choose one", run.list)
	}
	p.Protocol = c.String("protocol")
	if p.Protocol == "" {
		p.Protocol = verify.HTTP
		if p.Port == 443 {
			p.Protocol = verify.TLS
		}
	}
	p.Rounds, p.Rate, p.Connections = c.Int("rounds"), c.Int("rate"), c.Int("connections")
	p.ConnectTimeout, p.Timeout, p.MaxResponse = c.Duration("connect-timeout"), c.Duration("timeout"), c.Int64("max-response")
	if p.ConnectTimeout <= verify.MinConnectTimeout {
		return nil, usageErrorf("--connect-timeout %v: more than %v, or hosts that swallow MPTCP's SYNs look unreachable", p.ConnectTimeout, verify.MinConnectTimeout)
	}
	if err := p.Validate(); err != nil {
		return nil, usageErrorf("%v", err)
	}
	p.ToolVersion, p.Arguments = version, run.arguments()
	families := []string{dataset.IPv4, dataset.IPv6}
	switch family := c.String("family"); {
	case family == "":
		return families, nil
	case slices.Contains(families, family):
		return []string{family}, nil
	default:
		return nil, usageErrorf("--family %s: it is ipv4 or ipv6", family)
	}
}

// arguments are the options in effect that bear on what is sent.
func (run *verifyRun) arguments() []string {
	c, p := run.c, run.params
	arguments := []string{
		fmt.Sprintf("--port=%d", p.Port), "--protocol=" + p.Protocol, fmt.Sprintf("--rounds=%d", p.Rounds),
		fmt.Sprintf("--rate=%d", p.Rate), fmt.Sprintf("--connections=%d", p.Connections),
		fmt.Sprintf("--connect-timeout=%v", p.ConnectTimeout), fmt.Sprintf("--timeout=%v", p.Timeout),
		fmt.Sprintf("--max-response=%d", p.MaxResponse),
	}
	for _, name := range []string{"family", "blocklist", "targets"} {
		if value := c.String(name); value != "" {
			arguments = append(arguments, "--"+name+"="+value)
		}
	}
	return append(arguments, c.Args().Slice()...)
}

// listed says whether the targets are named.
func (run *verifyRun) listed() bool { return run.list != "" || run.c.Args().Present() }

// family verifies the targets of one family; not ok if there are none.
func (run *verifyRun) family(family string) (ok bool, err error) {
	ctx := run.c.Context
	db, err := dataset.OpenDuckDB(ctx, run.dir, dataset.DuckDBOptions{})
	if err != nil {
		return false, err
	}
	defer db.Close()
	p := run.params
	p.Family = family
	date, scanned, err := run.date(ctx, db, p.Partition)
	if err != nil || !scanned {
		return false, err
	}
	p.Date = date
	file, blocked, err := run.targets(ctx, db, p.Partition)
	if err != nil || file == nil {
		return false, err
	}
	defer file.Close()
	p.Targets, p.Blocked = file, blocked
	return true, run.verify(ctx, db, p)
}

// date is that of the scan that is followed up; not ok if there is none to follow.
func (run *verifyRun) date(ctx context.Context, db *sql.DB, p dataset.Partition) (string, bool, error) {
	if !run.listed() {
		return verify.NewestPotential(ctx, db, p.Family, p.Port, p.Probe)
	}
	date, ok, err := verify.NewestDate(ctx, db, p.Family, p.Port, p.Probe)
	if !ok {
		date = time.Now().UTC().Format(time.DateOnly)
	}
	return date, true, err
}

// targets are those to connect to, and how many the blocklist leaves out; nil if there are none of the
// family.
func (run *verifyRun) targets(ctx context.Context, db *sql.DB, p dataset.Partition) (*targets.File, uint64, error) {
	if run.list != "" {
		indexed, err := targets.IsTargetFile(run.list)
		if err != nil {
			return nil, 0, err
		}
		if indexed {
			return run.open(p.Family)
		}
	}
	hitlist, err := run.hitlist(ctx, db, p)
	if err != nil {
		return nil, 0, err
	}
	defer hitlist.Text.(io.Closer).Close()
	file, err := os.CreateTemp("", "mpcensus-*.targets")
	if err != nil {
		return nil, 0, err
	}
	defer os.Remove(file.Name()) // open, it stays until it is closed
	file.Close()
	family := targets.IPv4
	if p.Family == dataset.IPv6 {
		family = targets.IPv6
	}
	summary, err := buildTargets(ctx, file.Name(), targets.Params{Inputs: []targets.Input{hitlist}, Blocklist: run.blocklist, Family: family})
	blocked := summary.Written == 0 && summary.Blocked > 0
	otherFamily := summary.Addresses == 0 && summary.OtherFamily > 0
	if err != nil && ctx.Err() == nil && (blocked || otherFamily) && run.c.String("family") == "" {
		if blocked { // no reason to leave out the other family
			fmt.Fprintf(os.Stderr, "%s: %s\n", hitlist.Name, targetsText(summary))
			run.blocked = err
		}
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", hitlist.Name, targetsText(summary))
	opened, err := targets.Open(file.Name())
	return opened, summary.Blocked, err
}

// open takes a target file, if nothing in it is on the blocklist; nil if it is of the other family.
func (run *verifyRun) open(family string) (*targets.File, uint64, error) {
	file, err := targets.Open(run.list)
	if err != nil {
		return nil, 0, err
	}
	if file.Family.String() != family {
		return nil, 0, file.Close()
	}
	var blocked uint64
	var which netip.Addr
	if err = run.blocklist.Check(file.Family); err == nil {
		blocked, which, err = file.Blocked(run.blocklist)
	}
	if err == nil && blocked > 0 {
		err = fmt.Errorf("%s: %d of %d targets are on the blocklist, the first is %s: build the file with this blocklist (mpcensus targets build --blocklist)",
			run.c.String("targets"), blocked, file.Count, which)
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, 0, nil
}

// hitlist is the list of targets as text, which can be closed.
func (run *verifyRun) hitlist(ctx context.Context, db *sql.DB, p dataset.Partition) (targets.Input, error) {
	switch {
	case run.list != "":
		file, err := os.Open(run.list)
		return targets.Input{Name: run.c.String("targets"), Text: file}, err
	case run.listed():
		text := strings.NewReader(strings.Join(run.c.Args().Slice(), "\n"))
		return targets.Input{Name: "command line", Text: io.NopCloser(text)}, nil
	}
	out, in := io.Pipe()
	go func() {
		buffered := bufio.NewWriter(in)
		err := verify.WritePotential(ctx, db, p, buffered)
		in.CloseWithError(errors.Join(err, buffered.Flush()))
	}()
	return targets.Input{Name: "potential hosts of " + p.Date, Text: out}, nil
}

// verify connects to the targets of one family, and prints what came of it.
func (run *verifyRun) verify(ctx context.Context, db *sql.DB, p verify.Params) error {
	status := newStatusLine()
	defer status.done()
	status.message(fmt.Sprintf("verifying %d targets (%s, port %d, %s): %d rounds of an MPTCP and a TCP connection each; ends in %v at the latest",
		p.Targets.Count, p.Family, p.Port, p.Protocol, p.Rounds, p.Bound().Round(time.Second)))
	p.Progress = func(done, all uint64) { status.update(fmt.Sprintf("connections: %d of %d", done, all)) }
	result, err := verify.Run(ctx, db, run.dir, p)
	status.done()
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("interrupted: no connection by %s was added to the dataset", p.Family)
	}
	if err != nil {
		return err
	}
	// What is in the dataset is told, even if an interrupt came meanwhile.
	if err := run.print(context.WithoutCancel(ctx), result.ID, p); err != nil {
		return err
	}
	if result.Stopped != nil {
		return fmt.Errorf("%s: ended early, %d of %d connections were skipped: %w", result.ID, result.Skipped, result.Rows, result.Stopped)
	}
	return nil
}

// print summarizes a verification.
func (run *verifyRun) print(ctx context.Context, id string, p verify.Params) error {
	// Opened anew, for only then is the new file seen.
	db, err := dataset.OpenDuckDB(ctx, run.dir, dataset.DuckDBOptions{})
	if err != nil {
		return err
	}
	defer db.Close()
	s, err := verify.Summarize(ctx, db, id)
	if err != nil {
		return err
	}
	ratios, err := verify.Ratios(ctx, db, "grabs WHERE verification_id = "+dataset.Literal(id))
	if err != nil {
		return err
	}
	out := run.c.App.Writer
	fmt.Fprintf(out, "%s: targets %d = MPTCP proven %d + fell back after connect %d + fell back at connect %d + no response %d + unreachable %d + skipped %d; blocked %d\n",
		id, s.Targets, s.Proven, s.AfterConnect, s.AtConnect, s.NoResponse, s.Unreachable, s.Skipped, p.Blocked)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "MPTCP : TCP\ttargets\tmedian ratio\t%.0f %% interval\t\n", 100*verify.Confidence)
	for _, r := range ratios {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t\n", r.Quantity, r.Targets, ratioText(r.Median), intervalText(r))
	}
	return table.Flush()
}

func ratioText(ratio float64) string {
	if math.IsNaN(ratio) {
		return "–"
	}
	return fmt.Sprintf("%.3f", ratio)
}

func intervalText(r verify.Ratio) string {
	if math.IsNaN(r.Low) {
		return "too few targets"
	}
	return fmt.Sprintf("%.3f–%.3f", r.Low, r.High)
}
