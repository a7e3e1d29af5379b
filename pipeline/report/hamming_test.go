package report

import (
	"bytes"
	"errors"
	"image/png"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// The paper's shape: few genuine keys, and a spike of mirrors at weight 16.
func paper(n int) map[string]keys.Histogram {
	rng := rand.New(rand.NewPCG(1, 1))
	var genuine, mirrored keys.Histogram
	for range n {
		genuine[bits.OnesCount64(rng.Uint64())]++
	}
	mirrored[16] = 24 * uint64(n)
	return map[string]keys.Histogram{"potential": genuine, "mirrored": mirrored}
}

func TestHammingPlot(t *testing.T) {
	var figure bytes.Buffer
	if err := HammingPlot(&figure, "svg", "Scan a", paper(2600)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Scan a", "65,000 sender&#39;s keys came back; by their weights alone, at most about 2,600 of them are genuine",
		"Hamming weight of the sender&#39;s key (bits set, of 64)", "Targets (count, logarithmic)",
		"weight 16: 62,400 keys, p &lt; 1e-300", "verdict mirrored", "verdict potential", "100,000",
	} {
		if !strings.Contains(figure.String(), ">"+want+"<") {
			t.Errorf("not in the figure: %s", want)
		}
	}
	if strings.Contains(figure.String(), "verdict tampered") {
		t.Error("a verdict without keys is in the legend")
	}
	if n := strings.Count(figure.String(), ">weight "); n != 1 {
		t.Errorf("%d outlying weights are marked, want 1", n)
	}

	figure.Reset()
	if err := HammingPlot(&figure, "png", "Scan a", paper(2600)); err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(&figure); err != nil {
		t.Error(err)
	}
}

// Nothing but mirrors has no curve; too few keys have no figure.
func TestHammingPlotOfFewKeys(t *testing.T) {
	var figure bytes.Buffer
	err := HammingPlot(&figure, "svg", "Scan a", map[string]keys.Histogram{"mirrored": {16: 500}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(figure.String(), "Binomial") {
		t.Error("a curve of no keys")
	}

	figure.Reset()
	for _, few := range []map[string]keys.Histogram{nil, {"potential": {32: keys.MinKeys - 1}}} {
		if err := HammingPlot(&figure, "svg", "Scan a", few); !errors.Is(err, ErrTooFewKeys) || figure.Len() > 0 {
			t.Errorf("%v: got %v and %d bytes", few, err, figure.Len())
		}
	}
}

func TestKeysByVerdict(t *testing.T) {
	dir := t.TempDir()
	open := func() func(scanID string) map[string]keys.Histogram {
		db, err := dataset.OpenDuckDB(t.Context(), dir, dataset.DuckDBOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return func(scanID string) map[string]keys.Histogram {
			got, err := KeysByVerdict(t.Context(), db, scanID)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
	}
	if got := open()("a"); len(got) != 0 {
		t.Errorf("of no hosts: %v", got)
	}

	db, err := dataset.OpenDuckDB(t.Context(), dir, dataset.DuckDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p := dataset.Partition{Date: "2026-11-23", Family: dataset.IPv4, Port: 443, Probe: "v0"}
	path := p.Path(dir, "hosts", "a", dataset.Parquet)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := dataset.WriteParquet(t.Context(), db, `
		SELECT * REPLACE (scan_id::VARCHAR AS scan_id), bit_count(sender_key)::UTINYINT AS key_weight
		FROM (VALUES ('a', 'potential', 1::UBIGINT), ('a', 'potential', 2), ('a', 'mirrored', 3),
			('a', 'no-mptcp', NULL), ('b', 'potential', 1)) v(scan_id, verdict, sender_key)`, path); err != nil {
		t.Fatal(err)
	}
	want := map[string]keys.Histogram{"potential": {1: 2}, "mirrored": {2: 1}}
	if got := open()("a"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
