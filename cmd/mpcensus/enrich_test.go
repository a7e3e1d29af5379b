package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

func TestEnrich(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	four := file("four, with comma.csv", "192.0.2.0,192.0.2.127,64496,\"Example, Inc.\"\n")
	six := file("six.csv", "2001:db8::,2001:db8::ff,64496,Example\n")
	country := file("country.csv", "192.0.2.0,192.0.2.0,BE\n")
	census := filepath.Join(dir, "census")
	if err := os.Mkdir(census, 0o700); err != nil {
		t.Fatal(err)
	}
	try := func(wantCode int, want string, arguments ...string) {
		t.Helper()
		output, err := runCommand(t, append([]string{"enrich", "--dataset", census}, arguments...)...)
		code := 0
		if err != nil {
			output, code = errorLine(err), exitCode(err)
		}
		if code != wantCode || !strings.Contains(strings.Join(strings.Fields(output), " "), want) {
			t.Errorf("%v: code %d, %s", arguments, code, output)
		}
	}
	try(exitUsage, "no file: name some with --asn or --country")
	try(exitUsage, "--date 2026-6-17: it is YYYY-MM-DD", "--asn", four, "--date", "2026-6-17")
	try(exitFailed, "no such file", "--asn", filepath.Join(dir, "none"))
	try(0, "no hosts yet: mpcensus classify writes them", "--asn", four)

	db, err := dataset.OpenDuckDB(t.Context(), census, dataset.DuckDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	key := dataset.Partition{Date: "2026-11-23", Family: dataset.IPv4, Port: 443, Probe: "v1"}
	hosts := key.Path(census, dataset.HostsTable, "scan", dataset.Parquet)
	if err := os.MkdirAll(filepath.Dir(hosts), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := dataset.WriteParquet(t.Context(), db, "SELECT concat('192.0.2.', i) AS target FROM range(256) t(i)", hosts); err != nil {
		t.Fatal(err)
	}
	try(exitFailed, "six.csv has no addresses of ipv4", "--asn", six)
	try(0, "family hosts with AS with country ipv4 256 128 1", "--asn", six, "--asn", four, "--country", country, "--date", "2026-06-17")
}

func TestShellWord(t *testing.T) {
	for word, want := range map[string]string{"a/b-1.csv": "a/b-1.csv", "my file": "'my file'", "it's": `'it'\''s'`, "$x": "'$x'"} {
		if got := shellWord(word); got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
}
