// Package ingest turns ZMap's JSON rows into one scan of a dataset.
//
// Rows flow through three stages, each in goroutines of its own:
//
//	reader    cuts the input into blocks of whole lines, and takes its digest
//	workers   decode a block and encode it as a row group
//	appender  writes row groups and rejected lines in the order of the input, part by part
//
// Blocks and parts begin at places that the input's bytes alone determine, so that the same input
// gives the same files on any number of processors. A finished part is on stable storage, with a note
// of how far it goes: what another process needs to go on after the death of this one.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// Params says where the rows go, and what they do not say themselves.
type Params struct {
	Format dataset.Format

	// What all rows of the scan share. What is zero here is taken from the first row.
	dataset.Partition

	Input       string // name of the file that is read, "-" for standard input; empty for a scan
	Source      string // where a process that goes on finds the input: an absolute path; empty for a pipe
	ToolVersion string

	// Stage names the unfinished work: the same for the same input and parameters.
	Stage string
	// Resume goes on where an earlier process of this Stage came to; else its work is done again.
	Resume bool

	// Provenance tells of the ZMap run that printed the rows. Nil for files.
	Provenance *Provenance

	// Progress, if not nil, is called now and then.
	Progress func(Counts)

	// sizes are those of blocks and parts; zero means defaultSizes. Files depend on them.
	sizes sizes
}

// Counts are lines of the input. Read is Kept + Rejected.
type Counts struct {
	Read     uint64 `json:"read"`
	Kept     uint64 `json:"kept"`
	Rejected uint64 `json:"rejected"`
}

// Summary says what became of an input.
type Summary struct {
	Counts
	Reasons  map[zmap.Reason]uint64 // the rejected lines by reason
	Scan     dataset.ScanKey        // zero if nothing was added to the dataset
	Rejects  []string               // files of the rejected lines, in the dataset
	Complete bool
}

// UnknownScanError says that nothing tells which scan the rows belong to.
type UnknownScanError struct {
	Line    int64    // the first row, 0 if there is none
	Missing []string // "port", "probe", "family", "date"
	Rejects []string // where the rejected lines are, if there are any
}

func (e *UnknownScanError) Error() string {
	var b strings.Builder
	if e.Line == 0 {
		b.WriteString("no row is of use, and nothing else names")
	} else {
		fmt.Fprintf(&b, "the first row (line %d) does not name", e.Line)
	}
	fmt.Fprintf(&b, " the scan's %s: give --%s", strings.Join(e.Missing, ", "), strings.Join(e.Missing, ", --"))
	if e.Rejects != nil {
		fmt.Fprintf(&b, "; the rejected lines are in %s", strings.Join(e.Rejects, ", "))
	}
	return b.String()
}

// ErrUnfinished is wrapped by errors after which Params.Resume goes on from what is on stable storage.
var ErrUnfinished = errors.New("unfinished")

// Run reads rows to their end and adds them to the dataset as one scan. A line that is not a row of
// the scan is kept apart with the reason; every line is counted.
//
// When the input breaks off, or ctx ends, what was read until then is added all the same, as an
// incomplete scan, and the error says why it ended. When the rows cannot be stored, the error wraps
// ErrUnfinished. Ingesting an input again replaces its scan by the same bytes, and an incomplete one by
// one that goes on at least as far; an error that wraps dataset.ErrExists says that the dataset has
// another scan of that name, and leaves it alone. An error of type *UnknownScanError asks for more
// Params.
//
// Run looks at ctx between reads of rows: one that can block should end with ctx, see Interruptible.
func Run(ctx context.Context, d *dataset.Dataset, rows io.Reader, p Params) (Summary, error) {
	if p.Source == "" && p.Provenance == nil {
		// Others cannot read a pipe again, and so would commit what it has given until now.
		unlock, err := d.Stage(p.Stage).Lock(context.WithoutCancel(ctx))
		if err != nil {
			return Summary{}, err
		}
		defer unlock()
	}
	in, err := begin(ctx, d, p)
	if err != nil {
		return Summary{}, err
	}
	ended, fatal := in.readAll(ctx, rows)
	// What was read must be kept although ctx has ended.
	ctx = context.WithoutCancel(ctx)
	if fatal == nil {
		fatal = in.commit(ctx, ended == nil)
	}
	if fatal != nil {
		fatal = in.abandon(fatal)
	}
	var unknown *UnknownScanError
	if ended != nil && in.state.Counts.Read == 0 && errors.As(fatal, &unknown) {
		return in.summary, ended // Params would not have helped
	}
	return in.summary, oneLine(ended, fatal)
}

// Finish commits what an earlier process of Params.Stage left of an input that cannot be read again, as
// an incomplete scan. The error wraps fs.ErrNotExist if it left nothing, and dataset.ErrBusy if it lives.
// In an object store nobody can tell: the process replaces the scan in the end.
func Finish(ctx context.Context, d *dataset.Dataset, p Params) (Summary, error) {
	in := &ingestion{params: p, dataset: d, stage: d.Stage(p.Stage)}
	if err := in.stage.Load(ctx, &in.state); err != nil {
		return Summary{}, err
	}
	unlock, err := in.stage.Lock(ctx)
	if err != nil {
		return Summary{}, err
	}
	defer unlock()
	// Nobody can make these parts again, so that another version of the program takes them as they are.
	in.params.ToolVersion = in.state.Made.ToolVersion
	if in.state.Blocks == 0 {
		err := fmt.Errorf("stage %s: %w", p.Stage, fs.ErrNotExist)
		return Summary{}, oneLine(err, in.stage.DiscardParts(ctx))
	}
	if err := in.commit(ctx, false); err != nil {
		return in.summary, in.abandon(err)
	}
	return in.summary, nil
}

// Stream writes the replies in rows as an Arrow IPC stream instead of adding them to a dataset. Rejected
// lines are counted, not kept. Several inputs can
// have one stream, which the caller ends.
func Stream(ctx context.Context, w *dataset.RepliesWriter, rows io.Reader, p Params) (Summary, error) {
	p.sizes, p.Format = defaultSizes, dataset.Arrow
	in := &ingestion{params: p, state: newState(p), stream: w, reported: time.Now()}
	ended, fatal := in.readAll(ctx, rows)
	st := &in.state
	in.summary = Summary{Counts: st.Counts, Reasons: st.Reasons, Scan: st.Scan, Complete: ended == nil}
	if st.Scan.ID == "" && fatal == nil {
		fatal = &UnknownScanError{Missing: missing(st.Scan.Partition)}
	}
	return in.summary, oneLine(ended, fatal)
}

// ingestion is the state of Run.
type ingestion struct {
	params  Params
	stream  *dataset.RepliesWriter // or, if it is nil:
	dataset *dataset.Dataset
	stage   *dataset.Stage
	state   state // after the last block that was appended
	summary Summary

	// The part in the making; each file is begun by the first row that goes into it.
	part    int64
	replies *dataset.RepliesWriter
	rejects *dataset.RejectsWriter
	decoder zmap.Decoder // tells again why a line is no row

	reported time.Time
}

func begin(ctx context.Context, d *dataset.Dataset, p Params) (*ingestion, error) {
	if p.sizes == (sizes{}) {
		p.sizes = defaultSizes
	}
	in := &ingestion{params: p, dataset: d, stage: d.Stage(p.Stage), reported: time.Now()}
	in.state = newState(p)
	if p.Resume {
		if err := in.takeOver(ctx); err != nil {
			return nil, err
		}
	}
	if in.state.Blocks == 0 {
		// So that Resume finds the input however soon this process dies. Parts of an earlier one are
		// not removed: it may live, and has the same parts.
		return in, in.stage.Save(ctx, in.state)
	}
	return in, nil
}

// takeOver goes on from what an earlier process left, if it is whole and was made in the same way.
func (in *ingestion) takeOver(ctx context.Context) error {
	left := newState(in.params)
	err := in.stage.Load(ctx, &left)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if left.Made != in.state.Made {
		return nil
	}
	whole, err := in.stage.Has(ctx, left.Parts)
	if whole {
		in.state = left
		in.part = left.Blocks / in.params.sizes.part
	}
	return err
}

// append stores what a worker made of a block, the next one in the order of the input.
func (in *ingestion) append(ctx context.Context, j *job) error {
	if j.err != nil {
		return j.err
	}
	if part := j.block.Index / in.params.sizes.part; part != in.part && in.stream == nil {
		if err := in.finishPart(ctx); err != nil {
			return err
		}
		if err := in.stage.Save(ctx, in.state); err != nil {
			return err
		}
		in.part = part
	}
	st := &in.state
	if st.Scan.ID == "" && j.scan.ID != "" && in.stream == nil {
		if err := in.dataset.CheckNew(ctx, j.scan, in.params.Format); err != nil {
			return err
		}
	}
	if err := in.appendReplies(ctx, j); err != nil {
		return err
	}
	for line, why := range j.rejectedLines(&in.decoder) {
		if err := in.appendReject(ctx, line, why); err != nil {
			return err
		}
	}
	st.Blocks, st.Input, st.Scan = j.block.Index+1, j.input, j.scan
	st.Counts.Read += uint64(j.lines)
	st.Counts.Kept += uint64(j.replies.Rows())
	st.Counts.Rejected += uint64(len(j.rejects))
	st.Tally.join(j.tally)
	if in.params.Progress != nil && time.Since(in.reported) >= progressInterval {
		in.params.Progress(st.Counts)
		in.reported = time.Now()
	}
	return nil
}

// progressInterval is how often Params.Progress is called at most.
const progressInterval = 200 * time.Millisecond

func (in *ingestion) appendReplies(ctx context.Context, j *job) (err error) {
	if in.stream != nil {
		return in.stream.Append(&j.group)
	}
	if j.replies.Rows() == 0 {
		return nil
	}
	if in.replies == nil {
		if in.replies, err = in.stage.CreateReplies(ctx, int(in.part), in.params.Format); err != nil {
			return err
		}
	}
	return in.replies.Append(&j.group)
}

func (in *ingestion) appendReject(ctx context.Context, line zmap.Line, why error) (err error) {
	var reason zmap.Reason
	errors.As(why, &reason)
	in.state.Reasons[reason]++
	if in.stream != nil {
		return nil
	}
	if in.rejects == nil {
		if in.rejects, err = in.stage.CreateRejects(ctx, int(in.part)); err != nil {
			return err
		}
	}
	reject := dataset.Reject{
		Line: int64(in.state.Counts.Read) + line.Number, Offset: line.Offset, Length: line.Length,
		Reason: string(reason), Detail: why.Error(),
	}
	reject.SetRaw(line.Raw)
	return in.rejects.Append(reject)
}

// finishPart puts the part in the making on stable storage.
func (in *ingestion) finishPart(ctx context.Context) error {
	if in.replies != nil {
		part, err := in.replies.Commit(ctx)
		if err != nil {
			return err
		}
		in.replies, in.state.Parts = nil, append(in.state.Parts, part)
	}
	if in.rejects != nil {
		part, err := in.rejects.Commit(ctx)
		if err != nil {
			return err
		}
		in.rejects, in.state.Parts = nil, append(in.state.Parts, part)
	}
	return nil
}

// discardPart drops the part in the making.
func (in *ingestion) discardPart() error {
	var errs []error
	if in.replies != nil {
		errs = append(errs, in.replies.Discard())
	}
	if in.rejects != nil {
		errs = append(errs, in.rejects.Discard())
	}
	return errors.Join(errs...)
}

// commit adds the scan to the dataset. toEnd says that the input was read to its end.
func (in *ingestion) commit(ctx context.Context, toEnd bool) error {
	if err := in.finishPart(ctx); err != nil {
		return err
	}
	st := &in.state
	s := dataset.Scan{
		Started: st.Tally.First, Finished: st.Tally.Last,
		Complete:    toEnd,
		ToolVersion: in.params.ToolVersion,
		Input:       in.params.Input,
		InputXXH3:   st.Input.XXH3,
		StaticKey:   st.Tally.Keys.static(),
		RowsRead:    st.Counts.Read, RowsKept: st.Counts.Kept, RowsRejected: st.Counts.Rejected,
	}
	if p := in.params.Provenance; p != nil {
		s.Started = p.Started
		if !p.Finished.IsZero() { // else a process died over the scan: its last reply is what is known
			s.Finished = p.Finished
		}
		s.Complete = toEnd && p.Complete
		s.ZMapVersion, s.ZMapArguments = p.ZMapVersion, p.ZMapArguments
		s.Seed, s.Targets, s.Counts = p.Seed, p.Targets, p.Counts
		s.Campaign, s.TargetsSHA256 = p.Campaign, p.TargetsSHA256
	}
	in.summary = Summary{Counts: st.Counts, Reasons: st.Reasons, Complete: s.Complete}

	if st.Scan.ID == "" {
		// Not a single reply. The scan counts all the same if something says which one it was.
		if st.Scan.Date == "" && !s.Started.IsZero() {
			st.Scan.Date = s.Started.UTC().Format(time.DateOnly)
		}
		if missing := missing(st.Scan.Partition); missing != nil {
			rejects, err := in.stage.CommitRejects(ctx, st.Input.XXH3, st.Parts)
			return oneLine(&UnknownScanError{Missing: missing, Rejects: rejects}, err)
		}
		st.Scan.ID = st.Scan.ScanID(s.Started)
	}
	s.ScanKey = st.Scan
	files, err := in.stage.Commit(ctx, s, st.Parts, in.params.Format)
	if err != nil {
		return err
	}
	in.summary.Scan = st.Scan
	for _, f := range files {
		if f.Rejects() {
			in.summary.Rejects = append(in.summary.Rejects, f.Path)
		}
	}
	return nil
}

// abandon says what can be done after an error: nothing, or Resume.
func (in *ingestion) abandon(err error) error {
	err = oneLine(err, in.discardPart())
	var unknown *UnknownScanError
	if errors.As(err, &unknown) || errors.Is(err, dataset.ErrExists) {
		return oneLine(err, in.stage.DiscardParts(context.Background()))
	}
	return fmt.Errorf("%w: %w", ErrUnfinished, err)
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
