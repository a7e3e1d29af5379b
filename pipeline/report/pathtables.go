package report

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/enrich"
)

// findings are those that a trace of MP_CAPABLE can have, in the order of the table of paths.
var findings = []struct{ name, column, meaning string }{
	{"kept", "kept", "MP_CAPABLE is unchanged in every quote that has the options."},
	{"not-quoted", "not_quoted", "No router quoted the options: not seen."},
	{"inconsistent", "inconsistent", "Quotes contradict each other, as on paths with several routers at a hop."},
	{"removed", "removed", "A quote shows MP_CAPABLE gone."},
	{"changed", "changed", "A quote shows MP_CAPABLE changed."},
	{"dropped", "dropped", "The plain probe came further."},
	{"answered-nearer", "answered_nearer", "The answer comes from nearer than that to the plain probe: a box answers in the host's place."},
	{"no-answer", "no_answer", "Nothing answered, no router either."},
}

// places are where on the path a box is, nearest to the scanner first.
var places = []struct{ column, label, meaning string }{
	{"first_third", "first third of the path", "In the first third of the path."},
	{"middle_third", "middle third", "In the middle third."},
	{"last_third", "last third", "In the last third, but not near the host."},
	{"near_host", "near the host", "On one of the last two links before the host."},
	{"not_told", "not told", "The interval is longer than a third of the path, or the length of the path is not known."},
}

// notTraced says why a table of paths has no rows.
const notTraced = "Not enough data: no target was traced. Run mpcensus trace."

// paths makes the tables of paths.
func (r *reader) paths() error {
	if err := r.execute("newestpaths"); err != nil {
		return err
	}
	traced, err := r.findings()
	if err != nil {
		return err
	}
	if err := r.middleboxes(traced); err != nil {
		return err
	}
	return r.middleboxNetworks(len(traced) > 0)
}

// findings makes PathsTable, and returns how many targets were traced.
func (r *reader) findings() (traced map[dataset.Partition]int64, err error) {
	t := Table{
		Name: "paths", Title: "What traces found",
		Note: "Targets by what became of MP_CAPABLE on the way to them, as the newest trace of each shows it.",
		Columns: slices.Concat(partitionColumns, []Column{
			{Name: "traced", Unit: "targets", Meaning: "Targets traced."},
			{Name: "reached", Unit: "targets", Meaning: "Those in whose name a SYN-ACK or RST came."}}),
		Empty: notTraced,
	}
	columns := make(map[string]int)
	for _, f := range findings {
		columns[f.name] = len(t.Columns)
		t.Columns = append(t.Columns, Column{Name: f.column, Unit: "targets", Meaning: f.meaning})
	}
	traced = make(map[dataset.Partition]int64)
	rows := make(map[dataset.Partition][]any)
	var p dataset.Partition
	var finding string
	var n, reached int64
	err = r.query("paths", nil, func() error {
		column, known := columns[finding]
		if !known {
			return fmt.Errorf("finding %q is unknown: was it made by a newer version?", finding)
		}
		row := rows[p]
		if row == nil {
			row = partitionCells(p)
			for range len(t.Columns) - len(row) {
				row = append(row, int64(0))
			}
			rows[p] = row
		}
		traced[p] += n
		row[4] = traced[p]
		row[5] = row[5].(int64) + reached
		row[column] = n
		return nil
	}, &p.Date, &p.Family, &p.Port, &p.Probe, &finding, &n, &reached)
	for _, p := range newestFirst(rows) {
		t.Rows = append(t.Rows, rows[p])
	}
	r.census.PathsTable = t
	return traced, err
}

// newestFirst are the keys of a map: the newest date first, then by family, port and probe.
func newestFirst[V any](of map[dataset.Partition]V) (partitions []dataset.Partition) {
	for p := range of {
		partitions = append(partitions, p)
	}
	slices.SortFunc(partitions, comparePartitions)
	return partitions
}

func comparePartitions(a, b dataset.Partition) int {
	return cmp.Or(cmp.Compare(b.Date, a.Date), cmp.Compare(a.Family, b.Family), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Probe, b.Probe))
}

// boxKind is what boxes do on the paths of a partition.
type boxKind struct {
	dataset.Partition
	kind string
}

// kindRank puts what befalls MP_CAPABLE first, in the order of the table of paths; the rest follows.
func kindRank(kind string) int {
	for i, f := range findings {
		if f.name == kind {
			return i
		}
	}
	return len(findings)
}

// middleboxes makes Middleboxes.
func (r *reader) middleboxes(traced map[dataset.Partition]int64) error {
	t := Table{
		Name: "middleboxes", Title: "Middleboxes on the path: what they do, and where",
		Note: "Paths of the newest trace of each target, by what a box on them does and by where it is: in the middle of the interval between the " +
			"last hop that shows nothing and the first that shows the change. A path with several kinds counts at each. Of what is not MP_CAPABLE only " +
			"the first hop that shows it is known.",
		Columns: slices.Concat(partitionColumns, []Column{
			{Name: "kind", Meaning: "What becomes of MP_CAPABLE, as in paths; nat, seq-rewritten, or the header field or option that is changed."},
			{Name: "targets", Meaning: "Targets on whose path that is."},
			{Name: "share", Share: true, Meaning: "Of the targets traced."}}),
		Empty: "No path shows a middlebox.",
	}
	if len(traced) == 0 {
		t.Empty = notTraced
	}
	columns := make(map[string]int)
	for i, place := range places {
		columns[place.column] = i
		t.Columns = append(t.Columns, Column{Name: place.column, Unit: "targets", Meaning: place.meaning})
	}
	t.Columns = append(t.Columns,
		Column{Name: "places", Meaning: "Different pairs of routers that the boxes are between: how many boxes there are at least, about."},
		Column{Name: "interval_hops", Unit: "hops", Meaning: "Length of the interval that a box is in, median; 1 is the best that quotes can show."},
		Column{Name: "hops_to_host", Unit: "hops", Meaning: "From the hop that shows the change to the host, median."})

	found := make(map[boxKind][]any)
	counts := make(map[boxKind][]int64)
	var box boxKind
	var place string
	var n int64
	if err := r.query("middleboxes", nil, func() error {
		if counts[box] == nil {
			counts[box] = make([]int64, len(places))
		}
		counts[box][columns[place]] = n
		return nil
	}, &box.Date, &box.Family, &box.Port, &box.Probe, &box.kind, &place, &n); err != nil {
		return err
	}
	var pairs int64
	var interval, toHost *float64
	if err := r.query("intervals", nil, func() error {
		found[box] = []any{pairs, floatOrNil(interval), floatOrNil(toHost)}
		return nil
	}, &box.Date, &box.Family, &box.Port, &box.Probe, &box.kind, &pairs, &interval, &toHost); err != nil {
		return err
	}
	boxes := make([]boxKind, 0, len(counts))
	for box := range counts {
		boxes = append(boxes, box)
	}
	slices.SortFunc(boxes, func(a, b boxKind) int {
		return cmp.Or(comparePartitions(a.Partition, b.Partition), cmp.Compare(kindRank(a.kind), kindRank(b.kind)), cmp.Compare(a.kind, b.kind))
	})
	for _, box := range boxes {
		all := int64(0)
		var cells []any
		for _, n := range counts[box] {
			all += n
			cells = append(cells, n)
		}
		t.Rows = append(t.Rows, slices.Concat(partitionCells(box.Partition), []any{box.kind, all, share(all, traced[box.Partition])}, cells, found[box]))
	}
	r.census.Middleboxes = t
	return nil
}

func floatOrNil(v *float64) any {
	if v == nil {
		return nil
	}
	return *v
}

// surroundings are the networks on both sides of boxes of a kind.
type surroundings struct {
	family, kind            string
	afterASN, byASN         uint32
	afterName, byName       string
	afterCountry, byCountry string
	known                   bool
	targets                 int64
}

// middleboxNetworks makes MiddleboxNetworks.
func (r *reader) middleboxNetworks(traced bool) error {
	const most = 20
	t := Table{
		Name: "middlebox_networks", Title: "Networks of middleboxes",
		Note: fmt.Sprintf("Of the newest traced date of each family, port and probe: the networks of the routers that a box which meddles with MP_CAPABLE is "+
			"between. One that lies in the same network on both sides is of that network. The %d with the most targets.", most),
		Columns: []Column{familyColumn,
			{Name: "kind", Meaning: "What becomes of MP_CAPABLE."},
			{Name: "after_asn", Number: true, Meaning: "AS of the last router whose quote shows nothing; – where it is not known."},
			{Name: "after_as_name", Meaning: "Its name."},
			{Name: "after_country", Meaning: "Its country, ISO 3166-1."},
			{Name: "by_asn", Number: true, Meaning: "AS of the first router that shows the change; – where it is not known, or none does."},
			{Name: "by_as_name", Meaning: "Its name."},
			{Name: "by_country", Meaning: "Its country, ISO 3166-1."},
			{Name: "targets", Meaning: "Targets on whose path such a box is."}},
		Empty: "No path shows where a box meddles with MP_CAPABLE.",
	}
	if !traced {
		t.Empty = notTraced
	}
	found, err := r.readSurroundings()
	if err != nil {
		return err
	}
	if len(found) > 0 && !slices.ContainsFunc(found, func(s surroundings) bool { return s.known }) {
		found, t.Empty = nil, "Not enough data: of none of these routers the network is known. mpcensus enrich says what is."
	}
	slices.SortFunc(found, func(a, b surroundings) int {
		return cmp.Or(cmp.Compare(b.targets, a.targets), cmp.Compare(a.family, b.family), cmp.Compare(kindRank(a.kind), kindRank(b.kind)),
			cmp.Compare(a.afterASN, b.afterASN), cmp.Compare(a.byASN, b.byASN),
			cmp.Compare(a.afterCountry, b.afterCountry), cmp.Compare(a.byCountry, b.byCountry))
	})
	for _, s := range found[:min(most, len(found))] {
		t.Rows = append(t.Rows, []any{s.family, s.kind, asnOrNil(s.afterASN), textOrNil(s.afterName), textOrNil(s.afterCountry),
			asnOrNil(s.byASN), textOrNil(s.byName), textOrNil(s.byCountry), s.targets})
	}
	r.census.MiddleboxNetworks = t
	return nil
}

func asnOrNil(number uint32) any {
	if number == 0 {
		return nil
	}
	return int64(number)
}

func textOrNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// readSurroundings looks up the routers on both sides of the boxes. The table networks is only read where
// there are any.
func (r *reader) readSurroundings() ([]surroundings, error) {
	var networks *enrich.Networks
	counts := make(map[surroundings]int64)
	var family, kind string
	var after, by *string
	var n int64
	err := r.query("responders", nil, func() (err error) {
		if len(counts) == 0 {
			if networks, err = enrich.Read(r.ctx, r.dir); err != nil {
				return err
			}
		}
		a, b := networkOf(networks, after), networkOf(networks, by)
		counts[surroundings{family: family, kind: kind, afterASN: a.ASN, afterName: a.ASName, afterCountry: a.Country,
			byASN: b.ASN, byName: b.ASName, byCountry: b.Country, known: a != b || a != enrich.Network{}}] += n
		return nil
	}, &family, &kind, &after, &by, &n)
	found := make([]surroundings, 0, len(counts))
	for s, n := range counts {
		s.targets = n
		found = append(found, s)
	}
	return found, err
}

// networkOf is the network of a router: the zero value where nothing is known.
func networkOf(networks *enrich.Networks, router *string) enrich.Network {
	if router == nil {
		return enrich.Network{}
	}
	address, _ := netip.ParseAddr(*router) // what is no address is in no network
	return networks.Lookup(address)
}
