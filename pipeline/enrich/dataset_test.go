package enrich

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

func open(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := dataset.OpenDuckDB(t.Context(), dir, dataset.DuckDBOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// query returns the rows of a query, each as DuckDB's text of it.
func query(t testing.TB, db *sql.DB, text string) (all []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT row::VARCHAR FROM ("+text+") AS row")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// source is one of ranges given as text.
func source(t testing.TB, gives Kind, text string) *Source {
	t.Helper()
	s, err := ReadSource(t.Context(), write(t, string(gives)+".csv", []byte(text)), gives, "2026-06-17")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// writeHosts writes a file of the table hosts of a family, as DuckDB does. Without all columns, it is one of
// version 1 of the tables.
func writeHosts(t testing.TB, dir, family, rows string) string {
	t.Helper()
	db := open(t, t.TempDir())
	key := dataset.Partition{Date: "2026-11-23", Family: family, Port: 443, Probe: "v1"}
	path := key.Path(dir, dataset.HostsTable, "scan-"+family, dataset.Parquet)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := dataset.WriteParquet(t.Context(), db, rows, path); err != nil {
		t.Fatal(err)
	}
	return path
}

const oldHosts = `SELECT 'scan' AS scan_id, target, 'potential' AS verdict, ['key-plausible: weight 31', target] AS reasons,
	18446744073709551615::UBIGINT AS sender_key, 31::UTINYINT AS key_weight, NULL::UTINYINT AS key_distance, 1::UINTEGER AS replies `

func TestDataset(t *testing.T) {
	dir := t.TempDir()
	asn := source(t, ASN, "192.0.2.0,192.0.2.127,64496,\"Example, Inc.\"\n192.0.2.64,192.0.2.64,64497,\n2001:db8::,2001:db8::ff,64498,Six\n")
	country := source(t, Country, "192.0.2.100,192.0.2.200,BE\n")
	// 150,000 rows are three row groups; addresses are not in order, so that a changed order shows.
	ipv4 := writeHosts(t, dir, dataset.IPv4, oldHosts+"FROM (SELECT concat('192.0.', i % 4, '.', (i * 77) % 256) AS target FROM range(150000) t(i))")
	ipv6 := writeHosts(t, dir, dataset.IPv6, oldHosts+"FROM (VALUES ('2001:db8::7'), ('2001:db8::100')) t(target)")
	db := open(t, dir)
	before := query(t, db, "SELECT scan_id, target, verdict, reasons, sender_key, key_weight, key_distance, replies, date, family, port, probe FROM hosts")

	merged := Merge([]*Source{asn, country})
	var progress []uint64
	enrich := func() {
		t.Helper()
		if err := Write(t.Context(), db, dir, merged, []*Source{asn, country}); err != nil {
			t.Fatal(err)
		}
		if err := Hosts(t.Context(), dir, merged, func(rows uint64) { progress = append(progress, rows) }); err != nil {
			t.Fatal(err)
		}
	}
	enrich()
	db = open(t, dir)

	want := []string{
		"{'family': ipv4, 'first': 192.0.2.0, 'last': 192.0.2.63, 'asn': 64496, 'as_name': 'Example, Inc.', 'country': NULL}",
		"{'family': ipv4, 'first': 192.0.2.64, 'last': 192.0.2.64, 'asn': 64497, 'as_name': NULL, 'country': NULL}",
		"{'family': ipv4, 'first': 192.0.2.65, 'last': 192.0.2.99, 'asn': 64496, 'as_name': 'Example, Inc.', 'country': NULL}",
		"{'family': ipv4, 'first': 192.0.2.100, 'last': 192.0.2.127, 'asn': 64496, 'as_name': 'Example, Inc.', 'country': BE}",
		"{'family': ipv4, 'first': 192.0.2.128, 'last': 192.0.2.200, 'asn': NULL, 'as_name': NULL, 'country': BE}",
		"{'family': ipv6, 'first': '2001:db8::', 'last': '2001:db8::ff', 'asn': 64498, 'as_name': Six, 'country': NULL}",
	}
	if got := query(t, db, "FROM networks"); !slices.Equal(got, want) {
		t.Errorf("networks:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	wantSources := []string{
		"{'name': asn.csv, 'gives': asn, 'format': csv, 'family': NULL, 'date': 2026-06-17, 'ranges': 3, 'rejected': 0, 'licence': NULL, 'attribution': NULL}",
		"{'name': country.csv, 'gives': country, 'format': csv, 'family': ipv4, 'date': 2026-06-17, 'ranges': 1, 'rejected': 0, 'licence': NULL, 'attribution': NULL}",
	}
	if got := query(t, db, "SELECT * EXCLUDE sha256 FROM sources"); !slices.Equal(got, wantSources) {
		t.Errorf("sources:\n%s", strings.Join(got, "\n"))
	}

	after := query(t, db, "SELECT scan_id, target, verdict, reasons, sender_key, key_weight, key_distance, replies, date, family, port, probe FROM hosts")
	if !slices.Equal(before, after) {
		t.Errorf("other columns changed: %d rows and %d", len(before), len(after))
	}
	if last := progress[len(progress)-1]; last != 150002 {
		t.Errorf("progress ended at %d rows", last)
	}
	// An independent look-up: a join of every host with every range, on numbers that DuckDB makes of the text.
	wrong := query(t, db, `
		WITH numbers AS (
			SELECT *, list_reduce(string_split(target, '.')::BIGINT[], lambda x, y: x * 256 + y) AS n FROM hosts WHERE family = 'ipv4'
		), ranges AS (
			SELECT asn, as_name, country, list_reduce(string_split(first, '.')::BIGINT[], lambda x, y: x * 256 + y) AS first,
				list_reduce(string_split(last, '.')::BIGINT[], lambda x, y: x * 256 + y) AS last
			FROM networks WHERE family = 'ipv4'
		)
		SELECT h.target, h.asn, r.asn AS want
		FROM numbers h LEFT JOIN ranges r ON h.n BETWEEN r.first AND r.last
		WHERE (h.asn, h.as_name, h.country) IS DISTINCT FROM (r.asn, r.as_name, r.country) LIMIT 5`)
	if len(wrong) > 0 {
		t.Errorf("wrong networks: %v", wrong)
	}
	six := query(t, db, "SELECT target, asn, as_name, country FROM hosts WHERE family = 'ipv6'")
	if want := []string{"{'target': '2001:db8::7', 'asn': 64498, 'as_name': Six, 'country': NULL}", "{'target': '2001:db8::100', 'asn': NULL, 'as_name': NULL, 'country': NULL}"}; !slices.Equal(six, want) {
		t.Errorf("IPv6: %v", six)
	}
	covered, err := Covered(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	var with [3]uint64
	for i, c := range []string{"true", "asn IS NOT NULL", "country IS NOT NULL"} {
		if err := db.QueryRow("SELECT count(*) FROM hosts WHERE family = 'ipv4' AND " + c).Scan(&with[i]); err != nil {
			t.Fatal(err)
		}
	}
	if w := (Coverage{dataset.IPv4, with[0], with[1], with[2]}); covered[0] != w || covered[1] != (Coverage{dataset.IPv6, 2, 1, 0}) {
		t.Errorf("coverage %v, want %v", covered, w)
	}

	// Again: the same bytes.
	files := []string{ipv4, ipv6, filepath.Join(dir, "networks/networks.parquet"), filepath.Join(dir, "sources/sources.parquet")}
	var first [][]byte
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		first = append(first, content)
	}
	enrich()
	for i, path := range files {
		if content, err := os.ReadFile(path); err != nil || !bytes.Equal(content, first[i]) {
			t.Errorf("%s has other bytes the second time: %v", path, err)
		}
	}

	// What Read gives back is what was written.
	read, err := Read(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(slices.Collect(read.Ranges()), slices.Collect(merged.Ranges())) {
		t.Error("Read gives other ranges than were written")
	}
}

func TestRegister(t *testing.T) {
	db := open(t, t.TempDir())
	const look = `SELECT a, asn, as_name, country FROM (VALUES (0, '192.0.2.1'), (1, '192.0.2.9'), (2, '2001:db8::1'), (3, 'x'), (4, NULL)) t(i, a)
		LEFT JOIN known_networks ON known_networks.network = network(a) ORDER BY i`
	networks := Merge([]*Source{source(t, ASN, "192.0.2.0,192.0.2.7,64496,Example\n"), source(t, Country, "2001:db8::,2001:db8::9,BE\n")})
	if err := networks.Register(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"{'a': 192.0.2.1, 'asn': 64496, 'as_name': Example, 'country': NULL}",
		"{'a': 192.0.2.9, 'asn': NULL, 'as_name': NULL, 'country': NULL}",
		"{'a': '2001:db8::1', 'asn': NULL, 'as_name': NULL, 'country': BE}",
		"{'a': x, 'asn': NULL, 'as_name': NULL, 'country': NULL}",
		"{'a': NULL, 'asn': NULL, 'as_name': NULL, 'country': NULL}",
	}
	if got := query(t, db, look); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}

	empty, err := Read(t.Context(), t.TempDir())
	if err != nil || empty != nil {
		t.Fatalf("no table: %v, %v", empty, err)
	}
	db = open(t, t.TempDir())
	if err := empty.Register(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if got := query(t, db, "SELECT count(*) AS n, count(asn) AS asn FROM ("+look+")"); got[0] != "{'n': 5, 'asn': 0}" {
		t.Errorf("without networks: %v", got)
	}
}

func TestGaps(t *testing.T) {
	dir := t.TempDir()
	four := source(t, ASN, "192.0.2.0,192.0.2.7,64496,x\n")
	six := source(t, ASN, "2001:db8::,2001:db8::7,64496,x\n")
	country := source(t, Country, "192.0.2.0,192.0.2.7,BE\n")
	check := func(what string, sources []*Source, wantGaps []string, wantErr string) {
		t.Helper()
		gaps, err := Gaps(t.Context(), open(t, dir), sources)
		if !slices.Equal(gaps, wantGaps) || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s: %v, %v", what, gaps, err)
		}
	}
	check("no hosts", []*Source{six}, nil, "")
	writeHosts(t, dir, dataset.IPv4, oldHosts+"FROM (VALUES ('192.0.2.1')) t(target)")
	check("wrong family", []*Source{six, country}, nil, "asn.csv has no addresses of ipv4, and the dataset has no other hosts")
	check("right family", []*Source{four}, nil, "")
	check("one of two is right", []*Source{six, four}, nil, "")
	writeHosts(t, dir, dataset.IPv6, oldHosts+"FROM (VALUES ('2001:db8::1')) t(target)")
	check("half", []*Source{six, country}, []string{"no asn data for ipv4: hosts of that family get none", "no country data for ipv6: hosts of that family get none"}, "")
}

// What classify writes while Hosts is at work stays.
func TestReplacedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	path := writeHosts(t, dir, dataset.IPv4, oldHosts+"FROM (VALUES ('192.0.2.1')) t(target)")
	var newer []byte
	err := Hosts(t.Context(), dir, nil, func(uint64) {
		writeHosts(t, dir, dataset.IPv4, oldHosts+"FROM (VALUES ('192.0.2.1'), ('192.0.2.2')) t(target)")
		newer, _ = os.ReadFile(path)
	})
	if err == nil || !strings.Contains(err.Error(), "was replaced while it was read: run mpcensus enrich again") {
		t.Errorf("got %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, newer) {
		t.Errorf("the newer file is gone: %v", err)
	}
}

func TestBadTables(t *testing.T) {
	const columns = "family, first, last, asn::UINTEGER AS asn, as_name, country::VARCHAR AS country"
	for name, c := range map[string]struct{ rows, want string }{
		"overlap":     {"SELECT " + columns + " FROM (VALUES ('ipv4', '192.0.2.0', '192.0.2.9', 1, 'x', NULL), ('ipv4', '192.0.2.9', '192.0.2.10', 1, 'x', NULL)) t(family, first, last, asn, as_name, country)", "is not behind"},
		"no address":  {"SELECT " + columns + " FROM (VALUES ('ipv4', '', '192.0.2.9', 1, 'x', NULL)) t(family, first, last, asn, as_name, country)", `"" is no address`},
		"reversed":    {"SELECT " + columns + " FROM (VALUES ('ipv4', '192.0.2.9', '192.0.2.0', 1, 'x', NULL)) t(family, first, last, asn, as_name, country)", "is no range"},
		"other types": {"SELECT 'ipv4' AS family, '192.0.2.0' AS first, '192.0.2.9' AS last, 1::BIGINT AS asn, 'x' AS as_name, NULL::VARCHAR AS country", "has not the column asn"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "networks", "networks.parquet")
			if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := dataset.WriteParquet(t.Context(), open(t, t.TempDir()), c.rows, path); err != nil {
				t.Fatal(err)
			}
			if _, err := Read(t.Context(), dir); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "run mpcensus enrich again") {
				t.Errorf("got %v", err)
			}
		})
	}

	dir := t.TempDir()
	path := writeHosts(t, dir, dataset.IPv4, oldHosts+", 1 AS later FROM (VALUES ('192.0.2.1')) t(target)")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Hosts(t.Context(), dir, nil, nil); err == nil || !strings.Contains(err.Error(), "has a column later that this version of mpcensus does not know") {
		t.Errorf("a column of a later version: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
	writeHosts(t, dir, dataset.IPv4, "SELECT 1 AS target")
	if err := Hosts(t.Context(), dir, nil, nil); err == nil || !strings.Contains(err.Error(), "in the column target") {
		t.Errorf("targets that are no text: %v", err)
	}
}
