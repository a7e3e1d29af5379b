// Package ingest turns ZMap's JSON rows into one scan of a dataset.
package ingest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// ErrForeign is the reason to reject a row that belongs to another scan than the rows before it, or
// than Params says.
const ErrForeign zmap.Reason = "foreign"

// Params says where the rows go, and what they do not say themselves.
type Params struct {
	Dataset string
	Format  dataset.Format

	// What all rows of the scan share. What is zero here is taken from the first row.
	Port   uint16
	Probe  string // zmap.ProbeV0, …
	Family string // dataset.IPv4 or dataset.IPv6
	Date   string // UTC date on which the scan began, YYYY-MM-DD

	Input       string // name of the file that is read, "-" for standard input; empty for a scan
	ToolVersion string

	// Provenance tells of the ZMap run that printed the rows. It is called once, when no more rows
	// will be read: at their end, or before it (ended is not nil) when they cannot be stored. Nil for
	// files.
	Provenance func(ended error) Provenance

	// Progress, if not nil, is called now and then.
	Progress func(Counts)
}

// Provenance is what is known of a ZMap run that has ended.
type Provenance struct {
	Started       time.Time
	Finished      time.Time
	Complete      bool // ZMap ended as it should
	ZMapVersion   string
	ZMapArguments []string
	Seed          sql.Null[uint64]
	Campaign      string // empty: none
	TargetsSHA256 string // of the target file, empty if there is none
	Targets       sql.Null[uint64]
	Counts        zmap.Counts
}

// Counts are lines of the input. Read is Kept + Rejected.
type Counts struct {
	Read, Kept, Rejected uint64
}

// Summary says what became of an input.
type Summary struct {
	Counts
	Reasons   map[zmap.Reason]uint64 // the rejected lines by reason
	ScanID    string                 // empty if nothing was added to the dataset
	Partition dataset.Partition
	Rejects   string // path of the rejected lines, empty if there are none
	Complete  bool
}

// UnknownScanError says that nothing tells which scan the rows belong to.
type UnknownScanError struct {
	Line    int64    // the first row, 0 if there is none
	Missing []string // "port", "probe", "family", "date"
	Rejects string   // where the rejected lines are, if there are any
}

func (e *UnknownScanError) Error() string {
	var b strings.Builder
	if e.Line == 0 {
		b.WriteString("no row is of use, and nothing else names")
	} else {
		fmt.Fprintf(&b, "the first row (line %d) does not name", e.Line)
	}
	fmt.Fprintf(&b, " the scan's %s: give --%s", strings.Join(e.Missing, ", "), strings.Join(e.Missing, ", --"))
	if e.Rejects != "" {
		fmt.Fprintf(&b, "; the rejected lines are in %s", e.Rejects)
	}
	return b.String()
}

// Run reads rows to their end and adds them to the dataset as one scan. A line that is not a row of
// the scan is kept apart with the reason; every line is counted.
//
// When the input breaks off, ctx ends or the disk is full, what was read until then is added all the
// same, as an incomplete scan, and the error says why it ended. Ingesting an input again replaces its
// scan by the same bytes, and an incomplete one by one that goes on at least as far; an error that wraps
// dataset.ErrExists says that the dataset has another scan of that name, and leaves it alone. An error of type *UnknownScanError asks for more Params.
//
// When ctx ends while a read of rows blocks, that read is left behind.
func Run(ctx context.Context, rows io.Reader, p Params) (Summary, error) {
	w, err := dataset.NewWriter(p.Dataset, p.Format)
	if err != nil {
		return Summary{}, err
	}
	in := &ingestion{
		params:    p,
		writer:    w,
		partition: dataset.Partition{Date: p.Date, Family: p.Family, Port: p.Port, Probe: p.Probe},
		summary:   Summary{Reasons: map[zmap.Reason]uint64{}},
	}
	err = in.run(ctx, rows)
	return in.summary, oneLine(err, w.Discard())
}

// progressInterval is how often Params.Progress is called at most.
const progressInterval = 200 * time.Millisecond

// ingestion is the state of Run.
type ingestion struct {
	params    Params
	writer    *dataset.Writer
	partition dataset.Partition // what is known of it
	begun     bool              // all of the partition is known
	summary   Summary

	first, last time.Time // of the replies, the earliest and the latest
	keys        keyTally
}

func (in *ingestion) run(ctx context.Context, rows io.Reader) error {
	rows, stop := interruptible(ctx, rows)
	defer stop()
	digest := sha256.New()
	// fatal means that nothing can be committed; ended, why the input was left before its end.
	ended, fatal := in.readAll(zmap.NewRowReader(io.TeeReader(rows, digest)))

	var provenance *Provenance
	if in.params.Provenance != nil {
		known := in.params.Provenance(errors.Join(ended, fatal))
		provenance = &known
	}
	if fatal != nil {
		return fatal
	}
	return oneLine(ended, in.commit(provenance, ended == nil, hex.EncodeToString(digest.Sum(nil))))
}

func (in *ingestion) readAll(lines *zmap.RowReader) (ended, fatal error) {
	reported := time.Now()
	for {
		// First make sure that the line can be stored.
		if err := in.writer.Reserve(); err != nil {
			return err, nil
		}
		line, err := lines.Read()
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return fmt.Errorf("the input broke off after line %d: %w", in.summary.Read, err), nil
		}
		if err := in.take(line); err != nil {
			return nil, err
		}
		if in.params.Progress != nil && in.summary.Read%1024 == 0 && time.Since(reported) >= progressInterval {
			in.params.Progress(in.summary.Counts)
			reported = time.Now()
		}
	}
}

// take stores one line, as a reply or as a reject.
func (in *ingestion) take(line zmap.Line) error {
	reject := line.Err
	if reject == nil {
		reject = in.foreign(line.Row)
	}
	if reject != nil {
		var reason zmap.Reason
		errors.As(reject, &reason)
		r := dataset.Reject{
			Line: line.Number, Offset: line.Offset, Length: line.Length,
			Reason: string(reason), Detail: reject.Error(),
		}
		r.SetRaw(line.Raw)
		in.summary.Read++
		in.summary.Rejected++
		in.summary.Reasons[reason]++
		return in.writer.Reject(r)
	}

	row := line.Row
	if !in.begun {
		if missing := in.complete(row); missing != nil {
			return &UnknownScanError{Line: line.Number, Missing: missing}
		}
		if err := in.begin(row.Time); err != nil {
			return err
		}
	}
	in.summary.Read++
	in.summary.Kept++
	if !row.Time.IsZero() {
		if in.first.IsZero() || row.Time.Before(in.first) {
			in.first = row.Time
		}
		if row.Time.After(in.last) {
			in.last = row.Time
		}
	}
	in.keys.add(row)
	return in.writer.Append(row)
}

// foreign compares a row with what is known of the scan.
func (in *ingestion) foreign(row *zmap.Row) error {
	p := &in.partition
	switch {
	case p.Family != "" && p.Family != family(row.Saddr):
		return fmt.Errorf("%w: saddr is %s, the scan is of %s", ErrForeign, row.Saddr, p.Family)
	case p.Port != 0 && row.Sport.Valid && p.Port != row.Sport.V:
		return fmt.Errorf("%w: sport is %d, the scan is of port %d", ErrForeign, row.Sport.V, p.Port)
	case p.Probe != "" && row.Probe != "" && p.Probe != row.Probe:
		return fmt.Errorf("%w: probe is %s, the scan is of %s", ErrForeign, row.Probe, p.Probe)
	}
	return nil
}

// complete takes from the first row what is not known of the scan, and returns what is missing then.
func (in *ingestion) complete(row *zmap.Row) []string {
	p := &in.partition
	p.Family = family(row.Saddr)
	if p.Port == 0 {
		p.Port = row.Sport.V
	}
	if p.Probe == "" {
		p.Probe = row.Probe
	}
	if p.Date == "" && !row.Time.IsZero() {
		p.Date = row.Time.Format(time.DateOnly)
	}
	return missing(*p)
}

func missing(p dataset.Partition) []string {
	var names []string
	for _, key := range []struct {
		name  string
		known bool
	}{
		{"port", p.Port != 0}, {"probe", p.Probe != ""}, {"family", p.Family != ""}, {"date", p.Date != ""},
	} {
		if !key.known {
			names = append(names, key.name)
		}
	}
	return names
}

func (in *ingestion) begin(start time.Time) error {
	in.begun = true
	in.summary.Partition = in.partition
	return in.writer.Begin(in.partition, in.partition.ScanID(start))
}

func (in *ingestion) commit(provenance *Provenance, toEnd bool, digest string) error {
	s := dataset.Scan{
		Started: in.first, Finished: in.last,
		Complete:    toEnd,
		ToolVersion: in.params.ToolVersion,
		Input:       in.params.Input,
		InputSHA256: digest,
		StaticKey:   in.keys.static(),
		RowsRead:    in.summary.Read, RowsKept: in.summary.Kept, RowsRejected: in.summary.Rejected,
	}
	if provenance != nil {
		s.Started, s.Finished = provenance.Started, provenance.Finished
		s.Complete = toEnd && provenance.Complete
		s.ZMapVersion, s.ZMapArguments = provenance.ZMapVersion, provenance.ZMapArguments
		s.Seed, s.Targets, s.Counts = provenance.Seed, provenance.Targets, provenance.Counts
		s.Campaign, s.TargetsSHA256 = provenance.Campaign, provenance.TargetsSHA256
	}
	in.summary.Complete = s.Complete

	if !in.begun {
		// Not a single reply. The scan counts all the same if something says which one it was.
		if in.partition.Date == "" && !s.Started.IsZero() {
			in.partition.Date = s.Started.UTC().Format(time.DateOnly)
		}
		if missing := missing(in.partition); missing != nil {
			rejects, err := in.writer.CommitRejects(digest)
			in.summary.Rejects = rejects
			return oneLine(&UnknownScanError{Missing: missing, Rejects: rejects}, err)
		}
		if err := in.begin(s.Started); err != nil {
			return err
		}
	}
	if err := in.writer.Commit(s); err != nil {
		return err
	}
	in.summary.ScanID = in.writer.ScanID()
	if in.summary.Rejected > 0 {
		in.summary.Rejects = in.partition.RejectsPath(in.params.Dataset, in.summary.ScanID)
	}
	return nil
}

func family(a netip.Addr) string {
	if a.Is4() {
		return dataset.IPv4
	}
	return dataset.IPv6
}

// keyTally finds out whether every target was sent the same key.
type keyTally struct {
	rows    bool
	key     sql.Null[uint64] // of the first row
	target  netip.Addr       // of the first row
	differ  bool             // another row has another key, or none
	targets bool             // there are several targets
}

func (t *keyTally) add(row *zmap.Row) {
	if !t.rows {
		*t = keyTally{rows: true, key: row.SentKey, target: row.Saddr}
		return
	}
	t.differ = t.differ || row.SentKey != t.key
	t.targets = t.targets || row.Saddr != t.target
}

// static is the one key that every target was sent. The key of a single target may be its own.
func (t *keyTally) static() sql.Null[uint64] {
	if t.differ || !t.targets {
		return sql.Null[uint64]{}
	}
	return t.key
}

// interruptible returns a reader of r that fails when ctx ends, even while a read of r blocks. stop
// ends its goroutine, as soon as r lets it.
func interruptible(ctx context.Context, r io.Reader) (_ io.Reader, stop func()) {
	if ctx.Done() == nil {
		return r, func() {}
	}
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	cancel := context.AfterFunc(ctx, func() { in.CloseWithError(context.Cause(ctx)) })
	return out, func() {
		cancel()
		out.Close()
	}
}

// oneLine joins errors in one line.
func oneLine(first, second error) error {
	switch {
	case first == nil:
		return second
	case second == nil:
		return first
	default:
		return fmt.Errorf("%w; %w", first, second)
	}
}
