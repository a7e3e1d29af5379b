// Package schemas carries the project's contracts: the JSON row that the probe modules print,
// and the columns of the dataset's tables.
package schemas

import _ "embed"

// Row is the JSON Schema of one reply, as the probe modules print it through ZMap.
//
//go:embed row.schema.json
var Row []byte

// Tables defines the dataset's tables, columns and partition keys (YAML).
//
//go:embed tables.yaml
var Tables []byte
