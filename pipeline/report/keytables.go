package report

import (
	"fmt"
	"slices"

	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// outliers makes Keys and the table Outliers.
func (r *reader) outliers() {
	t := Table{
		Name: "outliers", Title: "Outlying weights of keys",
		Note: fmt.Sprintf("Hamming weights that more keys have than genuine ones explain, of all keys that came back in a scan: genuine keys follow Binomial(64, 1/2). False-discovery rate %g over the 65 weights of a scan; intervals of 95 %%.", keys.FDR),
		Columns: slices.Concat(partitionColumns, []Column{
			scanColumn,
			{Name: "weight", Unit: "bits", Meaning: "Bits set in the key, of 64."},
			{Name: "observed", Unit: "keys", Meaning: "Keys of that weight that came back."},
			{Name: "expected", Unit: "keys", Meaning: "Genuine keys expected there."},
			{Name: "p", Chance: true, Meaning: "Chance of as many keys or more, were all of them genuine."},
			{Name: "adjusted_p", Chance: true, Meaning: "p, adjusted for the test of all weights (Benjamini and Hochberg)."},
			{Name: "excess", Unit: "keys", Meaning: "Keys that genuine ones do not explain."},
			{Name: "excess_low", Unit: "keys", Meaning: "Lower end of its interval."},
			{Name: "excess_high", Unit: "keys", Meaning: "Upper end of its interval."},
			{Name: "condemned", Meaning: "yes: by its weight alone, hardly any of these keys is genuine. A verdict by weight comes from the keys alone that no other test decided: a host can be potential here."},
			{Name: "verdict", Meaning: "The verdict that most of these hosts have, all tests taken together."},
			{Name: "verdict_share", Share: true, Meaning: "Of these hosts, those with that verdict."},
			{Name: "reason", Meaning: "The reason that most of the hosts with that verdict have; none for potential ones."}}),
	}
	judged := false
	for _, s := range r.scans {
		if !sendsMPCapable(s.Partition) {
			continue
		}
		k := ScanKeys{ID: s.ID, Partition: s.Partition, Complete: s.complete, ByVerdict: s.byVerdict, Distances: s.distances}
		k.Weights = keys.TestWeights(all(s.byVerdict), keys.FDR)
		r.census.Keys = append(r.census.Keys, k)
		judged = judged || !k.Weights.TooFew
		for _, w := range k.Weights.Outliers() {
			verdict, n := s.commonest(w.Weight)
			t.Rows = append(t.Rows, append(partitionCells(s.Partition), s.ID, int64(w.Weight), int64(w.Observed), w.Expected,
				w.P, w.AdjustedP, w.Excess, w.ExcessLow, w.ExcessHigh, yesNo(w.Condemned),
				verdict, share(n, int64(w.Observed)), s.commonestReason(verdict, w.Weight)))
		}
	}
	t.Empty = "No weight is outlying."
	if !judged {
		t.Empty = fmt.Sprintf("Not enough data: in no scan did as many as %d keys come back.", keys.MinKeys)
	}
	r.census.Outliers = t
}

// all adds up histograms.
func all(byVerdict map[string]keys.Histogram) (sum keys.Histogram) {
	for _, h := range byVerdict {
		for weight, n := range h {
			sum[weight] += n
		}
	}
	return sum
}

// commonest is the verdict that most of the hosts with a weight have, and how many; the first by name
// of equals.
func (s *scan) commonest(weight int) (verdict string, targets int64) {
	for v, h := range s.byVerdict {
		if n := int64(h[weight]); n > targets || n == targets && v < verdict {
			verdict, targets = v, n
		}
	}
	return verdict, targets
}

// commonestReason is the reason that most hosts with a verdict and weight have, or nil.
func (s *scan) commonestReason(verdict string, weight int) any {
	var tag any
	most := int64(0)
	for key, n := range s.reasons {
		if key.verdict == verdict && key.weight == weight && (n > most || n == most && key.tag < tag.(string)) {
			tag, most = key.tag, n
		}
	}
	return tag
}

// reuse makes the table Reuse.
func (r *reader) reuse() error {
	const most = 20 // as reuse.sql has it
	records, err := r.records("reuse")
	if err != nil {
		return err
	}
	t := Table{
		Name: "reuse", Title: "Keys that came back more than once",
		Note: fmt.Sprintf("A key must be unique and hard to guess (RFC 6824 §3.1, RFC 8684 §3.1): these came from several hosts, or from one to several probes or on several dates. Exact echoes of our own key are left out. The %d commonest.", most),
		Columns: []Column{
			{Name: "sender_key", Meaning: "The key, in hexadecimal digits."},
			{Name: "times", Unit: "hosts and scans", Meaning: "How often it came back: once a target and scan."},
			{Name: "addresses", Meaning: "Addresses that it came from."},
			{Name: "targets", Meaning: "Addresses and ports that it came from."},
			{Name: "scans", Meaning: "Scans in which it came."},
			{Name: "first_date", Meaning: "Date of the first of them."},
			{Name: "last_date", Meaning: "Date of the last."},
			{Name: "verdict", Meaning: "The verdict that most of its hosts have."},
		},
		Empty: "No key came back more than once.",
	}
	for i, record := range records {
		if i == 0 {
			n, reused := record["all_keys"].(int64), record["all_reused"].(int64)
			t.Note += fmt.Sprintf(" Keys came back %s times in all, %s of these times one of the %s that came more than once; that any two of so many genuine keys are equal has a chance of %.1e.",
				groupedSigned(n), groupedSigned(record["all_times"].(int64)), groupedSigned(reused), keys.CollisionChance(uint64(n)))
		}
		t.Rows = append(t.Rows, pick(record, t.Columns))
	}
	r.census.Reuse = t
	return nil
}

// presence makes Presence and its table.
func (r *reader) presence() error {
	t := Table{
		Name: "presence", Title: "Hosts over time",
		Note: "Targets that were potential on any complete date, on which all scans of the family, port and probe are complete: on all such dates, on several, or once (transient hosts). One date tells nothing of that.",
		Columns: []Column{familyColumn, portColumn, probeColumn,
			{Name: "dates", Meaning: "Complete dates."},
			{Name: "ever", Unit: "targets", Meaning: "Potential on any of them."},
			{Name: "always", Unit: "targets", Meaning: "Potential on all of them."},
			{Name: "always_share", Share: true, Meaning: "Of ever."},
			{Name: "sometimes", Unit: "targets", Meaning: "Potential on more than one, but not on all."},
			{Name: "sometimes_share", Share: true, Meaning: "Of ever."},
			{Name: "once", Unit: "targets", Meaning: "Potential on one."},
			{Name: "once_share", Share: true, Meaning: "Of ever."}},
		Empty: "Not enough data: no family, port and probe has two complete dates and a potential host.",
	}
	var at Presence
	var seen, targets int64
	err := r.query("presence", nil, func() error {
		list := &r.census.Presence
		last := len(*list) - 1
		if last < 0 || (*list)[last].Family != at.Family || (*list)[last].Port != at.Port || (*list)[last].Probe != at.Probe {
			at.Seen = make([]int64, at.Scanned)
			*list = append(*list, at)
			last++
		}
		(*list)[last].Seen[seen-1] = targets
		return nil
	}, &at.Family, &at.Port, &at.Probe, &at.Scanned, &seen, &targets)
	if err != nil {
		return err
	}
	for _, p := range r.census.Presence {
		if p.Scanned < 2 {
			t.Rows = append(t.Rows, []any{p.Family, int64(p.Port), p.Probe, int64(p.Scanned), p.Targets(), nil, nil, nil, nil, nil, nil})
			continue
		}
		ever := p.Targets()
		t.Rows = append(t.Rows, []any{p.Family, int64(p.Port), p.Probe, int64(p.Scanned), ever,
			p.Always(), share(p.Always(), ever), p.Sometimes(), share(p.Sometimes(), ever), p.Once(), share(p.Once(), ever)})
	}
	if !slices.ContainsFunc(r.census.Presence, func(p Presence) bool { return p.Scanned >= 2 }) {
		t.Rows = nil
	}
	r.census.PresenceTable = t
	return nil
}
