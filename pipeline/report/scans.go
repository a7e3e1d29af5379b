package report

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/classify"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/keys"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// scan is a scan and what its hosts say.
type scan struct {
	dataset.ScanKey
	complete  bool
	record    map[string]any // of the table scans
	verdicts  map[string]int64
	byVerdict map[string]keys.Histogram
	distances keys.Histogram
	reasons   map[reason]int64
	undecided int64
	unjudged  int64
}

// reason is what a reason of a filtered host begins with, and on what hosts.
type reason struct {
	verdict string
	tag     string
	weight  int // of the key; -1 without one
}

// sendsMPCapable says whether the scan's SYNs have MP_CAPABLE.
func sendsMPCapable(p dataset.Partition) bool {
	return p.Probe == zmap.ProbeV0 || p.Probe == zmap.ProbeV1
}

func (r *reader) readScans() error {
	records, err := r.records("scans")
	if err != nil {
		return err
	}
	if len(records) == 0 {
		return errors.New("the dataset has no scans: make one with mpcensus scan or ingest")
	}
	c := &r.census
	c.Scans = len(records)
	incomplete := 0
	for _, record := range records {
		s, err := scanOf(record)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(r.scans, func(other *scan) bool { return other.ID == s.ID }) {
			return fmt.Errorf("scan %q: the table scans has two of that name: remove the one that was copied", s.ID)
		}
		r.scans = append(r.scans, s)
		c.Dates, c.Families, c.Ports = append(c.Dates, s.Date), append(c.Families, s.Family), append(c.Ports, s.Port)
		if !s.complete {
			incomplete++
		}
	}
	c.Dates, c.Families, c.Ports = distinct(c.Dates), distinct(c.Families), distinct(c.Ports)
	if incomplete > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("%d of %d scans are incomplete: they broke off, and count fewer targets than there are. They stand in the tables of single scans and dates, marked; months, presence and the latest scans leave out their date for that family, port and probe.", incomplete, c.Scans))
	}
	return nil
}

// scanOf is the scan of a row of the table scans.
func scanOf(record map[string]any) (*scan, error) {
	s := &scan{record: record, complete: record["complete"] == "yes",
		verdicts: map[string]int64{}, byVerdict: map[string]keys.Histogram{}, reasons: map[reason]int64{}}
	s.ID, _ = record["scan_id"].(string)
	s.Date, _ = record["date"].(string)
	s.Family, _ = record["family"].(string)
	s.Probe, _ = record["probe"].(string)
	port, _ := record["port"].(int64)
	s.Port = uint16(port)
	if _, err := time.Parse(time.DateOnly, s.Date); err != nil {
		return nil, fmt.Errorf("scan %q: its date %q is not YYYY-MM-DD: name its folders as docs/tables.md says", s.ID, s.Date)
	}
	return s, nil
}

func distinct[T cmp.Ordered](values []T) []T {
	return slices.Compact(slices.Sorted(slices.Values(values)))
}

// readVerdicts counts the hosts of each scan, makes sure that they are those of its replies, and makes
// the view counted_hosts: without hosts of what is no scan of the dataset.
func (r *reader) readVerdicts() error {
	byKey := make(map[dataset.ScanKey]*scan)
	for _, s := range r.scans {
		byKey[s.ScanKey] = s
	}
	replies := make(map[*scan]int64)
	strays := make(map[dataset.ScanKey]int64) // hosts

	var key dataset.ScanKey
	var verdict string
	var weight *uint8
	var targets, behind, undecided, unjudged int64
	err := r.query("verdicts", nil, func() error {
		s := byKey[key]
		if s == nil {
			strays[key] += targets
			return nil
		}
		if !slices.Contains(classify.Verdicts, verdict) {
			return fmt.Errorf("scan %s: verdict %q is unknown: was it made by a newer version?", s.ID, verdict)
		}
		replies[s] += behind
		s.verdicts[verdict] += targets
		s.undecided += undecided
		s.unjudged += unjudged
		if weight != nil && *weight <= keys.Bits {
			h := s.byVerdict[verdict]
			h[*weight] += uint64(targets)
			s.byVerdict[verdict] = h
		}
		return nil
	}, &key.Date, &key.Family, &key.Port, &key.Probe, &key.ID, &verdict, &weight, &targets, &behind, &undecided, &unjudged)
	if err != nil {
		return err
	}
	for _, s := range r.scans {
		if kept, _ := s.record["rows_kept"].(int64); kept != replies[s] {
			return fmt.Errorf("scan %s: it has %d replies and hosts of %d: run mpcensus classify", s.ID, kept, replies[s])
		}
	}
	return r.countHosts(strays)
}

func (r *reader) countHosts(strays map[dataset.ScanKey]int64) error {
	counted := "true"
	left := int64(0)
	for key, n := range strays {
		counted += fmt.Sprintf(" AND NOT (scan_id = %s AND %s)", dataset.Literal(key.ID), inPartition(key.Partition))
		left += n
	}
	if left > 0 {
		r.census.Notes = append(r.census.Notes, fmt.Sprintf(
			"%d hosts of %d scans are left out: the table scans does not have these scans.", left, len(strays)))
	}
	_, err := r.db.ExecContext(r.ctx, "CREATE OR REPLACE TEMP VIEW counted_hosts AS FROM hosts WHERE "+counted)
	return queryError("hosts", err)
}

// inPartition is the SQL condition that a row is of a partition.
func inPartition(p dataset.Partition) string {
	return fmt.Sprintf("date = %s AND family = %s AND port = %d AND probe = %s",
		dataset.Literal(p.Date), dataset.Literal(p.Family), p.Port, dataset.Literal(p.Probe))
}

func (r *reader) readDistances() error {
	byID := r.scansByID()
	var id string
	var distance uint8
	var n uint64
	return r.query("distances", nil, func() error {
		if s := byID[id]; s != nil && distance <= keys.Bits {
			s.distances[distance] = n
		}
		return nil
	}, &id, &distance, &n)
}

func (r *reader) readReasons() error {
	byID := r.scansByID()
	var id, verdict, tag string
	var weight *uint8
	var targets int64
	return r.query("reasons", nil, func() error {
		if s := byID[id]; s != nil {
			key := reason{verdict, tag, -1}
			if weight != nil {
				key.weight = int(*weight)
			}
			s.reasons[key] = targets
		}
		return nil
	}, &id, &verdict, &weight, &tag, &targets)
}

func (r *reader) scansByID() map[string]*scan {
	byID := make(map[string]*scan)
	for _, s := range r.scans {
		byID[s.ID] = s
	}
	return byID
}

// tallies adds up the scans of each partition, and makes the view latest_hosts.
func (r *reader) tallies() error {
	for _, same := range byPartition(r.scans) {
		t := Tally{Partition: same[0].Partition, Complete: true, Verdicts: same[0].verdicts}
		t.Probes.Valid = true
		for _, s := range same {
			t.Scans = append(t.Scans, s.ID)
			t.Complete = t.Complete && s.complete
			sent, known := s.record["probes_sent"].(int64)
			t.Probes.V += sent
			t.Probes.Valid = t.Probes.Valid && known
		}
		if len(same) > 1 {
			var err error
			if t.Verdicts, err = r.partition(t.Partition); err != nil {
				return err
			}
		}
		r.census.Tallies = append(r.census.Tallies, t)
	}
	return r.latestHosts()
}

// byPartition splits scans, which are sorted, by partition.
func byPartition(scans []*scan) (parts [][]*scan) {
	for i, s := range scans {
		if i == 0 || s.Partition != scans[i-1].Partition {
			parts = append(parts, nil)
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], s)
	}
	return parts
}

// partition counts the targets of a partition that several scans have.
func (r *reader) partition(p dataset.Partition) (map[string]int64, error) {
	if err := r.setNames("verdicts", classify.Verdicts); err != nil {
		return nil, err
	}
	counts := make(map[string]int64)
	var verdict string
	var n int64
	err := r.query("partition", []any{p.Date, p.Family, p.Port, p.Probe}, func() error {
		counts[verdict] = n
		return nil
	}, &verdict, &n)
	return counts, err
}

// latest are the tallies of the latest scans.
func (c *Census) latest() (latest []*Tally) {
	type place struct {
		family string
		port   uint16
	}
	newest := make(map[place]string)
	for i := range c.Tallies {
		t := &c.Tallies[i]
		at := place{t.Family, t.Port}
		if !t.Complete || !sendsMPCapable(t.Partition) || newest[at] != "" && newest[at] != t.Date {
			continue
		}
		newest[at] = t.Date
		latest = append(latest, t)
	}
	return latest
}

func (r *reader) latestHosts() error {
	latest := "false"
	for _, t := range r.census.latest() {
		latest += " OR " + inPartition(t.Partition)
	}
	_, err := r.db.ExecContext(r.ctx, "CREATE OR REPLACE TEMP VIEW latest_hosts AS FROM counted_hosts WHERE "+latest)
	return queryError("the latest scans", err)
}
