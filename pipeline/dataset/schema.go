package dataset

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"go.yaml.in/yaml/v3"

	"github.com/mpcensus/mpcensus/schemas"
)

// Tables. A scan fills the first two, classify the next two, trace and verify those with hops to
// verifications, enrich the last two.
const (
	RepliesTable       = "replies"
	ScansTable         = "scans"
	HostsTable         = "hosts"
	TreatmentsTable    = "treatments"
	HopsTable          = "hops"
	PathsTable         = "paths"
	TracesTable        = "traces"
	GrabsTable         = "grabs"
	VerificationsTable = "verifications"
	NetworksTable      = "networks"
	SourcesTable       = "sources"
)

// contract is schemas/tables.yaml.
type contract struct {
	Version    int
	Partitions []column
	Tables     map[string]table
}

type table struct {
	Meaning     string
	Partitioned *bool // nil: it is
	Columns     []column
}

// partitioned tells whether the table's files are in folders named after partition keys.
func (t table) partitioned() bool { return t.Partitioned == nil || *t.Partitioned }

type column struct {
	Name, Type string
	NullWhen   string `yaml:"null_when"` // empty: it is never NULL
	Meaning    string
	Unit       string
	Reference  string
	Since      int // version of the tables that had it first
}

var readContract = sync.OnceValues(func() (contract, error) {
	var c contract
	d := yaml.NewDecoder(bytes.NewReader(schemas.Tables))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		return contract{}, fmt.Errorf("schemas/tables.yaml: %w", err)
	}
	return c, nil
})

var arrowTypes = map[string]arrow.DataType{
	"string":       arrow.BinaryTypes.String,
	"binary":       arrow.BinaryTypes.Binary,
	"bool":         arrow.FixedWidthTypes.Boolean,
	"uint8":        arrow.PrimitiveTypes.Uint8,
	"uint16":       arrow.PrimitiveTypes.Uint16,
	"uint32":       arrow.PrimitiveTypes.Uint32,
	"uint64":       arrow.PrimitiveTypes.Uint64,
	"float64":      arrow.PrimitiveTypes.Float64,
	"timestamp":    arrow.FixedWidthTypes.Timestamp_us,
	"list<string>": listOf(arrow.BinaryTypes.String),
	"list<struct<path: string, rows: uint64, bytes: uint64, sha256: string>>": listOf(arrow.StructOf(
		arrow.Field{Name: "path", Type: arrow.BinaryTypes.String, Nullable: true},
		arrow.Field{Name: "rows", Type: arrow.PrimitiveTypes.Uint64, Nullable: true},
		arrow.Field{Name: "bytes", Type: arrow.PrimitiveTypes.Uint64, Nullable: true},
		arrow.Field{Name: "sha256", Type: arrow.BinaryTypes.String, Nullable: true})),
}

// listOf names the elements as Parquet does, so that other readers see the same type.
func listOf(element arrow.DataType) arrow.DataType {
	return arrow.ListOfField(arrow.Field{Name: "element", Type: element, Nullable: true})
}

// versionKey is the metadata of files that says which version of the tables they have.
const versionKey = "mpcensus_tables_version"

// Schema returns the Arrow schema of a table in schemas/tables.yaml. Meaning, unit and reference of
// a column, and since which version of the tables it is there, are metadata of its field.
func Schema(table string) (*arrow.Schema, error) {
	c, err := readContract()
	if err != nil {
		return nil, err
	}
	t, ok := c.Tables[table]
	if !ok {
		return nil, fmt.Errorf("schemas/tables.yaml: no table %q", table)
	}
	fields, err := fieldsOf(table, t.Columns)
	if err != nil {
		return nil, err
	}
	version := arrow.NewMetadata([]string{versionKey}, []string{fmt.Sprint(c.Version)})
	return arrow.NewSchema(fields, &version), nil
}

// partitionSchema is the schema of the partition keys.
func partitionSchema() (*arrow.Schema, error) {
	c, err := readContract()
	if err != nil {
		return nil, err
	}
	fields, err := fieldsOf("partitions", c.Partitions)
	if err != nil {
		return nil, err
	}
	return arrow.NewSchema(fields, nil), nil
}

func fieldsOf(table string, columns []column) ([]arrow.Field, error) {
	fields := make([]arrow.Field, len(columns))
	for i, col := range columns {
		typ, ok := arrowTypes[col.Type]
		if !ok {
			return nil, fmt.Errorf("schemas/tables.yaml: %s.%s: unknown type %q", table, col.Name, col.Type)
		}
		fields[i] = arrow.Field{Name: col.Name, Type: typ, Nullable: col.NullWhen != "", Metadata: col.metadata()}
	}
	return fields, nil
}

func (c column) metadata() arrow.Metadata {
	var keys, values []string
	for _, m := range [][2]string{{"meaning", c.Meaning}, {"unit", c.Unit}, {"reference", c.Reference}, {"since", fmt.Sprint(c.Since)}} {
		if m[1] != "" {
			keys, values = append(keys, m[0]), append(values, m[1])
		}
	}
	return arrow.NewMetadata(keys, values)
}
