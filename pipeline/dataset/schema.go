package dataset

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"go.yaml.in/yaml/v3"

	"github.com/mpcensus/mpcensus/schemas"
)

// Tables. A scan fills the first two, classify the others.
const (
	RepliesTable    = "replies"
	ScansTable      = "scans"
	HostsTable      = "hosts"
	TreatmentsTable = "treatments"
)

// contract is schemas/tables.yaml.
type contract struct {
	Partitions []column
	Tables     map[string]struct {
		Meaning string
		Columns []column
	}
}

type column struct {
	Name, Type string
	NullWhen   string `yaml:"null_when"` // empty: it is never NULL
	Meaning    string
	Unit       string
	Reference  string
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
	"timestamp":    arrow.FixedWidthTypes.Timestamp_us,
	"list<string>": arrow.ListOfField(arrow.Field{Name: "element", Type: arrow.BinaryTypes.String, Nullable: true}),
}

// Schema returns the Arrow schema of a table in schemas/tables.yaml. Meaning, unit and reference of
// a column are metadata of its field.
func Schema(table string) (*arrow.Schema, error) {
	c, err := readContract()
	if err != nil {
		return nil, err
	}
	t, ok := c.Tables[table]
	if !ok {
		return nil, fmt.Errorf("schemas/tables.yaml: no table %q", table)
	}
	fields := make([]arrow.Field, len(t.Columns))
	for i, col := range t.Columns {
		typ, ok := arrowTypes[col.Type]
		if !ok {
			return nil, fmt.Errorf("schemas/tables.yaml: %s.%s: unknown type %q", table, col.Name, col.Type)
		}
		fields[i] = arrow.Field{Name: col.Name, Type: typ, Nullable: col.NullWhen != "", Metadata: col.metadata()}
	}
	return arrow.NewSchema(fields, nil), nil
}

func (c column) metadata() arrow.Metadata {
	var keys, values []string
	for _, m := range [][2]string{{"meaning", c.Meaning}, {"unit", c.Unit}, {"reference", c.Reference}} {
		if m[1] != "" {
			keys, values = append(keys, m[0]), append(values, m[1])
		}
	}
	return arrow.NewMetadata(keys, values)
}
