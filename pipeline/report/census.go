// Package report makes the report of a classified dataset: tables and figures, in one page and as files.
package report

import (
	"context"
	"database/sql"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// Census is all that a report says of a dataset.
//
// A dataset.Partition is a date, family, port and probe. Mostly one scan has it; where several have
// (shards of one scan, or one that was made again), a target counts once, with the verdict that stands
// first in classify.Verdicts. It is complete when all of these scans are: what view history goes by, too.
// The latest scans are the v0 and v1 scans of the newest date that has a complete partition of them, of
// each family and port.
type Census struct {
	Scans    int      // in the dataset
	Dates    []string // YYYY-MM-DD, oldest first
	Families []string
	Ports    []uint16
	Notes    []string // what concerns the whole report: incomplete scans, rows left out

	Tallies  []Tally    // newest first; behind Funnel and Months
	Keys     []ScanKeys // of each v0 and v1 scan, newest first
	Months   []Month    // by family, port and probe, then oldest first; none when all scans are of one month
	Presence []Presence // by family, port and probe

	FinalMonths []Month    // as Months, of dates that were followed up
	Transfers   []Transfer // newest first

	Funnel        Table // responsive, with MP_CAPABLE, filtered, potential, and by final verdict
	Reasons       Table // why hosts were filtered
	Outliers      Table // outlying weights of keys
	MonthsTable   Table
	Versions      Table // potential to v0, v1, both
	PresenceTable Table
	Reuse         Table // keys that came back more than once
	ASes          Table // top 10 of potential hosts, of each family
	Countries     Table // the same
	Fingerprints  Table // order of TCP options, by verdict
	Treatments    Table // of paired campaigns

	FinalMonthsTable  Table // true hosts
	PathsTable        Table // what traces found
	Middleboxes       Table // on the path: what they do, and where they are
	MiddleboxNetworks Table // in whose network
	Verification      Table // targets by what their connections prove
	Outcomes          Table // of connections
	TransfersTable    Table // MPTCP : TCP, by what is on the path

	Losses     Table // what was dropped, rejected or undecided
	Provenance Table // where scans come from
	Sources    Table // where AS and country come from
}

// Tables are all tables, in the order of the report.
func (c *Census) Tables() []*Table {
	return []*Table{
		&c.Funnel, &c.Reasons, &c.Outliers, &c.MonthsTable, &c.Versions, &c.PresenceTable, &c.Reuse,
		&c.ASes, &c.Countries, &c.Fingerprints, &c.Treatments,
		&c.FinalMonthsTable, &c.PathsTable, &c.Middleboxes, &c.MiddleboxNetworks, &c.Verification, &c.Outcomes, &c.TransfersTable,
		&c.Losses, &c.Provenance, &c.Sources,
	}
}

// Tally counts the targets of a partition by verdict.
type Tally struct {
	dataset.Partition
	Scans    []string        // ids
	Complete bool            // all of them
	Probes   sql.Null[int64] // SYNs sent; NULL when a scan does not say
	Verdicts map[string]int64

	Final      map[string]int64 // by final verdict, of those that have one
	FollowedUp bool             // it was traced, or connected to
}

// Responsive targets answered with a SYN-ACK.
func (t *Tally) Responsive() int64 { return t.MPCapable() + t.Verdicts["no-mptcp"] }

// MPCapable targets answered with a SYN-ACK that has MP_CAPABLE, well-formed or not.
func (t *Tally) MPCapable() int64 { return t.Filtered() + t.Potential() }

// Filtered targets answered with an MP_CAPABLE that is not a genuine host's.
func (t *Tally) Filtered() int64 {
	return t.Verdicts["mirrored"] + t.Verdicts["tampered"] + t.Verdicts["implausible"]
}

// Potential targets answered with an MP_CAPABLE that passed all tests.
func (t *Tally) Potential() int64 { return t.Verdicts["potential"] }

// ScanKeys are the keys that came back in a v0 or v1 scan.
type ScanKeys struct {
	ID string
	dataset.Partition
	Complete  bool
	ByVerdict map[string]keys.Histogram // by weight
	Distances keys.Histogram            // to the keys sent, which v1 has none of
	Weights   keys.WeightTest           // of all of them
}

// Month is a month of a family, port and probe. There is one for each month from the dataset's first to
// its last; without a complete scan it is a gap, never zero.
type Month struct {
	Month   string // YYYY-MM
	Family  string
	Port    uint16
	Probe   string // v0 or v1
	Scanned bool
	Tally   *Tally // the month's newest complete one; nil when not scanned
}

// Presence counts the targets of a family, port and probe that were ever potential by the number of
// dates on which they were.
type Presence struct {
	Family  string
	Port    uint16
	Probe   string
	Scanned int     // complete dates
	Seen    []int64 // Seen[i]: targets potential on i+1 dates; as long as Scanned
}

// Always, Sometimes and Once are the targets seen on all dates, on some, and on one: the paper's
// transient hosts. Fewer than two dates tell nothing of that.
func (p *Presence) Always() int64 { return p.Seen[p.Scanned-1] }

// Once is documented at Always.
func (p *Presence) Once() int64 { return p.Seen[0] }

// Sometimes is documented at Always.
func (p *Presence) Sometimes() int64 { return p.Targets() - p.Always() - p.Once() }

// Targets are all that were ever potential.
func (p *Presence) Targets() (n int64) {
	for _, targets := range p.Seen {
		n += targets
	}
	return n
}

// Read makes the tables of the classified dataset in dir, which is that of the database, one of
// [dataset.OpenDuckDB]. progress, if not nil, is told what has been read. The error says so when there is no
// scan, or one that is not classified since it was followed up.
func Read(ctx context.Context, db *sql.DB, dir string, progress func(done string)) (*Census, error) {
	r := &reader{ctx: ctx, db: db, dir: dir}
	for _, step := range []struct {
		done string
		read func() error
	}{
		{"scans", r.readScans},
		{"verdicts", r.readVerdicts},
		{"reasons", r.readReasons},
		{"distances of keys", r.readDistances},
		{"repeated scans", r.tallies},
		{"final verdicts", r.readFinal},
		{"versions", r.versions},
		{"presence", r.presence},
		{"reuse of keys", r.reuse},
		{"networks", r.networks},
		{"TCP options", r.fingerprints},
		{"treatments", r.treatments},
		{"paths", r.paths},
		{"connections", r.connections},
		{"age of final verdicts", r.checkFinal},
		{"sources", r.sources},
	} {
		if err := step.read(); err != nil {
			return nil, err
		}
		if progress != nil {
			progress(step.done)
		}
	}
	r.funnel()
	r.months()
	r.finalMonths()
	r.reasons()
	r.outliers()
	r.losses()
	r.provenance()
	return &r.census, nil
}
