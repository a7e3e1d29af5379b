package ingest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/schemas"
)

// python returns an interpreter that has the packages of requirements.txt.
func python(t *testing.T) string {
	t.Helper()
	interpreter := os.Getenv("MPCENSUS_PYTHON")
	if interpreter == "" {
		interpreter = "../../.venv/bin/python"
	}
	if out, err := exec.Command(interpreter, "-c", "import duckdb, pyarrow").CombinedOutput(); err != nil {
		const remedy = "name one with the packages of requirements.txt by MPCENSUS_PYTHON"
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s: %v, %s: %s", interpreter, err, out, remedy)
		}
		t.Skipf("%s: %v, %s: %s", interpreter, err, out, remedy)
	}
	return interpreter
}

// documentedTypes are the types of schemas/tables.yaml, as pyarrow and DuckDB call them.
var documentedTypes = map[string][2]string{
	"string":       {"string", "VARCHAR"},
	"binary":       {"binary", "BLOB"},
	"bool":         {"bool", "BOOLEAN"},
	"uint8":        {"uint8", "UTINYINT"},
	"uint16":       {"uint16", "USMALLINT"},
	"uint32":       {"uint32", "UINTEGER"},
	"uint64":       {"uint64", "UBIGINT"},
	"timestamp":    {"timestamp[us, tz=UTC]", "TIMESTAMP WITH TIME ZONE"},
	"list<string>": {"list<element: string>", "VARCHAR[]"},
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

// pyarrow and DuckDB see the documented columns, types and values.
func TestReaders(t *testing.T) {
	interpreter := python(t)
	var contract struct {
		Tables map[string]struct {
			Columns []map[string]string
		}
	}
	if err := yaml.Unmarshal(schemas.Tables, &contract); err != nil {
		t.Fatal(err)
	}
	var input []byte
	for _, name := range []string{"v1", "v1-echo", "malformed-option", "rst", "icmp", "canary-altered", "least"} {
		line, err := os.ReadFile(filepath.Join("../../testdata/rows", "valid-"+name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		input = append(append(input, bytes.TrimSpace(line)...), '\n')
	}
	const scanID = "20261123T081500.123456Z-ipv4-443-v1"

	for _, format := range []dataset.Format{dataset.Parquet, dataset.Arrow} {
		dir := t.TempDir()
		p := params()
		p.Format = format
		mustRun(t, dir, input, p)
		cmd := exec.Command(interpreter, "testdata/readers.py", dir, string(format))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var seen map[string]struct {
			Types    map[string]string
			Nullable []string
			Meanings int
			Rows     []map[string]any
		}
		d := json.NewDecoder(bytes.NewReader(out))
		d.UseNumber()
		if err := d.Decode(&seen); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if want := map[dataset.Format]int{dataset.Parquet: 4, dataset.Arrow: 2}[format]; len(seen) != want {
			t.Fatalf("%d tables and readers, want %d", len(seen), want)
		}
		for what, got := range seen {
			reader, table, _ := strings.Cut(what, " ")
			columns := contract.Tables[table].Columns
			for _, column := range columns {
				want := documentedTypes[column["type"]][map[string]int{"pyarrow": 0, "duckdb": 1}[reader]]
				if got.Types[column["name"]] != want {
					t.Errorf("%s: %s is %q, want %q", what, column["name"], got.Types[column["name"]], want)
				}
			}
			partitions := []string{"date", "family", "port", "probe"}
			if len(got.Types) != len(columns)+len(partitions) {
				t.Errorf("%s: %d columns, want %d", what, len(got.Types), len(columns)+len(partitions))
			}
			if reader == "pyarrow" && got.Meanings != len(columns) {
				t.Errorf("%s: %d columns with a meaning", what, got.Meanings)
			}
			if table != "replies" {
				continue
			}
			if len(got.Rows) != len(documentedRows) {
				t.Errorf("%s: %d rows, want %d", what, len(got.Rows), len(documentedRows))
				continue
			}
			for i, row := range got.Rows {
				want := map[string]any{"scan_id": scanID}
				for name, value := range documentedRows[i] {
					want[name] = asJSON(t, value)
				}
				for _, column := range columns {
					name := column["name"]
					if !reflect.DeepEqual(row[name], want[name]) {
						t.Errorf("%s %s, row %d: %s is %v, want %v", format, what, i, name, row[name], want[name])
					}
				}
			}
		}
	}
}
