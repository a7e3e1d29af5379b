package dataset

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/mpcensus/mpcensus/pipeline/store"
)

// ErrExists is returned when the dataset has the scan already, made otherwise.
var ErrExists = errors.New("already in the dataset")

// errTaken is what becomes of a stage that two processes have at once: the other one has begun to commit
// it, so that the scan's row will tell, or has dropped it.
var errTaken = errors.New("some of its parts are gone: another process took them, or they were removed")

// commitSuffix ends the names of commit records.
const commitSuffix = ".commit.json"

// record is a commit: what is still to be done when it is found. Doing any of it again does no harm.
type record struct {
	Stage    string   `json:"stage"`
	Replaces string   `json:"replaces"` // the SHA-256 of the row in `scans` for which this was decided; empty: there was none
	Row      string   `json:"row"`      // the SHA-256 of the row that takes its place
	Moves    []move   `json:"moves"`    // in this order; the scan's row is the last
	Removes  []string `json:"removes"`
}

type move struct {
	From string `json:"from"`
	To   string `json:"to"`
}

func recordName(scanID string) string { return path.Join(unfinishedFolder, scanID+commitSuffix) }

// Commit makes a scan of the stage's parts. If the dataset has the scan already and it came from the
// same input, or had broken off no later than this one, it is replaced; if from another, nothing is
// touched and the error wraps ErrExists.
//
// The scan is committed, come what may, as soon as its record is stored. An error after that leaves
// work for RollForward. It returns the scan's files.
func (s *Stage) Commit(ctx context.Context, scan Scan, parts []Part, format Format) ([]File, error) {
	if err := checkCounts(scan, parts); err != nil {
		return nil, err
	}
	scan.Files = nil
	for _, p := range parts {
		scan.Files = append(scan.Files, scan.fileOf(p))
	}
	err := s.dataset.decide(ctx, scan.ID, scan.scanFile(format), func() (record, error) {
		return s.prepare(ctx, scan, parts, format)
	})
	if err != nil {
		return nil, err
	}
	return scan.Files, nil
}

// decide carries out the record that prepare makes for a scan whose row is in the given file.
func (d *Dataset) decide(ctx context.Context, scanID, scanFile string, prepare func() (record, error)) error {
	for again := false; ; again = true {
		// What another process decided on this scan comes first, whether it lives or not.
		if err := d.carryOut(ctx, recordName(scanID)); err != nil {
			return err
		}
		r, err := prepare()
		if errors.Is(err, errTaken) && !again {
			continue
		}
		if err != nil {
			return err
		}
		if err := d.claim(ctx, recordName(scanID), r); err != nil {
			return err
		}
		if err := d.carryOut(ctx, recordName(scanID)); err != nil {
			return err
		}
		row, err := d.rowDigest(ctx, scanFile)
		if err != nil {
			return err
		}
		if row == r.Row {
			return nil
		}
		// Another process was committing a scan of this name; decide again.
	}
}

// CheckNew says whether a scan can be committed: its error wraps ErrExists if the dataset has it under
// another date or in another format.
func (d *Dataset) CheckNew(ctx context.Context, key ScanKey, format Format) error {
	_, err := d.stored(ctx, key, format)
	return err
}

// stored is what the dataset has of a scan, in the place where it would be written again.
func (d *Dataset) stored(ctx context.Context, key ScanKey, format Format) (*storedScan, error) {
	found, err := d.findScan(ctx, key)
	if err != nil {
		return nil, err
	}
	var own *storedScan
	for i, scan := range found {
		if scan.name != key.scanFile(format) {
			return nil, fmt.Errorf("scan %s is %w as %s: remove it, or ingest with the same date and format",
				key.ID, ErrExists, scan.name)
		}
		own = &found[i]
	}
	return own, nil
}

func checkCounts(scan Scan, parts []Part) error {
	rows := map[string]uint64{}
	for _, p := range parts {
		rows[p.folder()] += p.Rows
	}
	kept, rejected := rows[RepliesTable], rows[rejectsFolder]
	if scan.RowsKept != kept || scan.RowsRejected != rejected || scan.RowsRead != kept+rejected {
		return fmt.Errorf("scan %s: read %d = kept %d + rejected %d does not fit the %d and %d rows stored",
			scan.ID, scan.RowsRead, scan.RowsKept, scan.RowsRejected, kept, rejected)
	}
	return nil
}

// prepare stages the scan's row and says what a commit has to do.
func (s *Stage) prepare(ctx context.Context, scan Scan, parts []Part, format Format) (record, error) {
	r := record{Stage: s.ID}
	stored, err := s.dataset.stored(ctx, scan.ScanKey, format)
	if err != nil {
		return r, err
	}
	for _, p := range parts {
		r.Moves = append(r.Moves, move{s.file(p.Name), scan.partFile(p)})
	}
	if stored != nil {
		r.Replaces = stored.digest
		if !stored.givesWayTo(scan) {
			return r, fmt.Errorf("scan %s is %w, from another input, as %s: remove it to ingest this one",
				scan.ID, ErrExists, stored.name)
		}
		for _, f := range stored.files {
			if !slices.ContainsFunc(scan.Files, func(n File) bool { return n.Path == f.Path }) {
				r.Removes = append(r.Removes, f.Path)
			}
		}
		if stored.inputXXH3 != scan.InputXXH3 {
			// Conclusions from what is replaced.
			r.Removes = append(r.Removes,
				scan.file(HostsTable, scan.ID, string(Parquet)), scan.file(TreatmentsTable, scan.ID, string(Parquet)))
		}
	}
	row, err := encodeScan(scan, format)
	if err != nil {
		return r, err
	}
	r.Row = digestOf(row)
	// Another process may have moved some already.
	staged := slices.DeleteFunc(slices.Clone(parts), func(p Part) bool {
		return stored != nil && slices.Contains(stored.files, scan.fileOf(p))
	})
	if whole, err := s.Has(ctx, staged); err != nil || !whole {
		return r, cmp.Or(err, fmt.Errorf("stage %s: %w", s.ID, errTaken))
	}
	rowFile := s.file(ScansTable + "." + string(format))
	r.Moves = append(r.Moves, move{rowFile, scan.scanFile(format)})
	return r, store.WriteFile(ctx, s.dataset.store, rowFile, row)
}

// claim stores a record, unless there is one of that name.
func (d *Dataset) claim(ctx context.Context, name string, r record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	err = d.store.Claim(ctx, name, text)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// rowDigest is the SHA-256 of a file of `scans`, empty if there is none.
func (d *Dataset) rowDigest(ctx context.Context, name string) (string, error) {
	row, err := store.ReadFile(ctx, d.store, name, maxScanFile)
	if isMissing(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return digestOf(row), nil
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// carryOut does what a record says, and removes it. Several processes may do so at once. A record that
// was decided on before another commit changed the scan is dropped.
func (d *Dataset) carryOut(ctx context.Context, name string) error {
	r, err := d.readRecord(ctx, name)
	if isMissing(err) {
		return nil // somebody was faster
	}
	if err != nil {
		return err
	}
	overtaken := func() (bool, error) {
		row, err := d.rowDigest(ctx, r.scanFile())
		return row != r.Replaces && row != r.Row, err
	}
	if over, err := overtaken(); err != nil {
		return err
	} else if over {
		return d.store.Remove(ctx, name)
	}
	var lost error
	for _, m := range r.Moves {
		if lost = d.moveOnce(ctx, m); isMissing(lost) {
			break
		}
		if lost != nil {
			return lost
		}
	}
	// Meanwhile others may have finished this commit, and made the next one, which has taken files away
	// and brought others that must stay.
	if over, err := overtaken(); err != nil || over {
		return err
	}
	if lost != nil {
		return fmt.Errorf("%w: remove %s, and ingest the scan again", lost, name)
	}
	for _, name := range r.Removes {
		if err := d.store.Remove(ctx, name); err != nil {
			return err
		}
	}
	// The record last: without it nobody would look for what is left of the stage.
	if err := d.Stage(r.Stage).Discard(ctx); err != nil {
		return err
	}
	return d.store.Remove(ctx, name)
}

// readRecord reads a record. The error wraps fs.ErrNotExist if there is none.
func (d *Dataset) readRecord(ctx context.Context, name string) (r record, err error) {
	text, err := store.ReadFile(ctx, d.store, name, maxState)
	if err != nil {
		return r, err
	}
	err = json.Unmarshal(text, &r)
	// A stage is a folder of its own: all that is in it is removed in the end.
	if err == nil && (len(r.Moves) == 0 || !isStage(r.Stage)) {
		err = errors.New("not a record of a commit")
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w: remove it, and ingest the scan again", name, err)
	}
	return r, nil
}

// isStage says whether a text from a file can name a stage: a folder of its own.
func isStage(id string) bool {
	return fs.ValidPath(id) && id != "." && !strings.Contains(id, "/")
}

// scanFile is where the scan's row will be.
func (r record) scanFile() string { return r.Moves[len(r.Moves)-1].To }

// moveOnce moves a file that may have been moved already.
func (d *Dataset) moveOnce(ctx context.Context, m move) error {
	err := d.store.Move(ctx, m.From, m.To)
	if !isMissing(err) {
		return err
	}
	there, openErr := d.store.Open(ctx, m.To)
	if openErr != nil {
		return fmt.Errorf("%s: lost before it became %s: %w", m.From, m.To, openErr)
	}
	return there.Close()
}

// RollForward finishes commits whose processes died. It returns the names of their scans.
func (d *Dataset) RollForward(ctx context.Context) ([]string, error) {
	records, err := d.pending(ctx)
	if err != nil {
		return nil, err
	}
	var scans []string
	for _, name := range records {
		if err := d.carryOut(ctx, name); err != nil {
			return scans, err
		}
		scans = append(scans, strings.TrimSuffix(path.Base(name), commitSuffix))
	}
	return scans, nil
}

// pending are the names of commit records.
func (d *Dataset) pending(ctx context.Context) ([]string, error) {
	var names []string
	for info, err := range d.store.List(ctx, unfinishedFolder) {
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(info.Name, commitSuffix) && path.Dir(info.Name) == unfinishedFolder {
			names = append(names, info.Name)
		}
	}
	return names, nil
}

// CommitRejects keeps the rejected lines of an input that does not say which scan it is, under a name
// made from the input's digest. It returns their files.
func (s *Stage) CommitRejects(ctx context.Context, digest string, parts []Part) ([]string, error) {
	var names []string
	for _, p := range parts {
		if p.folder() != rejectsFolder {
			continue
		}
		name := path.Join(rejectsFolder, fmt.Sprintf("%s%s-%05d.jsonl", unassigned, digest[:16], p.Number))
		if err := s.dataset.moveOnce(ctx, move{s.file(p.Name), name}); err != nil {
			return names, err
		}
		names = append(names, name)
	}
	return names, s.Discard(ctx)
}

// unassigned starts the names of files of rejected lines that belong to no scan.
const unassigned = "unassigned-"
