package truth

import (
	"io"
	"iter"
	"net/netip"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// PathRow is what a trace of one target with one kind of MP_CAPABLE should find, and what scan and trace
// together should conclude, where no packet is lost and no router limits its answers.
type PathRow struct {
	Target    netip.Addr
	Port      uint16
	Probe     scenario.Probe // V0 or V1
	Behaviour scenario.Behaviour
	Hops      int
	Box       scenario.Box
	BoxHop    int
	Acts      bool   // the box does something to SYNs of this probe
	Quotes    string // a letter a hop, from the first on: see quoteLetters

	// As the tables paths and hosts name them.
	Finding         string
	AfterHop, ByHop int // both 0 where the finding names no place
	FinalVerdict    string
}

// quoteLetters stand for what routers quote.
var quoteLetters = map[scenario.Quote]byte{
	scenario.QuoteWhole:    'w',
	scenario.QuoteEight:    '8',
	scenario.QuoteExtended: 'e',
	scenario.QuoteLimited:  'l', // whole, but half of the packets get no answer
	scenario.QuoteNone:     '-',
}

// hostPaths are the ways to the real kernels: the internet's router, and for one of them the router that
// strips MPTCP when it forwards.
var hostPaths = map[scenario.Behaviour]struct {
	hops int
	box  scenario.Box
}{
	scenario.KernelMPTCP:    {1, scenario.NoBox},
	scenario.KernelTCP:      {1, scenario.NoBox},
	scenario.KernelStripped: {2, scenario.StripBox},
}

// Paths are those to the simulated targets and the real hosts, sorted by target (IPv4 first), port and
// probe.
func Paths(s *scenario.Scenario) iter.Seq[PathRow] {
	return func(yield func(PathRow) bool) {
		for row := range Rows(s) {
			if row.Probe != scenario.V0 && row.Probe != scenario.V1 {
				continue
			}
			if !yield(pathRow(s, row)) {
				return
			}
		}
	}
}

func pathRow(s *scenario.Scenario, of Row) PathRow {
	row := PathRow{Target: of.Target, Port: of.Port, Probe: of.Probe, Behaviour: of.Behaviour}
	var quotes []scenario.Quote
	if way, real := hostPaths[of.Behaviour]; real {
		row.Hops, row.Box, row.BoxHop = way.hops, way.box, way.hops
		quotes = make([]scenario.Quote, way.hops) // Linux quotes a SYN whole
	} else {
		path := s.Path(of.Target, of.Port)
		row.Hops, row.Box, row.BoxHop = path.Hops, path.Box, path.BoxHop
		for hop := 1; hop <= path.Hops; hop++ {
			quotes = append(quotes, path.Router(hop).Quote)
		}
	}
	for _, q := range quotes {
		row.Quotes += string(quoteLetters[q])
	}
	row.derive()
	return row
}

// derive fills in what follows from path, behaviour and probe.
func (r *PathRow) derive() {
	switch r.Box {
	case scenario.NoBox:
	case scenario.MirrorBox, scenario.KeyBox, scenario.ResetBox:
		r.Acts = r.Behaviour.Verdict(r.Probe) != scenario.NoMPTCP // else it is a version that the box lets pass
	default:
		r.Acts = true
	}
	r.find()
	r.conclude()
}

// answers tells whether the router at a hop answers, complete whether it does with all options.
func (r *PathRow) answers(hop int) bool { return r.Quotes[hop-1] != quoteLetters[scenario.QuoteNone] }
func (r *PathRow) complete(hop int) bool {
	return r.answers(hop) && r.Quotes[hop-1] != quoteLetters[scenario.QuoteEight]
}

// last is the last hop up to a given one with what holds, first the first from a given one on; 0 for none.
func (r *PathRow) last(holds func(int) bool, to int) int {
	for hop := to; hop > 0; hop-- {
		if holds(hop) {
			return hop
		}
	}
	return 0
}

func (r *PathRow) first(holds func(int) bool, from int) int {
	for hop := from; hop <= r.Hops; hop++ {
		if holds(hop) {
			return hop
		}
	}
	return 0
}

// find fills in what a trace should find.
func (r *PathRow) find() {
	seen := r.Hops // the last hop that sees the SYN
	switch r.Box {
	case scenario.StripBox, scenario.RewriteBox:
		if by := r.first(r.complete, r.BoxHop+1); by > 0 {
			r.Finding = map[scenario.Box]string{scenario.StripBox: "removed", scenario.RewriteBox: "changed"}[r.Box]
			r.AfterHop, r.ByHop = r.last(r.complete, r.BoxHop), by
			return
		}
	case scenario.DropBox:
		r.Finding, r.AfterHop, r.ByHop = "dropped", r.last(r.answers, r.BoxHop), r.first(r.answers, r.BoxHop+1)
		if r.ByHop == 0 {
			r.ByHop = r.Hops + 1 // only the plain probe reached the host
		}
		return
	case scenario.MirrorBox, scenario.KeyBox, scenario.ResetBox:
		if !r.Acts {
			break
		}
		// That the answer comes from nearer than the host is to be seen by a router beyond, which the plain
		// probe finds.
		if r.first(r.answers, r.BoxHop+1) > 0 {
			r.Finding, r.AfterHop, r.ByHop = "answered-nearer", r.last(r.answers, r.BoxHop), r.BoxHop+1
			return
		}
		seen = r.BoxHop
	case scenario.TTLBox:
		seen = r.BoxHop
	}
	switch {
	case r.last(r.complete, seen) > 0:
		r.Finding = "kept"
	case r.last(r.answers, seen) > 0 || r.reaches():
		r.Finding = "not-quoted"
	default:
		r.Finding = "no-answer"
	}
}

// reaches tells whether something answers a trace in the target's name, or says that it is unreachable.
func (r *PathRow) reaches() bool {
	return r.Box != scenario.TTLBox && r.Behaviour.Verdict(r.Probe) != scenario.NoRow
}

// conclude fills in the final verdict.
func (r *PathRow) conclude() {
	verdict := r.Behaviour.Verdict(r.Probe)
	switch {
	case verdict == scenario.NoRow:
	case r.ByHop > 0:
		r.FinalVerdict = "middlebox-affected"
	case verdict == scenario.Potential && r.reaches():
		r.FinalVerdict = "true"
	case verdict == scenario.Potential:
		r.FinalVerdict = "unreachable"
	}
}

var pathSchema = arrow.NewSchema([]arrow.Field{
	{Name: "target", Type: arrow.BinaryTypes.String},
	{Name: "family", Type: arrow.BinaryTypes.String},
	{Name: "port", Type: arrow.PrimitiveTypes.Uint16},
	{Name: "probe", Type: arrow.BinaryTypes.String},
	{Name: "behaviour", Type: arrow.BinaryTypes.String},
	{Name: "hops", Type: arrow.PrimitiveTypes.Uint8},
	{Name: "box", Type: arrow.BinaryTypes.String},
	{Name: "box_hop", Type: arrow.PrimitiveTypes.Uint8, Nullable: true}, // NULL: no box
	{Name: "box_acts", Type: arrow.FixedWidthTypes.Boolean},             // on SYNs of this probe
	{Name: "quotes", Type: arrow.BinaryTypes.String},
	{Name: "finding", Type: arrow.BinaryTypes.String},
	{Name: "after_hop", Type: arrow.PrimitiveTypes.Uint8, Nullable: true},   // NULL: the finding names no place
	{Name: "by_hop", Type: arrow.PrimitiveTypes.Uint8, Nullable: true},      // NULL: as after_hop
	{Name: "final_verdict", Type: arrow.BinaryTypes.String, Nullable: true}, // NULL: nothing to conclude
}, nil)

// WritePaths writes the truth about a scenario's paths as a Parquet file, which appears whole or not at
// all, and says how many rows it has.
func WritePaths(path string, s *scenario.Scenario) (rows int, err error) {
	err = Whole(path, func(out io.Writer) (err error) {
		rows, err = encode(out, pathSchema, Paths(s), appendPath)
		return err
	})
	return rows, err
}

func appendPath(b *array.RecordBuilder, row PathRow) {
	text := func(column int, value string) { b.Field(column).(*array.StringBuilder).Append(value) }
	hop := func(column, value int, known bool) {
		if !known {
			b.Field(column).AppendNull()
			return
		}
		b.Field(column).(*array.Uint8Builder).Append(uint8(value))
	}
	text(0, row.Target.String())
	text(1, scenario.FamilyOf(row.Target))
	b.Field(2).(*array.Uint16Builder).Append(row.Port)
	text(3, row.Probe.String())
	text(4, row.Behaviour.String())
	hop(5, row.Hops, true)
	text(6, row.Box.String())
	hop(7, row.BoxHop, row.Box != scenario.NoBox)
	b.Field(8).(*array.BooleanBuilder).Append(row.Acts)
	text(9, row.Quotes)
	text(10, row.Finding)
	hop(11, row.AfterHop, row.ByHop > 0)
	hop(12, row.ByHop, row.ByHop > 0)
	if row.FinalVerdict == "" {
		b.Field(13).AppendNull()
		return
	}
	text(13, row.FinalVerdict)
}
