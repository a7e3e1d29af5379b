package dataset

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/mpcensus/mpcensus/pipeline/parquetfile"
)

// encodings lists how Parquet stores the columns of `replies`, by what they hold: found by trying, see
// docs/benchmarks.md. A column that is not here is plain and compressed.
var encodings = map[string]parquetfile.Column{
	"scan_id":        {Encoding: parquetfile.Dictionary},
	"daddr":          {Encoding: parquetfile.Dictionary},
	"ttl":            {Encoding: parquetfile.Dictionary},
	"tcp_flags":      {Encoding: parquetfile.Dictionary},
	"classification": {Encoding: parquetfile.Dictionary},
	"mss":            {Encoding: parquetfile.Dictionary},
	"window_scale":   {Encoding: parquetfile.Dictionary},
	"option_order":   {Encoding: parquetfile.Dictionary},
	"mptcp":          {Encoding: parquetfile.Dictionary},
	"canary":         {Encoding: parquetfile.Dictionary},
	"mptcp_version":  {Encoding: parquetfile.Dictionary},
	"mptcp_flags":    {Encoding: parquetfile.Dictionary},
	"mptcp_length":   {Encoding: parquetfile.Dictionary},
	"key_weight":     {Encoding: parquetfile.Dictionary},
	"key_distance":   {Encoding: parquetfile.Dictionary},
	"icmp_type":      {Encoding: parquetfile.Dictionary},
	"icmp_code":      {Encoding: parquetfile.Dictionary},

	"time":   {Encoding: parquetfile.Delta},
	"sport":  {Encoding: parquetfile.Delta},
	"dport":  {Encoding: parquetfile.Delta},
	"ipid":   {Encoding: parquetfile.Delta},
	"window": {Encoding: parquetfile.Delta},

	"saddr":       {Encoding: parquetfile.DeltaLength, Compress: parquetfile.Zstd},
	"responder":   {Encoding: parquetfile.DeltaLength, Compress: parquetfile.Zstd},
	"tcp_options": {Encoding: parquetfile.DeltaLength, Compress: parquetfile.Zstd},
	"quote":       {Encoding: parquetfile.DeltaLength, Compress: parquetfile.Zstd},

	// Random bits.
	"seqnum":      {Encoding: parquetfile.Plain},
	"acknum":      {Encoding: parquetfile.Plain},
	"sender_key":  {Encoding: parquetfile.Plain},
	"sent_canary": {Encoding: parquetfile.Plain},
}

func parquetColumns(schema *arrow.Schema) []parquetfile.Column {
	columns := make([]parquetfile.Column, schema.NumFields())
	for i, field := range schema.Fields() {
		column, ok := encodings[field.Name]
		if !ok {
			column = parquetfile.Column{Encoding: parquetfile.Plain, Compress: parquetfile.Zstd}
		}
		columns[i] = column
	}
	return columns
}
