package classify

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// reply is a row of `replies`, as far as it bears on verdicts. Absent numbers are -1, absent text is
// empty, absent keys are nil.
type reply struct {
	saddr          string
	time           int // µs
	classification string
	mptcp          string
	version        int
	flags          int
	length         int
	key, sent      *uint64
	canary         string
	responder      string
	icmpType, code int
	dport, seqnum  int
	options        string
}

func rst(saddr string) reply {
	return reply{saddr: saddr, time: -1, classification: "rst", version: -1, flags: -1, length: -1, icmpType: -1, code: -1, dport: -1, seqnum: -1}
}

func icmp(saddr, responder string, icmpType, code int) reply {
	r := rst(saddr)
	r.classification, r.responder, r.icmpType, r.code = "icmp", responder, icmpType, code
	return r
}

func synack(saddr, mptcp string) reply {
	r := rst(saddr)
	r.classification, r.mptcp = "synack", mptcp
	return r
}

func capableV0(saddr string, key, sent uint64) reply {
	r := synack(saddr, "capable")
	r.version, r.flags, r.length, r.key, r.sent = 0, 1, 12, &key, &sent
	return r
}

func capableV1(saddr string, key uint64) reply {
	r := synack(saddr, "capable")
	r.version, r.flags, r.length, r.key = 1, 1, 12, &key
	return r
}

func echoV1(saddr string) reply {
	r := synack(saddr, "capable")
	r.version, r.flags, r.length = 1, 1, 4
	return r
}

func (r reply) at(time int) reply { r.time = time; return r }

// from says on which connection the reply came.
func (r reply) from(dport, seqnum int) reply { r.dport, r.seqnum = dport, seqnum; return r }

func (r reply) with(canary string) reply { r.canary = canary; return r }

// echo as schemas/tables.yaml defines it; only for `capable`.
func (r reply) echo() bool {
	return r.key != nil && r.sent != nil && *r.key == *r.sent || r.version == 1 && r.length == 4
}

func (r reply) values() string {
	number := func(n int) string {
		if n < 0 {
			return "NULL"
		}
		return fmt.Sprint(n)
	}
	text := func(s string) string {
		if s == "" {
			return "NULL"
		}
		return dataset.Literal(s)
	}
	time, echo, key, sent, weight, distance := "NULL", "NULL", "NULL", "NULL", "NULL", "NULL"
	if r.time >= 0 {
		time = fmt.Sprintf("make_timestamp(%d::BIGINT)", r.time)
	}
	if r.mptcp == "capable" {
		echo = fmt.Sprint(r.echo())
	}
	if r.sent != nil {
		sent = fmt.Sprint(*r.sent)
	}
	if r.key != nil {
		key, weight = fmt.Sprint(*r.key), fmt.Sprint(bits.OnesCount64(*r.key))
		if r.sent != nil {
			distance = fmt.Sprint(bits.OnesCount64(*r.key ^ *r.sent))
		}
	}
	return "(" + strings.Join([]string{
		text(r.saddr), time, text(r.classification), text(r.mptcp), number(r.version), number(r.flags), number(r.length),
		key, sent, weight, distance, echo, text(r.canary), text(r.responder), number(r.icmpType), number(r.code),
		number(r.dport), number(r.seqnum), text(r.options),
	}, ", ") + ")"
}

func open(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := dataset.OpenDuckDB(t.Context(), dir, dataset.DuckDBOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// blank has the tables of the contract, without rows. It is one for all tests, which do not run side by side: opening
// a database takes longer than most of what they do with it.
var blank *sql.DB

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mpcensus-classify-")
	if err == nil {
		blank, err = dataset.OpenDuckDB(context.Background(), dir, dataset.DuckDBOptions{TempDir: dir})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := errors.Join(blank.Close(), os.RemoveAll(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func exec(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
}

// addScan puts a scan into the dataset, its replies in as many files as there are parts. The files
// are made by SQL from the contract, not by the project's writer.
func addScan(t testing.TB, dir string, scan Scan, parts ...[]reply) {
	t.Helper()
	addCampaignScan(t, dir, "", scan, true, parts...)
}

// addCampaignScan puts a scan of a campaign into the dataset; none has an empty name.
func addCampaignScan(t testing.TB, dir, campaign string, scan Scan, complete bool, parts ...[]reply) {
	t.Helper()
	db := blank
	parts = slices.DeleteFunc(slices.Clone(parts), func(part []reply) bool { return len(part) == 0 }) // have no file
	kept := len(slices.Concat(parts...))
	var files []string // as scans lists them
	for i := range parts {
		path := scan.Path("", "replies", fmt.Sprintf("%s-%d", scan.ID, i+1), dataset.Parquet)
		files = append(files, fmt.Sprintf("{path: %s, rows: %d::UBIGINT, bytes: NULL::UBIGINT, sha256: NULL::VARCHAR}",
			dataset.Literal(path), len(parts[i])))
	}
	for i, part := range append([][]reply{nil}, parts...) {
		table, name, n := "replies", fmt.Sprintf("%s-%d", scan.ID, i), 0
		if i == 0 {
			table, name = "scans", scan.ID
		}
		exec(t, db, "CREATE OR REPLACE TABLE t AS SELECT * EXCLUDE (date, family, port, probe) FROM "+table)
		if i == 0 {
			exec(t, db, fmt.Sprintf("INSERT INTO t BY NAME SELECT %s AS scan_id, nullif(%s, '') AS campaign, %t AS complete, %d AS rows_kept, [%s] AS files",
				dataset.Literal(scan.ID), dataset.Literal(campaign), complete, kept, strings.Join(files, ", ")))
		} else {
			exec(t, db, "ALTER TABLE t DROP file_index", "ALTER TABLE t DROP file_row_number")
		}
		for batch := range slices.Chunk(part, 1000) {
			var values []string
			for _, r := range batch {
				values = append(values, r.values())
				n++
			}
			exec(t, db, "INSERT INTO t BY NAME SELECT "+dataset.Literal(scan.ID)+" AS scan_id, "+fmt.Sprint(scan.Port)+
				" AS sport, * FROM (VALUES "+strings.Join(values, ", ")+`) v(saddr, time, classification, mptcp, mptcp_version,
				mptcp_flags, mptcp_length, sender_key, sent_key, key_weight, key_distance, echo, canary, responder, icmp_type, icmp_code,
				dport, seqnum, option_order)`)
		}
		path := scan.Path(dir, table, name, dataset.Parquet)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		exec(t, db, "COPY t TO "+dataset.Literal(path)+" (FORMAT parquet)")
	}
}

// host is a row of `hosts`. Absent numbers are -1, absent text is empty.
type host struct {
	target, verdict string
	reasons         []string
	replies         int
	canary          string
	excess          float64
	options         string
	asn             int
	asName, country string
}

// readHosts is what the dataset says of a scan, in the order of the file.
func readHosts(t testing.TB, dir string, scan Scan) (hosts []host) {
	t.Helper()
	rows, err := blank.Query(`SELECT target, verdict, reasons, replies, coalesce(canary, ''), coalesce(excess_probability, -1),
			coalesce(option_order, ''), coalesce(asn, -1), coalesce(as_name, ''), coalesce(country, ''), key_weight = bit_count(sender_key)
		FROM read_parquet(?) WHERE scan_id = ?`, scan.Path(dir, dataset.HostsTable, scan.ID, dataset.Parquet), scan.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var h host
		var reasons []any
		var weight sql.NullBool
		if err := rows.Scan(&h.target, &h.verdict, &reasons, &h.replies, &h.canary, &h.excess,
			&h.options, &h.asn, &h.asName, &h.country, &weight); err != nil {
			t.Fatal(err)
		}
		if weight.Valid && !weight.Bool {
			t.Errorf("%s: weight is not that of the key", h.target)
		}
		for _, r := range reasons {
			h.reasons = append(h.reasons, r.(string))
		}
		hosts = append(hosts, h)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return hosts
}

// classifier is one of a dataset as it is now.
func classifier(t testing.TB, dir string) *Classifier {
	t.Helper()
	c, err := New(t.Context(), open(t, dir), dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// classify runs Hosts on a scan of a dataset.
func classify(t testing.TB, dir string, scan Scan) Result {
	t.Helper()
	r, err := classifier(t, dir).Hosts(t.Context(), scan)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// addNetworks puts the table networks into the dataset: 198.18.0.0 to 198.18.7.255 and half of
// 2001:db8:0:1::/64 are of AS64500, the rest of 198.18.0.0/15 is of an AS without a name.
func addNetworks(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, dataset.NetworksTable), 0o755); err != nil {
		t.Fatal(err)
	}
	exec(t, blank, `COPY (FROM (VALUES
			('ipv4', '198.18.0.0', '198.18.7.255', 64500::UINTEGER, 'Example', 'ZZ'),
			('ipv4', '198.18.8.0', '198.19.255.255', 64501::UINTEGER, NULL, NULL),
			('ipv6', '2001:db8:0:1::', '2001:db8:0:1:7fff:ffff:ffff:ffff', 64500::UINTEGER, 'Example', NULL)
		) t(family, first, last, asn, as_name, country)) TO `+dataset.Literal(filepath.Join(dir, dataset.WholeFile(dataset.NetworksTable)))+" (FORMAT parquet)")
}

// weight16 is a key with 16 bits set, as the probe module sends.
func weight16(rng *rand.Rand) (key uint64) {
	for bits.OnesCount64(key) < 16 {
		key |= 1 << rng.IntN(64)
	}
	return key
}
