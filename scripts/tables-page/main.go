// Command tables-page prints docs/tables.md: the dataset's tables as schemas/tables.yaml defines them.
package main

import (
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mpcensus/mpcensus/schemas"
)

type column struct {
	Name, Type, Meaning, Unit, Reference string
	NullWhen                             string `yaml:"null_when"`
}

// contract keeps the tables as a YAML node, for their order.
type contract struct {
	Partitions []column
	Tables     yaml.Node
}

type table struct {
	Meaning string
	Columns []column
}

func main() {
	if err := printPage(); err != nil {
		fmt.Fprintln(os.Stderr, "tables-page:", err)
		os.Exit(1)
	}
}

func printPage() error {
	var c contract
	if err := yaml.Unmarshal(schemas.Tables, &c); err != nil {
		return fmt.Errorf("schemas/tables.yaml: %w", err)
	}
	fmt.Println("<!-- Generated from schemas/tables.yaml by `make docs`. -->")
	fmt.Println("# The dataset's tables")
	fmt.Println()
	fmt.Println("Files are `DATASET/TABLE/date=…/family=…/port=…/probe=…/SCAN_ID.parquet`. Keys are unsigned 64-bit")
	fmt.Println("integers whose most significant byte is the first on the wire; times are UTC.")
	fmt.Println()
	fmt.Println("## Partition keys")
	fmt.Println()
	fmt.Println("Folder names (Hive style), which readers show as columns of every table.")
	printColumns(c.Partitions)
	for i := 0; i < len(c.Tables.Content); i += 2 {
		var t table
		if err := c.Tables.Content[i+1].Decode(&t); err != nil {
			return fmt.Errorf("schemas/tables.yaml: %w", err)
		}
		fmt.Printf("\n## `%s`\n\n%s\n", c.Tables.Content[i].Value, t.Meaning)
		printColumns(t.Columns)
	}
	return nil
}

func printColumns(columns []column) {
	fmt.Println()
	fmt.Println("| column | type | meaning | unit | NULL when | reference |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, c := range columns {
		cells := []string{"`" + c.Name + "`", c.Type, c.Meaning, c.Unit, c.NullWhen, c.Reference}
		for i, cell := range cells {
			cells[i] = strings.ReplaceAll(cell, "|", `\|`)
		}
		fmt.Println("| " + strings.Join(cells, " | ") + " |")
	}
}
