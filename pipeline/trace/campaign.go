package trace

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/store"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// Run is a ZMap run of a trace.
type Run struct {
	Kind
	Date              string // of the partition that it lies in
	FirstTTL, LastTTL uint8
	TargetFile        string // whose targets have a path even if nothing answered
	Targets           uint64
	TargetsSHA256     string
	Started, Finished time.Time
	ZMapVersion       string
	ZMapArguments     []string
	Seed              uint64
	Counts            zmap.Counts
}

// Summary says what became of a run.
type Summary struct {
	TraceID  string
	Kind     Kind
	Date     string
	Read     uint64 // lines: Kept + Rejected
	Kept     uint64
	Rejected uint64
	Reasons  map[zmap.Reason]uint64
	Rejects  string // file in the dataset; empty: nothing was rejected
	Paths    uint64
	Findings map[string]uint64 // paths by finding
}

// Campaign is a trace in the making: a probe and its control, in a folder of their own that no reader of the dataset
// looks into. Commit adds it to the dataset as a whole. Close must be called.
type Campaign struct {
	// Progress, if not nil, is called now and then with what is going on.
	Progress func(text string)

	toolVersion string
	store       store.Store
	id          string // of the folder
	folder      string
	unlock      func() error
	sorter      *sorter
	inputs      []*input
	runs        []*Run // beside inputs; nil for a file of rows
}

const (
	unfinishedFolder = "unfinished" // of package dataset
	stagePrefix      = "trace-"
	movesFile        = "moves.json"
)

// Begin makes the folder. Before, it finishes or removes what killed traces left.
func Begin(ctx context.Context, d *dataset.Dataset, toolVersion string) (*Campaign, error) {
	unfinished, ok := d.LocalUnfinished()
	if !ok {
		return nil, errors.New("a trace is made in a folder of this machine: name its path by --dataset, and copy it to the object store")
	}
	s, err := store.Open(ctx, filepath.Dir(unfinished))
	if err != nil {
		return nil, err
	}
	if err := recoverDead(ctx, d, s, unfinished); err != nil {
		return nil, err
	}
	c := &Campaign{toolVersion: toolVersion, store: s}
	c.id = fmt.Sprintf("%s%s-%d", stagePrefix, time.Now().UTC().Format("20060102T150405.000000Z"), os.Getpid())
	// Close unlocks after an interrupt, too.
	if c.unlock, err = d.Stage(c.id).Lock(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	c.folder = filepath.Join(unfinished, c.id)
	c.sorter = &sorter{folder: c.folder, runSize: defaultRunSize}
	return c, nil
}

// recoverDead finishes traces whose processes died when all was decided, and removes the others.
func recoverDead(ctx context.Context, d *dataset.Dataset, s store.Store, unfinished string) error {
	entries, err := os.ReadDir(unfinished)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), stagePrefix) {
			continue
		}
		unlock, err := d.Stage(entry.Name()).Lock(ctx)
		if errors.Is(err, dataset.ErrBusy) {
			continue
		}
		if err == nil {
			err = finish(ctx, s, filepath.Join(unfinished, entry.Name()))
			err = errors.Join(err, unlock())
		}
		if err != nil {
			return fmt.Errorf("what an earlier trace left: %w", err)
		}
	}
	return nil
}

// move is a file that is to get its place in the dataset.
type move struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// finish carries out what a folder says is to be moved, and removes the folder.
func finish(ctx context.Context, s store.Store, folder string) error {
	text, err := os.ReadFile(filepath.Join(folder, movesFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var moves []move
	if err == nil {
		if err := json.Unmarshal(text, &moves); err != nil {
			return fmt.Errorf("%s: %w: remove the folder, and trace again", filepath.Join(folder, movesFile), err)
		}
	}
	for _, m := range moves {
		// What is gone has been moved already.
		if err := s.Move(ctx, m.From, m.To); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Without the list nobody would finish what it says; so it goes last but the folder.
	return os.RemoveAll(folder)
}

// Path is where a file of the caller's can be until Close.
func (c *Campaign) Path(name string) string { return filepath.Join(c.folder, name) }

// Close removes what was not committed.
func (c *Campaign) Close() error {
	err := errors.Join(os.RemoveAll(c.folder), c.unlock(), c.store.Close())
	_ = os.Remove(filepath.Dir(c.folder)) // unless others are at work there
	return err
}

func (c *Campaign) progress(format string, args ...any) {
	if c.Progress != nil {
		c.Progress(fmt.Sprintf(format, args...))
	}
}

// AddRun takes the rows that ZMap printed in a run.
func (c *Campaign) AddRun(ctx context.Context, run Run, rows io.Reader) error {
	_, err := c.add(ctx, "", rows, Filter{Kind: run.Kind})
	c.runs[len(c.runs)-1] = &run
	return err
}

// AddFile takes rows that ZMap printed elsewhere, of one run or several.
func (c *Campaign) AddFile(ctx context.Context, name string, rows io.Reader, want Filter) error {
	in, err := c.add(ctx, name, rows, want)
	if err == nil && in.lines == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (c *Campaign) add(ctx context.Context, name string, rows io.Reader, want Filter) (*input, error) {
	number := len(c.inputs)
	r := &reader{
		number: uint64(number), want: want, sorter: c.sorter, rejectsPath: c.Path(fmt.Sprintf("rejects-%05d.jsonl", number)),
		progress: func(lines uint64) { c.progress("%s: read %d rows", cmp.Or(name, want.Probe), lines) },
	}
	in, err := r.readRows(ctx, name, rows)
	c.inputs, c.runs = append(c.inputs, in), append(c.runs, nil)
	return in, err
}

// made is a run with all that it becomes in the dataset.
type made struct {
	Run
	id, input string
	kept      uint64
	hops      string // files; empty: none
	paths     string
	evidence  string
	rejects   []*input
	pathsRows uint64
	findings  map[string]uint64
	row       string // file of its row of `traces`
	partition dataset.Partition
	fromFile  bool
}

// DateOf gives the date of the partition for a run from files: kinds is its own, or for a control those of all runs of
// its family and port. earliest is when the first answer to any of them came, zero if no row says.
type DateOf func(kinds []Kind, earliest time.Time) (string, error)

// Commit makes the tables of all that was added, and adds them to the dataset as one campaign.
func (c *Campaign) Commit(ctx context.Context, dateOf DateOf) ([]Summary, error) {
	runs, err := c.collectRuns()
	if err == nil {
		err = nameRuns(runs, dateOf)
	}
	if err != nil {
		return nil, err
	}
	if err := c.buildHops(ctx, runs); err != nil {
		return nil, err
	}
	if err := c.buildPaths(ctx, runs); err != nil {
		return nil, err
	}
	summaries, err := c.decide(ctx, runs)
	if err != nil {
		return nil, err
	}
	return summaries, finish(context.WithoutCancel(ctx), c.store, c.folder)
}

// collectRuns lists the runs, of ZMap and in files, the controls first.
func (c *Campaign) collectRuns() ([]*made, error) {
	var runs []*made
	find := func(kind Kind) *made {
		at := slices.IndexFunc(runs, func(m *made) bool { return m.Kind == kind })
		if at < 0 {
			runs = append(runs, &made{Run: Run{Kind: kind}, fromFile: true})
			at = len(runs) - 1
		}
		return runs[at]
	}
	tallies := map[Kind]*tally{}
	for i, in := range c.inputs {
		if run := c.runs[i]; run != nil {
			m := find(run.Kind)
			m.Run, m.fromFile = *run, false
			m.rejects = append(m.rejects, in)
		}
		for _, kind := range in.kinds {
			m := find(kind)
			if m.fromFile && !slices.Contains(strings.Split(m.input, ","), in.name) {
				m.input = strings.TrimPrefix(m.input+","+in.name, ",")
			}
			if tallies[kind] == nil {
				tallies[kind] = &tally{}
			}
			tallies[kind].merge(in.tallies[kind])
		}
	}
	if len(runs) == 0 {
		return nil, c.nothing()
	}
	for kind := range tallies {
		if err := c.checkOneRun(kind); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(runs, func(a, b *made) int { return a.Kind.compare(b.Kind) })
	for i, in := range c.inputs {
		if c.runs[i] == nil && in.rejected > 0 {
			m := runs[0]
			if len(in.kinds) > 0 {
				m = find(in.kinds[0])
			}
			m.rejects = append(m.rejects, in)
		}
	}
	for _, m := range runs {
		if t := tallies[m.Kind]; t != nil {
			m.kept = t.kept
			if m.fromFile {
				m.Started, m.Finished, m.FirstTTL, m.LastTTL = t.earliest, t.latest, t.leastTTL, t.greatest
			}
		}
	}
	return runs, nil
}

// maxPause is the longest time without an answer that parts of one run can have between them.
const maxPause = 6 * time.Hour

// checkOneRun refuses files of runs that have nothing to do with each other, such as those of several months: paths
// change, and what both say of a target would be read as one path.
func (c *Campaign) checkOneRun(kind Kind) error {
	var parts []*input
	for _, in := range c.inputs {
		if t := in.tallies[kind]; t != nil && !t.earliest.IsZero() {
			parts = append(parts, in)
		}
	}
	slices.SortFunc(parts, func(a, b *input) int { return a.tallies[kind].earliest.Compare(b.tallies[kind].earliest) })
	for i := 1; i < len(parts); i++ {
		before, next := parts[i-1], parts[i]
		if pause := next.tallies[kind].earliest.Sub(before.tallies[kind].latest); pause > maxPause {
			return fmt.Errorf("%s and %s are of different traces, %v apart: trace with the files of one at a time",
				before.name, next.name, pause.Round(time.Hour))
		}
	}
	return nil
}

// nothing is the error of files without a row of use.
func (c *Campaign) nothing() error {
	for _, in := range c.inputs {
		for reason := range in.reasons {
			return fmt.Errorf("%s: none of %d lines is a row of mptcp_trace (%s): nothing was added", in.name, in.lines, reason)
		}
	}
	return errors.New("no rows: nothing was added")
}

// nameRuns gives runs their partitions and names.
func nameRuns(runs []*made, dateOf DateOf) error {
	for group := range groups(runs) {
		var kinds []Kind
		var earliest time.Time
		for _, m := range group {
			kinds = append(kinds, m.Kind)
			if earliest.IsZero() || !m.Started.IsZero() && m.Started.Before(earliest) {
				earliest = m.Started
			}
		}
		for _, m := range group {
			if m.fromFile {
				of := kinds // the scan of a control is any that a probe beside it follows up
				if m.Probe != zmap.ProbePlain {
					of = []Kind{m.Kind}
				}
				var err error
				if m.Date, err = dateOf(of, earliest); err != nil {
					return err
				}
			}
			m.partition = dataset.Partition{Date: m.Date, Family: m.Family, Port: m.Port, Probe: m.Probe}
			m.id = traceID(m.partition, m.Started)
		}
	}
	return nil
}

// groups are the runs of one family and port each.
func groups(runs []*made) iter.Seq[[]*made] {
	return func(yield func([]*made) bool) {
		for len(runs) > 0 {
			n := 1
			for n < len(runs) && runs[n].Family == runs[0].Family && runs[n].Port == runs[0].Port {
				n++
			}
			if !yield(runs[:n]) {
				return
			}
			runs = runs[n:]
		}
	}
}

// traceID names a run: 20261123T081500.123456Z-trace-ipv4-443-v1.
func traceID(p dataset.Partition, started time.Time) string {
	scan := p.ScanID(started)
	return strings.TrimSuffix(scan, fmt.Sprintf("-%s-%d-%s", p.Family, p.Port, p.Probe)) +
		fmt.Sprintf("-trace-%s-%d-%s", p.Family, p.Port, p.Probe)
}

func (c *Campaign) buildHops(ctx context.Context, runs []*made) error {
	records, err := c.sorter.merge()
	if err != nil {
		return err
	}
	defer records.close()
	for i, m := range runs {
		m.evidence = c.Path(fmt.Sprintf("evidence-%d", i))
		if records.first() == nil || kindOf(records.first()) != m.Kind {
			if err := noEvidence(m.evidence); err != nil {
				return err
			}
			continue
		}
		c.progress("hops of %s %s", m.Family, m.Probe)
		m.hops = fmt.Sprintf("hops-%d.parquet", i)
		b := &hopsBuilder{kind: m.Kind, traceID: m.id, records: records}
		if err := b.build(ctx, c.Path(m.hops), m.evidence); err != nil {
			return err
		}
	}
	return nil
}

// buildPaths makes the paths, of each family and port by themselves.
func (c *Campaign) buildPaths(ctx context.Context, runs []*made) error {
	for group := range groups(runs) {
		c.progress("paths of %s", group[0].Family)
		var of []*pathsRun
		for _, m := range group {
			m.paths = strings.Replace(filepath.Base(m.evidence), "evidence", "paths", 1) + ".parquet"
			of = append(of, &pathsRun{
				probe: m.Probe, traceID: m.id, ttls: span{m.FirstTTL, m.LastTTL}, evidence: m.evidence, out: c.Path(m.paths),
			})
		}
		if err := writePaths(ctx, of, group[0].TargetFile); err != nil {
			return err
		}
		for i, m := range group {
			m.pathsRows, m.findings = of[i].table.rows, of[i].findings
		}
	}
	return nil
}

// decide writes the rows of `traces`, then what is to be moved, their files last: from then on the campaign is part of
// the dataset, come what may.
func (c *Campaign) decide(ctx context.Context, runs []*made) ([]Summary, error) {
	var files, rows []move
	var summaries []Summary
	campaign, _, _ := strings.Cut(runs[0].id, "-trace-")
	campaign += "-trace"
	for i, m := range runs {
		s := Summary{
			TraceID: m.id, Kind: m.Kind, Date: m.Date, Kept: m.kept, Read: m.kept,
			Reasons: map[zmap.Reason]uint64{}, Paths: m.pathsRows, Findings: m.findings,
		}
		var listed []dataset.File
		list := func(name, table, id string, format dataset.Format, count uint64) error {
			to := filepath.ToSlash(m.partition.Path("", table, id, format))
			file, err := describe(c.Path(name), to, count)
			listed = append(listed, file)
			files = append(files, move{c.from(name), to})
			return err
		}
		var errs []error
		if m.hops != "" {
			errs = append(errs, list(m.hops, dataset.HopsTable, m.id, dataset.Parquet, m.kept))
		}
		if m.pathsRows > 0 {
			errs = append(errs, list(m.paths, dataset.PathsTable, m.id, dataset.Parquet, m.pathsRows))
		}
		for n, in := range m.rejects {
			s.Read += in.rejected
			s.Rejected += in.rejected
			for reason, count := range in.reasons {
				s.Reasons[reason] += count
			}
			if in.rejects != "" {
				errs = append(errs, list(filepath.Base(in.rejects), "rejects", fmt.Sprintf("%s-%05d", m.id, n), "jsonl", in.rejected))
				s.Rejects = cmp.Or(s.Rejects, listed[len(listed)-1].Path)
			}
		}
		m.row = fmt.Sprintf("traces-%d.parquet", i)
		errs = append(errs, m.writeRow(c.Path(m.row), campaign, c.toolVersion, s, listed))
		to := filepath.ToSlash(m.partition.Path("", dataset.TracesTable, m.id, dataset.Parquet))
		rows = append(rows, move{c.from(m.row), to})
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		if _, err := describe(c.Path(m.row), to, 1); err != nil {
			return nil, err
		}
		summaries = append(summaries, s)
	}
	text, err := json.Marshal(append(files, rows...))
	if err != nil {
		return nil, err
	}
	return summaries, store.WriteFile(ctx, c.store, c.from(movesFile), text)
}

// from is the name in the dataset of a file of the folder.
func (c *Campaign) from(name string) string { return unfinishedFolder + "/" + c.id + "/" + name }

// describe says what is in a file, and puts it on stable storage.
func describe(path, name string, rows uint64) (dataset.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return dataset.File{}, err
	}
	defer file.Close()
	digest := sha256.New()
	bytes, err := io.Copy(digest, file)
	if err != nil {
		return dataset.File{}, err
	}
	return dataset.File{Path: name, Rows: rows, Bytes: uint64(bytes), SHA256: hex.EncodeToString(digest.Sum(nil))}, file.Sync()
}

// writeRow makes the file with the run's row of `traces`.
func (m *made) writeRow(path, campaign, toolVersion string, s Summary, files []dataset.File) error {
	t, err := createTable(path, dataset.TracesTable)
	if err != nil {
		return err
	}
	row := map[string]any{
		"trace_id": m.id, "started": timeOrNull(m.Started), "finished": timeOrNull(m.Finished), "campaign": campaign,
		"tool_version": toolVersion, "zmap_version": nil, "zmap_arguments": nil, "seed": nil, "input": orNull(m.input),
		"first_ttl": m.FirstTTL, "last_ttl": m.LastTTL, "targets": nil, "targets_sha256": nil,
		"probes_sent": countOrNull(m.Counts.ProbesSent), "send_failures": countOrNull(m.Counts.SendFailures),
		"received": countOrNull(m.Counts.Received), "invalid": countOrNull(m.Counts.Invalid),
		"kernel_drops": countOrNull(m.Counts.KernelDrops),
		"rows_read":    s.Read, "rows_kept": s.Kept, "rows_rejected": s.Rejected, "files": files,
	}
	if !m.fromFile {
		row["zmap_version"], row["zmap_arguments"], row["seed"] = m.ZMapVersion, m.ZMapArguments, m.Seed
		row["targets"], row["targets_sha256"] = m.Targets, m.TargetsSHA256
	}
	return errors.Join(t.append(row), t.close())
}

func countOrNull(n sql.Null[uint64]) any {
	if !n.Valid {
		return nil
	}
	return n.V
}
