package campaign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/ingest"
	"github.com/mpcensus/mpcensus/pipeline/store"
)

// Outcome is what became of a step.
type Outcome struct {
	Result   string // in a line
	Rejected string // too many rows were rejected, if not empty: no reason to stop
}

// Tools are the commands of mpcensus.
type Tools interface {
	// Command carries out a step that is no scan.
	Command(ctx context.Context, step *Step) (Outcome, error)
	// Scan runs ZMap and adds its rows to the dataset. What breaks off leaves nothing.
	Scan(ctx context.Context, order ScanOrder) (Outcome, error)
	// Ingest adds the rows of a whole spool to the dataset, or ends what another process began of that.
	Ingest(ctx context.Context, spool string) (Outcome, error)
	// Recover finishes what a killed trace or verification had decided to add to the dataset.
	Recover(ctx context.Context, step *Step) error
	// Potential counts the hosts that a trace or verification would follow up.
	Potential(ctx context.Context, date string, step *Step) (uint64, error)
}

// ScanOrder is a scan of a campaign.
type ScanOrder struct {
	*Step
	Date   string // of its partition
	Spools string // folder in which the spool is made, named after the scan
	// Spooled is called when ZMap has ended well and all rows are in the spool, before any is in the dataset.
	Spooled func(scanID string) error
}

// runner is the state of Run.
type runner struct {
	*State
	tools   Tools
	version string
	save    func() error
	watch   func()
}

// Run does the steps that are not done, and notes how far they have come. The caller holds the lock. watch is
// called whenever a step's progress has changed.
func (st *State) Run(ctx context.Context, tools Tools, toolVersion string, watch func()) error {
	return (&runner{st, tools, toolVersion, st.save, watch}).run(ctx)
}

func (r *runner) run(ctx context.Context) error {
	if err := r.note(); err != nil {
		return err
	}
	for i := range r.Steps {
		s := &r.Steps[i]
		if s.Progress == Done {
			continue
		}
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted before %s", s.Name())
		}
		// Steps read their files themselves, days after the campaign began.
		if changes, err := r.Campaign.changedInputs(r.State); err != nil || changes != nil {
			return cmp.Or(err, r.changedError(changes))
		}
		if err := r.step(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.Name(), err)
		}
	}
	return nil
}

// note stores the state and shows it.
func (r *runner) note() error {
	if err := r.save(); err != nil {
		return fmt.Errorf("state of the campaign: %w", err)
	}
	r.watch()
	return nil
}

func (r *runner) step(ctx context.Context, s *StepState) error {
	if s.Progress == Running {
		if outcome, done, err := r.settle(ctx, s); err != nil || done {
			return r.end(s, outcome, err)
		}
	}
	if s.followsUp() {
		potential, err := r.followable(ctx, s)
		if err != nil {
			return err
		}
		if potential == 0 {
			return r.end(s, Outcome{Result: "no potential hosts"}, nil)
		}
		// What somebody else's dead process left is finished first: it is not this step's work.
		if err := r.tools.Recover(ctx, &s.Step); err != nil {
			return err
		}
		if s.Listed, err = r.listed(s); err != nil {
			return err
		}
	}
	s.Progress, s.Started, s.ToolVersion = Running, time.Now().UTC(), r.version
	s.Tries++
	if s.Stage == StageScan && r.Date == "" {
		r.Date = s.Started.Format(time.DateOnly)
	}
	if err := r.note(); err != nil {
		return err
	}
	outcome, err := r.do(ctx, s)
	if err != nil && s.followsUp() {
		// What it did before it failed is not what it was to do.
		listed, listErr := r.listed(s)
		if listErr == nil {
			s.Listed = listed
			listErr = r.save()
		}
		return errors.Join(err, listErr)
	}
	return r.end(s, outcome, err)
}

// end notes that a step is done, unless it failed.
func (r *runner) end(s *StepState, outcome Outcome, err error) error {
	if err != nil {
		return err
	}
	s.Progress, s.Finished = Done, time.Now().UTC()
	s.Result, s.Rejected = outcome.Result, outcome.Rejected
	return r.note()
}

func (r *runner) do(ctx context.Context, s *StepState) (Outcome, error) {
	switch s.Stage {
	case StageScan:
		return r.tools.Scan(ctx, ScanOrder{&s.Step, r.Date, r.Campaign.spools(), func(scanID string) error {
			s.ScanID = scanID
			return r.note()
		}})
	case StageTargets:
		if err := r.writeAddresses(s.Family); err != nil {
			return Outcome{}, err
		}
	}
	return r.tools.Command(ctx, &s.Step)
}

// writeAddresses makes a hitlist of the addresses in the campaign's file.
func (r *runner) writeAddresses(family string) error {
	addresses := r.Campaign.Targets[family].Addresses
	if addresses == nil {
		return nil
	}
	name := r.Campaign.addressFile(family)
	folder, err := store.Open(context.Background(), filepath.Dir(name))
	if err != nil {
		return err
	}
	return store.WriteFile(context.Background(), folder, filepath.Base(name), []byte(strings.Join(addresses, "\n")+"\n"))
}

// settle finds out what a step had come to when its process died: whether it is done, once what is left to
// do is done now.
func (r *runner) settle(ctx context.Context, s *StepState) (outcome Outcome, done bool, err error) {
	switch {
	case s.Stage == StageScan:
		return r.settleScan(ctx, s)
	case s.followsUp():
		if err := r.tools.Recover(ctx, &s.Step); err != nil {
			return outcome, false, err
		}
		listed, err := r.listed(s)
		done := slices.ContainsFunc(listed, func(name string) bool { return !slices.Contains(s.Listed, name) })
		return Outcome{Result: "was done when its process died"}, done, err
	}
	return Outcome{}, false, nil
}

// settleScan ingests a whole spool, and drops half a one.
func (r *runner) settleScan(ctx context.Context, s *StepState) (outcome Outcome, done bool, err error) {
	folders, err := os.ReadDir(r.Campaign.spools())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return outcome, false, err
	}
	for _, folder := range folders {
		spool := filepath.Join(r.Campaign.spools(), folder.Name())
		whole, err := ingest.LiveWhole(spool)
		if err != nil {
			return outcome, false, err
		}
		if !whole && s.ScanID != folder.Name() {
			if err := os.RemoveAll(spool); err != nil {
				return outcome, false, err
			}
			continue
		}
		s.ScanID = folder.Name()
		if err := r.note(); err != nil {
			return outcome, false, err
		}
		outcome, err = r.tools.Ingest(ctx, spool)
		return outcome, err == nil, err
	}
	// The spool of a scan goes when the dataset has it.
	return Outcome{Result: s.ScanID}, s.ScanID != "", nil
}

// listings are the tables that list what traces and verifications have added to the dataset.
var listings = map[Stage]string{StageTrace: dataset.TracesTable, StageVerify: dataset.VerificationsTable}

func (s *Step) followsUp() bool { return listings[s.Stage] != "" }

// partition is where a step's files of a table are, whatever their date.
func (s *Step) partition(table string) string {
	return fmt.Sprintf("%s/date=*/family=%s/port=%d/probe=%s", table, s.Family, s.Port, s.Probe)
}

// listed are the files of the table that tells whether a trace or verification is in the dataset.
func (r *runner) listed(s *StepState) ([]string, error) {
	return fs.Glob(os.DirFS(r.Campaign.Dataset), s.partition(listings[s.Stage])+"/*."+string(dataset.Parquet))
}

// followable counts the hosts that a step would follow up. It refuses when they would not be this campaign's:
// trace and verify follow up the newest scan.
func (r *runner) followable(ctx context.Context, s *StepState) (uint64, error) {
	partitions, err := fs.Glob(os.DirFS(r.Campaign.Dataset), s.partition(dataset.ScansTable))
	if err != nil {
		return 0, err
	}
	own := strings.Replace(s.partition(dataset.ScansTable), "*", r.Date, 1)
	for _, partition := range partitions {
		if partition > own {
			return 0, fmt.Errorf("the dataset has newer scans than the campaign's of %s, in %s: use a dataset for each campaign, or remove them", r.Date, path.Clean(partition))
		}
	}
	return r.tools.Potential(ctx, r.Date, &s.Step)
}
