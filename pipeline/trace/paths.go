package trace

import (
	"context"
	"errors"
	"net/netip"
	"os"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/targets"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// pathsRun is one run of a trace of one family and port, as its paths are made.
type pathsRun struct {
	probe    string
	traceID  string
	ttls     span
	evidence string // file; empty: nothing answered
	out      string // file

	reader   *evidenceReader
	table    *table
	findings map[string]uint64
}

// writePaths makes the paths of all runs to the same targets: those that answered any, and those in the target file,
// if there is one.
func writePaths(ctx context.Context, runs []*pathsRun, targetFile string) (err error) {
	var control *pathsRun
	for _, run := range runs {
		run.findings = map[string]uint64{}
		if run.table, err = createTable(run.out, dataset.PathsTable); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, run.table.close()) }()
		if run.reader, err = openEvidence(run.evidence); err != nil {
			return err
		}
		defer run.reader.file.Close()
		if run.probe == zmap.ProbePlain {
			control = run
		}
	}
	var lost loss
	if control != nil {
		if lost, err = control.loss(ctx); err != nil {
			return err
		}
	}
	list := &targetList{}
	if targetFile != "" {
		if list.file, err = targets.Open(targetFile); err != nil {
			return err
		}
		defer list.file.Close()
		if err := list.next(); err != nil {
			return err
		}
	}
	silence := new(evidence)
	for {
		target := list.current
		for _, run := range runs {
			if t := run.reader.target(); t.IsValid() && (!target.IsValid() || t.Less(target)) {
				target = t
			}
		}
		if !target.IsValid() {
			return nil
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		silence.clear(target)
		of := func(run *pathsRun) *evidence {
			if run.reader.target() == target {
				return &run.reader.current
			}
			return silence
		}
		for _, run := range runs {
			var path path
			if control == nil || run == control {
				path = judge(of(run), nil, run.probe, run.ttls, span{}, lost)
			} else {
				path = judge(of(run), of(control), run.probe, run.ttls, control.ttls, lost)
			}
			run.findings[path.finding]++
			if err := run.table.append(path.row(run.traceID)); err != nil {
				return err
			}
		}
		for _, run := range runs {
			if run.reader.target() == target {
				if err := run.reader.next(); err != nil {
					return err
				}
			}
		}
		if list.current == target {
			if err := list.next(); err != nil {
				return err
			}
		}
	}
}

// loss reads the evidence of a control for what it shows of lost packets.
func (r *pathsRun) loss(ctx context.Context) (lost loss, err error) {
	reader, err := openEvidence(r.evidence)
	if err != nil {
		return lost, err
	}
	defer reader.file.Close()
	for reader.target().IsValid() {
		if err := context.Cause(ctx); err != nil {
			return lost, err
		}
		lost.add(&reader.current, r.ttls)
		if err := reader.next(); err != nil {
			return lost, err
		}
	}
	return lost, nil
}

// targetList walks a target file.
type targetList struct {
	file    *targets.File
	index   uint64
	current netip.Addr // not valid: there is none left
}

func (l *targetList) next() (err error) {
	l.current = netip.Addr{}
	if l.index < l.file.Count {
		l.current, err = l.file.At(l.index)
		l.index++
	}
	return err
}

// row is the path as a row of `paths`.
func (p *path) row(traceID string) map[string]any {
	row := map[string]any{
		"trace_id": traceID, "target": p.target.String(), "last_ttl": p.last,
		"hops_answered": p.answered, "hops_quoted": p.quoted, "furthest_hop": orNull(p.furthest),
		"reached": p.reached, "answer": orNull(p.answer), "answer_ttl": orNull(p.answerTTL),
		"answer_mptcp": orNull(string(p.answerMPTCP)), "control_ttl": orNull(p.controlTTL),
		"finding": p.finding, "after_hop": nil, "by_hop": nil, "after_responder": nil, "by_responder": nil,
		"changes": nonNil(p.changes), "nat": p.nat, "seq_rewritten": p.seqRewritten, "load_balanced": p.loadBalanced,
		"routers": nonNil(p.routers),
	}
	if p.placed {
		row["after_hop"], row["by_hop"] = p.after, p.by
		row["after_responder"], row["by_responder"] = addressOrNull(p.afterRouter), addressOrNull(p.byRouter)
	}
	return row
}

// nonNil is a list that is empty, not NULL.
func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// noEvidence makes the file of a run that nothing answered.
func noEvidence(path string) error { return os.WriteFile(path, nil, 0o666) }
