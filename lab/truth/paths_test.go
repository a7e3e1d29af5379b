package truth

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// What a trace should find, by hand: routers are w(hole), e(xtended), l(imited), 8 (bytes) or - (silent).
func TestFindings(t *testing.T) {
	const v0, v1 = scenario.V0, scenario.V1
	for name, c := range map[string]struct {
		b           scenario.Behaviour
		probe       scenario.Probe
		box         scenario.Box
		hop         int
		quotes      string
		finding     string
		after, by   int
		conclusions string
	}{
		"clean":                       {scenario.TrueV1, v1, scenario.NoBox, 0, "w8-w", "kept", 0, 0, "true"},
		"clean, no MPTCP":             {scenario.TCP, v1, scenario.NoBox, 0, "w8-w", "kept", 0, 0, ""},
		"of another version":          {scenario.TrueV1, v0, scenario.NoBox, 0, "w8-w", "kept", 0, 0, ""},
		"eight bytes everywhere":      {scenario.TrueV1, v1, scenario.NoBox, 0, "888", "not-quoted", 0, 0, "true"},
		"silent routers":              {scenario.TrueV1, v1, scenario.NoBox, 0, "---", "not-quoted", 0, 0, "true"},
		"nothing answers":             {scenario.Silent, v1, scenario.NoBox, 0, "---", "no-answer", 0, 0, ""},
		"silent host":                 {scenario.Silent, v1, scenario.StripBox, 1, "www", "removed", 1, 2, ""},
		"strip":                       {scenario.TCP, v1, scenario.StripBox, 2, "wwww", "removed", 2, 3, "middlebox-affected"},
		"strip between short quotes":  {scenario.TCP, v1, scenario.StripBox, 3, "we8-8e", "removed", 2, 6, "middlebox-affected"},
		"strip at the scanner":        {scenario.TCP, v0, scenario.StripBox, 0, "-ww", "removed", 0, 2, "middlebox-affected"},
		"strip before the host":       {scenario.TCP, v1, scenario.StripBox, 3, "www", "kept", 0, 0, ""},
		"strip before short quotes":   {scenario.TCP, v1, scenario.StripBox, 2, "ww88", "kept", 0, 0, ""},
		"rewrite, limited routers":    {scenario.TCP, v1, scenario.RewriteBox, 2, "lwll", "changed", 2, 3, "middlebox-affected"},
		"nat":                         {scenario.TrueV0, v0, scenario.NATBox, 1, "www", "kept", 0, 0, "true"},
		"mirror":                      {scenario.Mirror, v0, scenario.MirrorBox, 1, "w-w", "answered-nearer", 1, 2, "middlebox-affected"},
		"mirror behind silent router": {scenario.Mirror, v0, scenario.MirrorBox, 2, "w-w8", "answered-nearer", 1, 3, "middlebox-affected"},
		"mirror, nobody beyond":       {scenario.Mirror, v0, scenario.MirrorBox, 2, "8w--", "kept", 0, 0, ""},
		"mirror at the scanner":       {scenario.Mirror, v1, scenario.MirrorBox, 0, "---", "not-quoted", 0, 0, ""},
		"own key":                     {scenario.TrueV1, v1, scenario.KeyBox, 0, "w8", "answered-nearer", 0, 1, "middlebox-affected"},
		"own key, nobody beyond":      {scenario.TrueV1, v1, scenario.KeyBox, 1, "w--", "kept", 0, 0, "true"},
		"own key, other version":      {scenario.TrueV1, v0, scenario.KeyBox, 0, "w8", "kept", 0, 0, ""},
		"reset":                       {scenario.ResetMPTCP, v1, scenario.ResetBox, 1, "www", "answered-nearer", 1, 2, "middlebox-affected"},
		"drop":                        {scenario.DropMPTCP, v1, scenario.DropBox, 2, "w8-8", "dropped", 2, 4, ""},
		"drop before the host":        {scenario.DropUnknown, v0, scenario.DropBox, 3, "ww-", "dropped", 2, 4, ""},
		"guard":                       {scenario.TrueV1, v1, scenario.TTLBox, 2, "8www", "kept", 0, 0, "unreachable"},
		"guard, short quotes":         {scenario.TrueV1, v1, scenario.TTLBox, 1, "8www", "not-quoted", 0, 0, "unreachable"},
		"guard, silent router":        {scenario.TrueV1, v1, scenario.TTLBox, 1, "-www", "no-answer", 0, 0, "unreachable"},
		"guard of no MPTCP":           {scenario.TCP, v1, scenario.TTLBox, 1, "wwww", "kept", 0, 0, ""},
	} {
		r := PathRow{Probe: c.probe, Behaviour: c.b, Box: c.box, BoxHop: c.hop, Hops: len(c.quotes), Quotes: c.quotes}
		r.derive()
		if r.Finding != c.finding || r.AfterHop != c.after || r.ByHop != c.by || r.FinalVerdict != c.conclusions {
			t.Errorf("%s: %s, after %d, by %d, %q: want %s, %d, %d, %q",
				name, r.Finding, r.AfterHop, r.ByHop, r.FinalVerdict, c.finding, c.after, c.by, c.conclusions)
		}
	}
}

// The file has what the scenario says, two rows a target and port, and all that can be found.
func TestWritePaths(t *testing.T) {
	s := smaller(t)
	path := filepath.Join(t.TempDir(), "paths.parquet")
	written, err := WritePaths(path, s)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	arrowReader, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := arrowReader.ReadTable(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	if rows := (2*4096 + 2*len(scenario.Hosts)) * 2 * 2; written != rows || int(table.NumRows()) != rows {
		t.Fatalf("%d rows in the file, %d written, want %d", table.NumRows(), written, rows)
	}
	findings, finals := map[string]int{}, map[string]int{}
	tables := array.NewTableReader(table, 1<<20)
	defer tables.Release()
	n := 0
	var want []Row // without controls
	for row := range Rows(s) {
		if row.Probe == scenario.V0 || row.Probe == scenario.V1 {
			want = append(want, row)
		}
	}
	for tables.Next() {
		batch := tables.RecordBatch()
		text := func(column, row int) string {
			if batch.Column(column).IsNull(row) {
				return "NULL"
			}
			return batch.Column(column).ValueStr(row)
		}
		for i := range int(batch.NumRows()) {
			row := want[n]
			n++
			if text(0, i) != row.Target.String() || text(3, i) != row.Probe.String() || text(4, i) != row.Behaviour.String() {
				t.Fatalf("row %d is of %s, %s, %s: want %v", n, text(0, i), text(3, i), text(4, i), row)
			}
			findings[text(10, i)]++
			finals[text(13, i)]++
			if row.Behaviour < scenario.KernelMPTCP {
				path := s.Path(row.Target, row.Port)
				if text(6, i) != path.Box.String() || len(text(9, i)) != path.Hops || (text(7, i) == "NULL") != (path.Box == scenario.NoBox) {
					t.Fatalf("row %d: box %s behind %s, quotes %s: want %+v", n, text(6, i), text(7, i), text(9, i), path)
				}
			}
			if placed := text(11, i) != "NULL"; placed != (text(12, i) != "NULL") || placed != (text(10, i) != "kept" && text(10, i) != "not-quoted") {
				t.Fatalf("row %d: %s, after %s, by %s", n, text(10, i), text(11, i), text(12, i))
			}
			// The strip box of the kernel that has one is the last hop: nobody quotes behind it.
			if row.Behaviour == scenario.KernelMPTCP && (text(13, i) == "true") != (row.Probe == scenario.V1) ||
				row.Behaviour == scenario.KernelStripped && text(10, i) != "kept" {
				t.Errorf("row %d, %s, %s: %s, %s", n, row.Behaviour, row.Probe, text(10, i), text(13, i))
			}
		}
	}
	for _, finding := range []string{"kept", "removed", "changed", "dropped", "answered-nearer"} {
		if findings[finding] < 100 {
			t.Errorf("findings %v", findings)
		}
	}
	if finals["true"] < 200 || finals["middlebox-affected"] < 1000 || finals["unreachable"] < 10 || finals["NULL"] < 1000 {
		t.Errorf("final verdicts %v", finals)
	}
}
