package dataset

import (
	"slices"
	"testing"
)

// Every table has a schema that says what tables.yaml does: a column can be NULL if and only if it says when.
func TestSchema(t *testing.T) {
	c, err := readContract()
	if err != nil {
		t.Fatal(err)
	}
	for table, contract := range c.Tables {
		schema, err := Schema(table)
		if err != nil {
			t.Error(err)
			continue
		}
		nullable := 0
		for i, column := range contract.Columns {
			field := schema.Field(i)
			if field.Name != column.Name || field.Nullable != (column.NullWhen != "") {
				t.Errorf("%s: %v, want %+v", table, field, column)
			}
			for key, want := range map[string]string{"meaning": column.Meaning, "unit": column.Unit, "reference": column.Reference} {
				if got, ok := field.Metadata.GetValue(key); got != want || ok != (want != "") {
					t.Errorf("%s.%s: %s is %q, want %q", table, field.Name, key, got, want)
				}
			}
			if field.Nullable {
				nullable++
			}
		}
		if nullable == len(contract.Columns) {
			t.Errorf("%s: %d of %d columns can be NULL", table, nullable, len(contract.Columns))
		}
	}
	if _, err := Schema("nonsense"); err == nil {
		t.Error("a schema for a table that there is not")
	}
}

// numbersWithoutUnit are names, codes and sequence numbers: numbers of nothing.
var numbersWithoutUnit = []string{
	"port", "sport", "dport", "ipid", "seqnum", "acknum", "tcp_flags", "ts_value", "ts_echo", "mptcp_version", "mptcp_flags",
	"sender_key", "sent_key", "sent_canary", "static_key", "seed", "icmp_type", "icmp_code", "asn", "status",
}

// A reader of the tables finds out what each column means, in which unit, and which versions have it.
func TestDictionary(t *testing.T) {
	c, err := readContract()
	if err != nil {
		t.Fatal(err)
	}
	check := func(table string, columns []column) {
		for _, column := range columns {
			name := table + "." + column.Name
			if column.Meaning == "" {
				t.Errorf("%s has no meaning", name)
			}
			if column.Since < 1 || column.Since > c.Version {
				t.Errorf("%s is there since version %d of 1 to %d", name, column.Since, c.Version)
			}
			if _, err := column.SQLType(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			isNumber := slices.Contains([]string{"uint8", "uint16", "uint32", "uint64", "float64", "timestamp"}, column.Type)
			if needsUnit := isNumber && !slices.Contains(numbersWithoutUnit, column.Name); needsUnit != (column.Unit != "") {
				t.Errorf("%s, %s: unit %q", name, column.Type, column.Unit)
			}
		}
	}
	check("partition", c.Partitions)
	for table, contract := range c.Tables {
		if contract.Meaning == "" {
			t.Errorf("%s has no meaning", table)
		}
		check(table, contract.Columns)
	}
}

// Encodings are of columns that there are.
func TestEncodings(t *testing.T) {
	schema, err := Schema(RepliesTable)
	if err != nil {
		t.Fatal(err)
	}
	for column := range encodings {
		if !schema.HasField(column) {
			t.Errorf("an encoding for the column %q, which there is not", column)
		}
	}
}
