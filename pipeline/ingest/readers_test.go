package ingest

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/mpcensus/mpcensus/pipeline/classify"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
	"github.com/mpcensus/mpcensus/schemas"
)

// python returns an interpreter that has the packages of requirements.txt.
func python(t *testing.T) string {
	t.Helper()
	interpreter := os.Getenv("MPCENSUS_PYTHON")
	if interpreter == "" {
		interpreter = "../../.venv/bin/python"
	}
	if out, err := exec.Command(interpreter, "-c", "import duckdb, polars, pyarrow").CombinedOutput(); err != nil {
		const remedy = "name one with the packages of requirements.txt by MPCENSUS_PYTHON"
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s: %v, %s: %s", interpreter, err, out, remedy)
		}
		t.Skipf("%s: %v, %s: %s", interpreter, err, out, remedy)
	}
	return interpreter
}

// documentedTypes are the types of schemas/tables.yaml, as the readers call them.
var documentedTypes = map[string]map[string]string{
	"string":    {"pyarrow": "string", "polars": "String", "duckdb": "VARCHAR"},
	"binary":    {"pyarrow": "binary", "polars": "Binary", "duckdb": "BLOB"},
	"bool":      {"pyarrow": "bool", "polars": "Boolean", "duckdb": "BOOLEAN"},
	"uint8":     {"pyarrow": "uint8", "polars": "UInt8", "duckdb": "UTINYINT"},
	"uint16":    {"pyarrow": "uint16", "polars": "UInt16", "duckdb": "USMALLINT"},
	"uint32":    {"pyarrow": "uint32", "polars": "UInt32", "duckdb": "UINTEGER"},
	"uint64":    {"pyarrow": "uint64", "polars": "UInt64", "duckdb": "UBIGINT"},
	"float64":   {"pyarrow": "double", "polars": "Float64", "duckdb": "DOUBLE"},
	"timestamp": {"pyarrow": "timestamp[us, tz=UTC]", "polars": "Datetime(time_unit='us', time_zone='UTC')", "duckdb": "TIMESTAMP WITH TIME ZONE"},
	"list<string>": {
		"pyarrow": "list<element: string>", "polars": "List(String)", "duckdb": "VARCHAR[]",
	},
	"list<struct<path: string, rows: uint64, bytes: uint64, sha256: string>>": {
		"pyarrow": "list<element: struct<path: string, rows: uint64, bytes: uint64, sha256: string>>",
		"polars":  "List(Struct({'path': String, 'rows': UInt64, 'bytes': UInt64, 'sha256': String}))",
		"duckdb":  `STRUCT(path VARCHAR, "rows" UBIGINT, bytes UBIGINT, sha256 VARCHAR)[]`,
	},
}

// documentedRows are the rows of testdata/rows as `replies` must have them. What is not here is NULL.
var documentedRows = []map[string]any{
	{ // valid-v1.json
		"time": 1795421700123456, "saddr": "198.18.0.7", "sport": 443, "daddr": "192.0.2.1", "dport": 40001,
		"ttl": 64, "ipid": 4711, "seqnum": 4294967295, "acknum": 305419896, "window": 65160, "tcp_flags": 18,
		"classification": "synack", "success": true, "repeat": false, "cooldown": false,
		"tcp_options": "020405b40402080a0000000100000002010303071e0c01018000000000000001",
		"mss":         1460, "window_scale": 7, "sack_permitted": true, "ts_value": 1, "ts_echo": 2,
		"option_order": "2-4-8-1-3-30", "mptcp": "capable", "mptcp_version": 1, "mptcp_flags": 1, "mptcp_length": 12,
		"sender_key": uint64(0x8000000000000001), "key_weight": 2, "echo": false,
	},
	{ // valid-v1-echo.json
		"time": 1795421700123456, "saddr": "198.18.0.7", "sport": 443, "daddr": "192.0.2.1", "dport": 40001,
		"ttl": 64, "ipid": 4711, "seqnum": 4294967295, "acknum": 305419896, "window": 65160, "tcp_flags": 18,
		"classification": "synack", "success": true, "repeat": false, "cooldown": false,
		"tcp_options": "1e040101", "sack_permitted": false, "option_order": "30",
		"mptcp": "capable", "mptcp_version": 1, "mptcp_flags": 1, "mptcp_length": 4, "echo": true,
	},
	{ // valid-malformed-option.json
		"time": 1795421700123456, "saddr": "198.18.0.7", "sport": 443, "daddr": "192.0.2.1", "dport": 40001,
		"ttl": 64, "ipid": 4711, "seqnum": 4294967295, "acknum": 305419896, "window": 65160, "tcp_flags": 18,
		"classification": "synack", "success": true, "repeat": false, "cooldown": false,
		"tcp_options": "1e080181ffffffff", "sack_permitted": false, "option_order": "30",
		"mptcp": "malformed", "mptcp_version": 1, "mptcp_flags": 0x81, "mptcp_length": 8,
	},
	{ // valid-rst.json
		"time": 1795421700123456, "saddr": "198.18.0.7", "sport": 443, "daddr": "192.0.2.1", "dport": 40001,
		"ttl": 64, "ipid": 4711, "seqnum": 4294967295, "acknum": 305419896, "window": 65160, "tcp_flags": 20,
		"classification": "rst", "success": false, "repeat": false, "cooldown": false,
		"tcp_options": "", "sack_permitted": false, "option_order": "", "mptcp": "none",
	},
	{ // valid-icmp.json
		"time": 1795421701000000, "saddr": "198.18.0.9", "sport": 443, "daddr": "192.0.2.1", "dport": 40001,
		"ttl": 250, "ipid": 1, "classification": "icmp", "success": false,
		"responder": "198.18.255.1", "icmp_type": 3, "icmp_code": 13,
		"quote": "450000280001000001060000c0000201c61200099c4101bb",
	},
	{ // valid-canary-altered.json
		"time": 1795421700123456, "saddr": "198.18.0.7", "sport": 443, "daddr": "192.0.2.1", "dport": 40001,
		"ttl": 64, "ipid": 4711, "seqnum": 4294967295, "acknum": 305419896, "window": 65160, "tcp_flags": 18,
		"classification": "synack", "success": true, "repeat": false, "cooldown": false,
		"tcp_options": "1e040101fe064d4389ab", "sack_permitted": false, "option_order": "30-254",
		"mptcp": "capable", "mptcp_version": 1, "mptcp_flags": 1, "mptcp_length": 4, "echo": true,
		"sent_canary": uint32(0x89abcdef), "canary": "altered",
	},
	{ // valid-least.json
		"saddr": "198.18.0.7", "sport": 443, "classification": "rst", "success": false,
	},
}

// A paired campaign of two targets: one speaks MPTCP, the other mirrors every option, and answers MP_CAPABLE
// of version 1 with RST.
var campaignRows = map[string]string{
	zmap.ProbePlain: `{"saddr":"198.18.1.1","sport":80,"probe":"plain","tcp_options":"020405b4","mptcp":"none","classification":"synack","success":1,"timestamp_ts":1795421700,"timestamp_us":0}
{"saddr":"198.18.1.2","sport":80,"probe":"plain","tcp_options":"020405b4","mptcp":"none","classification":"synack","success":1,"timestamp_ts":1795421700,"timestamp_us":1}
`,
	zmap.ProbeV0: `{"saddr":"198.18.1.1","sport":80,"probe":"v0","tcp_options":"1e0c00819e3779b97f4a7c15","mptcp":"capable","mptcp_version":0,"mptcp_flags":129,"mptcp_length":12,"mptcp_key":"9e3779b97f4a7c15","sent_key":"00000000ffff0000","classification":"synack","success":1,"timestamp_ts":1795421710,"timestamp_us":0}
{"saddr":"198.18.1.2","sport":80,"probe":"v0","tcp_options":"1e0c008100000000ffff0000","mptcp":"capable","mptcp_version":0,"mptcp_flags":129,"mptcp_length":12,"mptcp_key":"00000000ffff0000","sent_key":"00000000ffff0000","classification":"synack","success":1,"timestamp_ts":1795421710,"timestamp_us":1}
`,
	zmap.ProbeV1: `{"saddr":"198.18.1.1","sport":80,"probe":"v1","tcp_options":"1e0c0101bb67ae8584caa73b","mptcp":"capable","mptcp_version":1,"mptcp_flags":1,"mptcp_length":12,"mptcp_key":"bb67ae8584caa73b","classification":"synack","success":1,"timestamp_ts":1795421720,"timestamp_us":0}
{"saddr":"198.18.1.2","sport":80,"probe":"v1","tcp_options":"","mptcp":"none","classification":"rst","success":0,"timestamp_ts":1795421720,"timestamp_us":1}
`,
	zmap.ProbeCanary: `{"saddr":"198.18.1.1","sport":80,"probe":"canary","tcp_options":"020405b4","mptcp":"none","sent_canary":"89abcdef","canary":"none","classification":"synack","success":1,"timestamp_ts":1795421730,"timestamp_us":0}
{"saddr":"198.18.1.2","sport":80,"probe":"canary","tcp_options":"020405b4fe084d4389abcdef","mptcp":"none","sent_canary":"89abcdef","canary":"mirrored","classification":"synack","success":1,"timestamp_ts":1795421730,"timestamp_us":1}
`,
}

const (
	campaign   = "20261123T081459.000000Z-ipv4-80"
	readersID  = "20261123T081500.123456Z-ipv4-443-v1"
	campaignV0 = "20261123T081510.000000Z-ipv4-80-v0"
	campaignV1 = "20261123T081520.000000Z-ipv4-80-v1"
	genuine    = uint64(0x9e3779b97f4a7c15)
	genuineV1  = uint64(0xbb67ae8584caa73b)
)

// documentedHosts, documentedTreatments and documentedScans are what the tables must have of the campaign. Of a
// scan, only what is not the same for all scans is here.
var (
	documentedHosts = []map[string]any{
		{"scan_id": "20261123T081530.000000Z-ipv4-80-canary", "target": "198.18.1.1", "verdict": "no-mptcp", "reasons": []string{"no-mp-capable"}, "canary": "none", "replies": 1, "option_order": "2"},
		{"scan_id": "20261123T081530.000000Z-ipv4-80-canary", "target": "198.18.1.2", "verdict": "no-mptcp", "reasons": []string{"no-mp-capable", "canary-mirrored"}, "canary": "mirrored", "replies": 1, "option_order": "2-254"},
		{"scan_id": "20261123T081500.000000Z-ipv4-80-plain", "target": "198.18.1.1", "verdict": "no-mptcp", "reasons": []string{"no-mp-capable"}, "replies": 1, "option_order": "2"},
		{"scan_id": "20261123T081500.000000Z-ipv4-80-plain", "target": "198.18.1.2", "verdict": "no-mptcp", "reasons": []string{"no-mp-capable"}, "replies": 1, "option_order": "2"},
		{"scan_id": campaignV0, "target": "198.18.1.1", "verdict": "potential", "reasons": []string{"key-plausible: weight 38, distance 34"},
			"sender_key": genuine, "key_weight": 38, "key_distance": 34, "replies": 1, "option_order": "30"},
		{"scan_id": campaignV0, "target": "198.18.1.2", "verdict": "mirrored", "reasons": []string{"key-echo: distance 0"},
			"sender_key": uint64(0xffff0000), "key_weight": 16, "key_distance": 0, "replies": 1, "option_order": "30"},
		{"scan_id": campaignV1, "target": "198.18.1.1", "verdict": "potential", "reasons": []string{"key-plausible: weight 35"},
			"sender_key": genuineV1, "key_weight": 35, "replies": 1, "option_order": "30"},
		{"scan_id": campaignV1, "target": "198.18.1.2", "verdict": "closed", "reasons": []string{"rst"}, "replies": 1, "option_order": ""},
	}
	documentedTreatments = []map[string]any{
		{"campaign": campaign, "scan_id": campaignV0, "target": "198.18.1.1", "treatment": "supports",
			"reasons":      []string{"key-plausible: weight 38, distance 34", "canary: not mirrored"},
			"plain_answer": "synack", "mptcp_answer": "synack", "canary_answer": "synack", "canary_mirrored": false},
		{"campaign": campaign, "scan_id": campaignV0, "target": "198.18.1.2", "treatment": "mirrors",
			"reasons":      []string{"key-echo: distance 0", "canary: mirrored"},
			"plain_answer": "synack", "mptcp_answer": "synack", "canary_answer": "synack", "canary_mirrored": true},
		{"campaign": campaign, "scan_id": campaignV1, "target": "198.18.1.1", "treatment": "supports",
			"reasons":      []string{"key-plausible: weight 35", "canary: not mirrored"},
			"plain_answer": "synack", "mptcp_answer": "synack", "canary_answer": "synack", "canary_mirrored": false},
		{"campaign": campaign, "scan_id": campaignV1, "target": "198.18.1.2", "treatment": "resets",
			"reasons":      []string{"rst", "plain: synack", "canary: mirrored", "resets MPTCP only"},
			"plain_answer": "synack", "mptcp_answer": "rst", "canary_answer": "synack", "canary_mirrored": true},
	}
	documentedScans = []map[string]any{
		{"scan_id": "20261123T081530.000000Z-ipv4-80-canary", "campaign": campaign, "finished": 1795421700000000 + 60_000_000},
		{"scan_id": "20261123T081500.000000Z-ipv4-80-plain", "campaign": campaign, "finished": 1795421700000000 + 60_000_000},
		{"scan_id": campaignV0, "campaign": campaign, "finished": 1795421700000000 + 60_000_000, "static_key": 0xffff0000},
		{"scan_id": campaignV1, "campaign": campaign, "finished": 1795421700000000 + 60_000_000},
	}
)

// everyScan is what the table scans must have of each scan of the campaign. seed, a number of 64 bits, does not
// fit a float or a signed integer.
var everyScan = map[string]any{
	"started": 1795421699000000, "complete": true, "tool_version": "test", "zmap_version": "4.4.0",
	"zmap_arguments": []string{"zmap", "-p", "80", ""}, "seed": uint64(1<<64 - 1),
	"targets": 2, "targets_sha256": "e3b0c442", "probes_sent": 2, "send_failures": 0, "received": 3, "invalid": 1,
	"kernel_drops": 0, "backlog_drops": 1 << 40, "duplicates": 0, "answered_in_cooldown": 1,
	"rows_read": 2, "rows_kept": 2, "rows_rejected": 0,
}

// asJSON is a value as it is after a journey through JSON.
func asJSON(t *testing.T, value any) any {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // keys do not fit float64
	var out any
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// documentedInput are the rows of documentedRows.
func documentedInput(t *testing.T) (input []byte) {
	t.Helper()
	for _, name := range []string{"v1", "v1-echo", "malformed-option", "rst", "icmp", "canary-altered", "least"} {
		line, err := os.ReadFile(filepath.Join("../../testdata/rows", "valid-"+name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		input = append(append(input, bytes.TrimSpace(line)...), '\n')
	}
	return input
}

// everyTable makes a dataset with rows in all tables, as far as the format has them.
func everyTable(t *testing.T, format dataset.Format) string {
	t.Helper()
	dir := t.TempDir()
	p := params()
	p.Format = format
	mustRun(t, dir, documentedInput(t), p)
	for _, probe := range zmap.Probes {
		p := params()
		p.Format, p.Input = format, ""
		p.Provenance = &Provenance{
			Started: time.Unix(1795421699, 0), Finished: time.Unix(1795421760, 0), Complete: true,
			ZMapVersion: "4.4.0", ZMapArguments: []string{"zmap", "-p", "80", ""}, Seed: known(1<<64 - 1),
			Campaign: campaign, TargetsSHA256: "e3b0c442", Targets: known(2),
			Counts: zmap.Counts{
				ProbesSent: known(2), SendFailures: known(0), Received: known(3), Invalid: known(1),
				KernelDrops: known(0), BacklogDrops: known(1 << 40), Duplicates: known(0), AnsweredInCooldown: known(1),
			},
		}
		mustRun(t, dir, []byte(campaignRows[probe]), p)
	}
	if format == dataset.Arrow {
		return dir // SQL does not read it
	}
	withDuckDB := func(f func(*sql.DB) error) {
		db, err := dataset.OpenDuckDB(t.Context(), dir, dataset.DuckDBOptions{TempDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := f(db); err != nil {
			t.Fatal(err)
		}
	}
	withDuckDB(func(db *sql.DB) error {
		scans, err := classify.Scans(t.Context(), db)
		if err != nil {
			return err
		}
		classifier, err := classify.New(t.Context(), db, dir)
		if err != nil {
			return err
		}
		for _, scan := range scans {
			_, hostsErr := classifier.Hosts(t.Context(), scan)
			err = errors.Join(err, hostsErr)
		}
		return err
	})
	withDuckDB(func(db *sql.DB) error {
		campaigns, err := classify.Campaigns(t.Context(), db)
		for _, c := range campaigns {
			_, _, judgeErr := c.Judge(t.Context(), db, dir)
			err = errors.Join(err, judgeErr)
		}
		return err
	})
	return dir
}

// seen is what a reader sees in a table.
type seen struct {
	Types    map[string]string
	Meanings int    // columns of which Arrow metadata tells the meaning
	Version  string // of the tables, in Arrow metadata
	Rows     []map[string]any
}

// readWith runs testdata/readers.py: "pyarrow replies" is what pyarrow sees in the table replies.
func readWith(t *testing.T, interpreter string, arguments ...string) map[string]seen {
	t.Helper()
	cmd := exec.Command(interpreter, append([]string{"testdata/readers.py"}, arguments...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var readers map[string]seen
	d := json.NewDecoder(bytes.NewReader(out))
	d.UseNumber()
	if err := d.Decode(&readers); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return readers
}

// documentedTables is schemas/tables.yaml, read without the project's own code.
type documentedTables struct {
	Version    int
	Partitions []map[string]string
	Tables     map[string]struct {
		Columns []map[string]string
	}
}

func readDocumented(t *testing.T) (d documentedTables) {
	t.Helper()
	if err := yaml.Unmarshal(schemas.Tables, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// checkTypes compares a table's columns with the documentation, but for the partition keys, whose types each reader
// guesses from the names of folders.
func checkTypes(t *testing.T, what string, got seen, d documentedTables) {
	t.Helper()
	reader, table, _ := strings.Cut(what, " ")
	columns := d.Tables[table].Columns
	for _, column := range columns {
		if want := documentedTypes[column["type"]][reader]; got.Types[column["name"]] != want || want == "" {
			t.Errorf("%s: %s is %q, want %q", what, column["name"], got.Types[column["name"]], want)
		}
	}
	if len(got.Types) != len(columns)+len(d.Partitions) {
		t.Errorf("%s: %d columns, want %d", what, len(got.Types), len(columns)+len(d.Partitions))
	}
	for _, key := range d.Partitions {
		if _, ok := got.Types[key["name"]]; !ok {
			t.Errorf("%s: no %s", what, key["name"])
		}
	}
	// What classify writes is DuckDB's, which keeps no metadata.
	if reader == "pyarrow" && (table == "replies" || table == "scans") && (got.Meanings < len(columns) || got.Version != fmt.Sprint(d.Version)) {
		t.Errorf("%s: %d columns of %d with a meaning, version %q of the tables", what, got.Meanings, len(columns), got.Version)
	}
}

// checkRows compares rows with all that is documented of them.
func checkRows(t *testing.T, what string, rows, want []map[string]any, columns []map[string]string) {
	t.Helper()
	if len(rows) != len(want) {
		t.Errorf("%s: %d rows, want %d", what, len(rows), len(want))
		return
	}
	for i, row := range rows {
		for _, column := range columns {
			name := column["name"]
			if value := asJSON(t, want[i][name]); !reflect.DeepEqual(row[name], value) {
				t.Errorf("%s, row %d: %s is %v, want %v", what, i, name, row[name], value)
			}
		}
	}
}

// pyarrow, polars and DuckDB see the documented columns, types and values in every table.
func TestReaders(t *testing.T) {
	interpreter := python(t)
	documented := readDocumented(t)
	for i := range documentedRows {
		documentedRows[i]["scan_id"] = readersID
	}
	for _, format := range []dataset.Format{dataset.Parquet, dataset.Arrow} {
		readers := readWith(t, interpreter, everyTable(t, format), string(format))
		if want := map[dataset.Format]int{dataset.Parquet: 12, dataset.Arrow: 4}[format]; len(readers) != want {
			t.Fatalf("%d tables and readers, want %d", len(readers), want)
		}
		for what, got := range readers {
			checkTypes(t, what, got, documented)
			reader, table, _ := strings.Cut(what, " ")
			var first, campaign []map[string]any // rows of the scan on port 443, and of those on port 80
			for _, row := range got.Rows {
				if row["date"] != "2026-11-23" || row["family"] != "ipv4" || !strings.HasSuffix(row["scan_id"].(string), "-"+row["probe"].(string)) {
					t.Errorf("%s: in partition %v, %v, %v", what, row["date"], row["family"], row["probe"])
				}
				switch fmt.Sprint(row["port"]) {
				case "443":
					first = append(first, row)
				case "80":
					campaign = append(campaign, row)
				}
			}
			columns := documented.Tables[table].Columns
			switch table {
			case "replies":
				checkRows(t, what, first, documentedRows, columns)
				if len(campaign) != 8 {
					t.Errorf("%s: %d rows of the campaign", what, len(campaign))
				}
			case "hosts":
				checkRows(t, what, campaign, documentedHosts, columns)
			case "treatments":
				checkRows(t, what, campaign, documentedTreatments, columns)
			case "scans":
				for i, row := range campaign {
					checkFiles(t, what, row)
					for name := range row { // the digest, too, differs
						if value, ok := everyScan[name]; ok {
							documentedScans[i][name] = value
						} else if name == "input_xxh3" || name == "files" {
							documentedScans[i][name] = row[name]
						}
					}
				}
				checkRows(t, what, campaign, documentedScans, columns)
			}
			// Where nothing is documented, the readers agree.
			if other := readers["pyarrow "+table]; reader != "pyarrow" {
				for i, row := range got.Rows {
					for _, column := range columns {
						if name := column["name"]; !reflect.DeepEqual(row[name], other.Rows[i][name]) {
							t.Errorf("%s, row %d: %s is %v, pyarrow sees %v", what, i, name, row[name], other.Rows[i][name])
						}
					}
				}
			}
		}
	}
}

// checkFiles looks at the nested column of a scan with two rows in one file.
func checkFiles(t *testing.T, what string, scan map[string]any) {
	t.Helper()
	files, _ := scan["files"].([]any)
	if len(files) != 1 {
		t.Fatalf("%s: files %v", what, scan["files"])
	}
	file, _ := files[0].(map[string]any)
	path, _ := file["path"].(string)
	digest, _ := file["sha256"].(string)
	if !strings.HasPrefix(path, fmt.Sprintf("replies/date=2026-11-23/family=ipv4/port=80/probe=%s/%s-00000.", scan["probe"], scan["scan_id"])) ||
		file["rows"] != json.Number("2") || file["bytes"] == nil || len(digest) != 64 || len(file) != 4 {
		t.Errorf("%s: file %v", what, file)
	}
}

// A stream for a notebook has the replies, with the partition keys as documented.
func TestStreamReaders(t *testing.T) {
	interpreter := python(t)
	documented := readDocumented(t)
	path := filepath.Join(t.TempDir(), "replies.arrows")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stream, err := dataset.StreamReplies(file)
	if err != nil {
		t.Fatal(err)
	}
	p := params()
	for _, rows := range [][]byte{documentedInput(t), []byte(campaignRows[zmap.ProbeV0])} {
		if s, err := Stream(t.Context(), stream, bytes.NewReader(rows), p); err != nil || !s.Complete || s.Rejected != 0 {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	columns := documented.Tables["replies"].Columns
	for i := range documentedRows {
		documentedRows[i]["scan_id"] = readersID
	}
	for what, got := range readWith(t, interpreter, path, "stream") {
		checkTypes(t, what, got, documented)
		reader, _, _ := strings.Cut(what, " ")
		for _, key := range documented.Partitions {
			if want := documentedTypes[key["type"]][reader]; got.Types[key["name"]] != want {
				t.Errorf("%s: %s is %q, want %q", what, key["name"], got.Types[key["name"]], want)
			}
		}
		if len(got.Rows) != len(documentedRows)+2 {
			t.Fatalf("%s: %d rows", what, len(got.Rows))
		}
		checkRows(t, what, got.Rows[:len(documentedRows)], documentedRows, columns)
		for i, row := range got.Rows {
			port, probe := json.Number("443"), "v1"
			if i >= len(documentedRows) {
				port, probe = "80", "v0"
			}
			if row["date"] != "2026-11-23" || row["family"] != "ipv4" || row["port"] != port || row["probe"] != probe {
				t.Errorf("%s, row %d: %v %v %v %v", what, i, row["date"], row["family"], row["port"], row["probe"])
			}
		}
	}
}
