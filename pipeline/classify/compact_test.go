package classify

import (
	"bytes"
	"os"
	"testing"

	"github.com/mpcensus/mpcensus/lab/rows"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/ingest"
)

// Sorting the replies changes no verdict: not even which of a target's replies decides.
func TestCompactedReplies(t *testing.T) {
	dir := t.TempDir()
	d, err := dataset.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var lines bytes.Buffer
	if err := rows.Write(t.Context(), &lines, rows.Params{Rows: 20_000, Probe: rows.V0, Family: rows.IPv4, Port: 443, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	summary, err := ingest.Run(t.Context(), d, &lines, ingest.Params{Format: dataset.Parquet, Input: "-", Stage: "test"})
	if err != nil {
		t.Fatal(err)
	}
	scan := Scan{summary.Scan.ID, summary.Scan.Partition}
	path := scan.Path(dir, dataset.HostsTable, scan.ID, dataset.Parquet)
	hosts := func() []byte {
		t.Helper()
		if _, err := classifier(t, dir).Hosts(t.Context(), scan); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	before := hosts()
	if done, err := d.Compact(t.Context(), nil); err != nil || len(done) != 1 {
		t.Fatal(done, err)
	}
	if !bytes.Equal(hosts(), before) {
		t.Error("other verdicts after compact")
	}
	report, err := d.Check(t.Context(), nil)
	if err != nil || report.Problems != nil {
		t.Errorf("%q, %v", report.Problems, err)
	}
}
