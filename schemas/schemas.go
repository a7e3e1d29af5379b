// Package schemas carries the project's contracts: the JSON row that the probe modules print, the
// columns of the dataset's tables, and the file that describes a campaign.
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

// Campaign is the JSON Schema of the file that mpcensus run reads, which is YAML.
//
//go:embed campaign.schema.json
var Campaign []byte
