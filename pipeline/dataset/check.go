package dataset

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mpcensus/mpcensus/pipeline/store"
)

// CheckCounts is what was checked.
type CheckCounts struct {
	Scans uint64
	Files uint64 // of all tables but those that list files, and of rejected lines
	Rows  uint64 // in these files
	Bytes uint64 // in these files
}

func (n *CheckCounts) add(rows, bytes uint64) {
	n.Files++
	n.Rows += rows
	n.Bytes += bytes
}

// Problem is what is wrong with a file.
type Problem struct {
	Path string // in the dataset
	What string // and what to do
}

func (p Problem) String() string { return p.Path + ": " + p.What }

// CheckReport is what a check found.
type CheckReport struct {
	CheckCounts
	Problems []Problem
	Notes    []string // unfinished work, which is no problem
}

// Check compares the dataset's files with what `scans` says of them, and changes nothing. Commits that
// are carried out meanwhile are no problem: what looks wrong is judged by the rows of `scans` as they are
// then. progress, if not nil, is called after each file.
//
// The error says why the check could not be made. Memory does not depend on the size of files.
func (d *Dataset) Check(ctx context.Context, progress func(CheckCounts)) (CheckReport, error) {
	c := &checker{dataset: d, progress: progress, listed: map[string]bool{}, scans: map[string]bool{}}
	if err := c.checkScans(ctx); err != nil {
		return CheckReport{}, err
	}
	if err := c.checkFollowUps(ctx); err != nil {
		return CheckReport{}, err
	}
	if err := c.checkFiles(ctx); err != nil {
		return CheckReport{}, err
	}
	slices.SortStableFunc(c.report.Problems, func(a, b Problem) int { return cmp.Compare(a.Path, b.Path) })
	return c.report, nil
}

// checker is the state of Check.
type checker struct {
	dataset  *Dataset
	report   CheckReport
	scans    map[string]bool // the files of `scans`, `traces` and `verifications`
	listed   map[string]bool // files that they list
	mu       sync.Mutex      // for the two that follow
	sofar    CheckCounts     // for progress
	progress func(CheckCounts)
}

func (c *checker) problem(path, format string, args ...any) {
	c.report.Problems = append(c.report.Problems, Problem{path, fmt.Sprintf(format, args...)})
}

func (c *checker) checkScans(ctx context.Context) error {
	names, err := c.dataset.scanFiles(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := c.checkScan(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// scanFiles are the names of the files of `scans`, with those that commits are going to make.
func (d *Dataset) scanFiles(ctx context.Context) ([]string, error) {
	var names []string
	// The records first: a commit that ends in between shows in `scans`.
	pending, err := d.pending(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range pending {
		if r, err := d.readRecord(ctx, name); err == nil {
			names = append(names, r.scanFile())
		}
	}
	for info, err := range d.store.List(ctx, ScansTable) {
		if err != nil {
			return nil, err
		}
		names = append(names, info.Name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// checkScan checks a scan and its files, again as long as the scan changes.
func (c *checker) checkScan(ctx context.Context, name string) error {
	for {
		scan, err := c.dataset.expect(ctx, name)
		if err != nil {
			return err
		}
		var problems []Problem
		if scan.fault != "" {
			problems = []Problem{{name, scan.fault}}
		} else {
			problems = c.checkListed(ctx, scan)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if problems != nil {
			now, err := c.dataset.expect(ctx, name)
			if err != nil {
				return err
			}
			if now.state != scan.state {
				continue
			}
		}
		c.report.Problems = append(c.report.Problems, problems...)
		c.scans[name] = true
		if scan.state.row == "" && scan.fault == "" {
			return nil // it is gone
		}
		c.report.Scans++
		for _, f := range scan.files {
			c.listed[f.Path] = true
			c.report.add(f.Rows, f.Bytes)
		}
		return nil
	}
}

// expected is what the dataset should have of a scan.
type expected struct {
	storedScan
	key    ScanKey
	format Format
	from   map[string]string // where a file is that a commit has not moved yet
	fault  string            // why nothing can be said of the scan's files
	state  expectedState
}

// expectedState changes whenever something else is expected.
type expectedState struct {
	row    string // SHA-256 of the row, empty if there is none
	record string // the row that a commit replaces and its own
	fault  string
}

// expect reads what the dataset should have of the scan whose row is in a file of `scans`: what the row
// says, or that of a commit that is still to be carried out.
func (d *Dataset) expect(ctx context.Context, name string) (e expected, err error) {
	key, format, ok := keyOfScanFile(name)
	if !ok {
		return expected{fault: "not a name of a file of scans: remove it, or keep it elsewhere"}, nil
	}
	e = expected{key: key, format: format, from: map[string]string{}}
	// The record first: if it is carried out in between, the row is the new one.
	r, err := d.readRecord(ctx, recordName(key.ID))
	switch {
	case isMissing(err):
	case err != nil:
		return e.broken("%v: remove that record, and ingest the scan again", err)
	case r.scanFile() == name:
		e.state.record = r.Replaces + " " + r.Row
	}
	row, err := d.rowDigest(ctx, name)
	if err != nil {
		return e.broken("%v: restore it, or remove it and ingest the scan again", err)
	}
	at := name
	if e.state.record != "" && (row == r.Replaces || row == r.Row) {
		for _, m := range r.Moves {
			e.from[m.To] = m.From
		}
		if row != r.Row {
			at = e.from[name]
		}
	}
	batch, digest, err := readScanRow(ctx, d.store, at)
	if isMissing(err) {
		if at == name {
			return e, nil
		}
		return e.broken("a commit lost it on its way from %s: ingest the scan again", at)
	}
	if err != nil {
		return e.broken("cannot be read: %v: restore it, or remove it and ingest the scan again", err)
	}
	defer batch.Release()
	e.state.row = digest
	if err := checkSchema(ScansTable, batch.Schema()); err != nil {
		return e.broken("%v: ingest the scan again", err)
	}
	if e.storedScan, err = scanOf(batch); err != nil {
		return e.broken("%v: ingest the scan again", err)
	}
	e.name, e.digest = name, digest
	return e, nil
}

func (e expected) broken(format string, args ...any) (expected, error) {
	e.fault = fmt.Sprintf(format, args...)
	e.state.fault = e.fault
	return e, nil
}

// checkListed checks the row of a scan, and the files that it lists.
func (c *checker) checkListed(ctx context.Context, scan expected) []Problem {
	if scan.state.row == "" {
		return nil
	}
	var problems []Problem
	about := func(format string, args ...any) {
		problems = append(problems, Problem{scan.name, fmt.Sprintf(format, args...) + ": restore it, or remove it and ingest the scan again"})
	}
	if scan.id != scan.key.ID {
		about("is the row of scan %s", scan.id)
	}
	rows := map[bool]uint64{}
	seen := map[string]bool{}
	for _, f := range scan.files {
		rows[f.Rejects()] += f.Rows
		if seen[f.Path] {
			about("lists %s twice", f.Path)
		}
		seen[f.Path] = true
	}
	if scan.rowsKept != rows[false] || scan.rowsRejected != rows[true] || scan.rowsRead != rows[false]+rows[true] {
		about("says read %d = kept %d + rejected %d, but its files have %d and %d rows",
			scan.rowsRead, scan.rowsKept, scan.rowsRejected, rows[false], rows[true])
	}
	wrong := make([]string, len(scan.files))
	twoAtATime(len(scan.files), func(i int) {
		if ctx.Err() != nil {
			return
		}
		wrong[i] = c.checkListedFile(ctx, scan, scan.files[i])
		c.advance(scan.files[i].Rows, scan.files[i].Bytes)
	})
	for i, what := range wrong {
		if what != "" {
			problems = append(problems, Problem{scan.files[i].Path, what})
		}
	}
	return problems
}

// twoAtATime calls f for 0 to n-1: reading and digesting of one file fill the other's pauses.
func twoAtATime(n int, f func(i int)) {
	var next atomic.Int64
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	running.Wait()
}

func (c *checker) advance(rows, bytes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sofar.add(rows, bytes)
	if c.progress != nil {
		c.progress(c.sofar)
	}
}

// checkListedFile says what is wrong with a file that a scan lists, empty if nothing is.
func (c *checker) checkListedFile(ctx context.Context, scan expected, f File) string {
	if !scan.key.owns(f.Path, scan.format) {
		return fmt.Sprintf("is listed by %s, which has no file of that name: ingest the scan again", scan.name)
	}
	in, err := c.open(ctx, scan, f.Path)
	if isMissing(err) {
		return fmt.Sprintf("is missing, but %s lists it: restore it, or ingest the scan again", scan.name)
	}
	if err == nil {
		defer in.Close()
		err = checkFile(ctx, in, f, scan.key)
	}
	if err != nil {
		return fmt.Sprintf("%v: restore it, or ingest the scan again", err)
	}
	return ""
}

// open opens a scan's file, wherever it is on its way.
func (c *checker) open(ctx context.Context, scan expected, name string) (store.Reader, error) {
	if from, ok := scan.from[name]; ok {
		in, err := c.dataset.store.Open(ctx, from)
		if !isMissing(err) {
			return in, err
		}
	}
	return c.dataset.store.Open(ctx, name)
}

// checkFiles looks at all files that no scan lists.
func (c *checker) checkFiles(ctx context.Context) error {
	var unlisted []string
	left := map[string]*leftover{}
	for info, err := range c.dataset.store.List(ctx, "") {
		if err != nil {
			return err
		}
		folder, rest, _ := strings.Cut(info.Name, "/")
		switch {
		case c.listed[info.Name] || c.scans[info.Name]:
		case folder == unfinishedFolder:
			noteLeftover(left, rest, info)
		case folder == rejectsFolder && strings.HasPrefix(rest, unassigned) && path.Ext(rest) == ".jsonl" && path.Base(rest) == rest:
		case folder == HostsTable || folder == TreatmentsTable:
			scanFile := strings.Replace(info.Name, folder, ScansTable, 1)
			key, format, ok := keyOfScanFile(scanFile)
			if !ok || format != Parquet || !c.hasScan(key) {
				unlisted = append(unlisted, info.Name)
			} else if err := c.checkDerived(ctx, folder, info, scanOwner(key), "classify"); err != nil {
				return err
			}
		case info.Name == WholeFile(NetworksTable) || info.Name == WholeFile(SourcesTable):
			if err := c.checkDerived(ctx, folder, info, nil, "enrich"); err != nil {
				return err
			}
		case info.Name == ViewsFile || folder == CampaignsFolder:
		default:
			unlisted = append(unlisted, info.Name)
		}
	}
	if err := c.noteUnfinished(ctx, left); err != nil {
		return err
	}
	return c.checkUnlisted(ctx, unlisted)
}

func (c *checker) hasScan(key ScanKey) bool {
	return c.scans[key.scanFile(Parquet)] || c.scans[key.scanFile(Arrow)]
}

// checkDerived checks a file that a command made from what scans list.
func (c *checker) checkDerived(ctx context.Context, table string, info store.Info, of *owner, command string) error {
	in, err := c.dataset.store.Open(ctx, info.Name)
	if isMissing(err) {
		return nil // a commit replaced the replies
	}
	var rows uint64
	if err == nil {
		defer in.Close()
		rows, err = checkDerived(ctx, in, table, of)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		c.problem(info.Name, "%v: remove it and run mpcensus %s", err, command)
	}
	c.report.add(rows, uint64(info.Size))
	c.advance(rows, uint64(info.Size))
	return nil
}

// checkUnlisted judges files that no scan listed when it was checked. Those that a commit brought or is
// going to take away are none of its business.
func (c *checker) checkUnlisted(ctx context.Context, names []string) error {
	if names == nil {
		return nil
	}
	known, err := c.dataset.known(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		folder, rest, _ := strings.Cut(name, "/")
		listedAs := name
		if folder == HostsTable || folder == TreatmentsTable {
			listedAs = ScansTable + "/" + rest // if the scan is there
		}
		if known[listedAs] {
			continue
		}
		in, err := c.dataset.store.Open(ctx, name)
		if isMissing(err) {
			continue
		}
		if err == nil {
			in.Close()
		}
		switch folder {
		case RepliesTable, rejectsFolder:
			c.problem(name, "no scan lists it, so that it is no part of the dataset: remove it")
		case HostsTable, TreatmentsTable:
			c.problem(name, "the dataset has no such scan: remove it")
		case HopsTable, PathsTable, GrabsTable:
			c.note("%s: %s does not list it: work that goes on, or that a process left when it died: the next mpcensus %s removes it",
				name, listings[folder], commandOf(listings[folder]))
		default:
			c.problem(name, "not a file of a dataset: keep it elsewhere")
		}
	}
	return nil
}

// known are the names of all files that scans list or commits are about.
func (d *Dataset) known(ctx context.Context) (map[string]bool, error) {
	known := map[string]bool{}
	// As in expect, the records first.
	pending, err := d.pending(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range pending {
		r, err := d.readRecord(ctx, name)
		if err != nil {
			continue // checkScan says so
		}
		for _, m := range r.Moves {
			known[m.To] = true
		}
		for _, name := range r.Removes {
			known[name] = true
		}
	}
	for info, err := range d.store.List(ctx, ScansTable) {
		if err != nil {
			return nil, err
		}
		known[info.Name] = true
		scan, err := readScan(ctx, d.store, info.Name)
		if err != nil {
			continue // checkScan says so
		}
		for _, f := range scan.files {
			known[f.Path] = true
		}
	}
	for _, listing := range followUps {
		for info, err := range d.store.List(ctx, listing.table) {
			if err != nil {
				return nil, err
			}
			known[info.Name] = true
			runs, err := d.readFollowUps(ctx, listing, info.Name)
			if err != nil {
				continue // checkFollowUp says so
			}
			for _, run := range runs {
				for _, f := range run.files {
					known[f.Path] = true
				}
			}
		}
	}
	return known, nil
}

// leftover is what a stage has.
type leftover struct{ files, bytes int64 }

func noteLeftover(left map[string]*leftover, rest string, info store.Info) {
	id, _, inFolder := strings.Cut(rest, "/")
	if !inFolder {
		return // a record
	}
	if left[id] == nil {
		left[id] = &leftover{}
	}
	left[id].files++
	left[id].bytes += info.Size
}

// noteUnfinished tells of the work in the dataset that is not done yet.
func (c *checker) noteUnfinished(ctx context.Context, left map[string]*leftover) error {
	pending, err := c.dataset.pending(ctx)
	if err != nil {
		return err
	}
	var scans []string
	for _, name := range pending {
		r, err := c.dataset.readRecord(ctx, name)
		if isMissing(err) {
			continue // carried out just now
		}
		if err != nil {
			c.problem(name, "%v: remove it, and ingest the scan again", err)
			continue
		}
		scans = append(scans, strings.TrimSuffix(path.Base(name), commitSuffix))
		delete(left, r.Stage)
	}
	if n := len(scans); n > 0 {
		c.note("%d %s to be carried out (%s): mpcensus ingest --resume", n, plural(n, "commit"), strings.Join(scans, ", "))
	}
	var ids []string
	for id := range left {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		l := left[id]
		todo := "mpcensus ingest --resume"
		if strings.HasPrefix(id, compactPrefix) {
			todo = "mpcensus dataset compact"
		}
		for _, listing := range followUps {
			if strings.HasPrefix(id, listing.command+"-") {
				todo = "the next mpcensus " + listing.command + " removes it"
			}
		}
		c.note("%s/%s: work that goes on, or that a process left when it died (%d %s, %d bytes): %s",
			unfinishedFolder, id, l.files, plural(int(l.files), "file"), l.bytes, todo)
	}
	return nil
}

func (c *checker) note(format string, args ...any) {
	c.report.Notes = append(c.report.Notes, fmt.Sprintf(format, args...))
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
