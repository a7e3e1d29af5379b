package dataset

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/mpcensus/mpcensus/pipeline/parquetfile"
)

// Ways to store columns of `replies`, chosen by what they took and saved (docs/benchmarks.md).
var (
	random    = parquetfile.Column{Encoding: parquetfile.Plain}                                      // nothing can be saved
	skewed    = parquetfile.Column{Encoding: parquetfile.Plain, Compress: parquetfile.Huffman}       // some bytes are frequent
	repeating = parquetfile.Column{Encoding: parquetfile.Plain, Compress: parquetfile.Zstd}          // in runs
	constant  = parquetfile.Column{Encoding: parquetfile.Dictionary}                                 // one value, or few
	few       = parquetfile.Column{Encoding: parquetfile.Dictionary, Compress: parquetfile.Huffman}  // some of them frequent
	fewAlike  = parquetfile.Column{Encoding: parquetfile.Dictionary, Compress: parquetfile.Zstd}     // in patterns
	rising    = parquetfile.Column{Encoding: parquetfile.Delta}                                      // or of fewer bits than its type
	digits    = parquetfile.Column{Encoding: parquetfile.DeltaLength, Compress: parquetfile.Huffman} // text without repeated parts
	bytesLike = parquetfile.Column{Encoding: parquetfile.DeltaLength, Compress: parquetfile.Zstd}    // bytes with repeated parts
)

var encodings = map[string]parquetfile.Column{
	"scan_id":        constant,
	"time":           rising,
	"saddr":          digits,
	"sport":          constant,
	"daddr":          constant,
	"dport":          rising,
	"ttl":            few,
	"ipid":           skewed, // many are 0
	"seqnum":         random,
	"acknum":         random,
	"window":         fewAlike,
	"tcp_flags":      few,
	"classification": few,
	"success":        skewed,
	"repeat":         repeating,
	"cooldown":       repeating,
	"tcp_options":    bytesLike,
	"mss":            few,
	"window_scale":   few,
	"sack_permitted": skewed,
	"ts_value":       random,
	"ts_echo":        repeating,
	"option_order":   fewAlike,
	"mptcp":          few,
	"mptcp_version":  few,
	"mptcp_flags":    few,
	"mptcp_length":   few,
	"sender_key":     skewed,
	"sent_key":       skewed, // 16 of 64 bits, or one for all
	"key_weight":     few,
	"key_distance":   few,
	"echo":           skewed,
	"sent_canary":    repeating,
	"canary":         few,
	"responder":      bytesLike,
	"icmp_type":      few,
	"icmp_code":      few,
	"quote":          bytesLike,
}

func parquetColumns(schema *arrow.Schema) []parquetfile.Column {
	columns := make([]parquetfile.Column, schema.NumFields())
	for i, field := range schema.Fields() {
		columns[i] = encodings[field.Name]
	}
	return columns
}
