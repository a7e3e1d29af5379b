package rows

import "math/rand/v2"

// Lines that are found among rows when a disk was full, two programs wrote to one file, or a program
// between ZMap and us meant well. By the reasons of pipeline/zmap: blank, not-json, type, range, missing.
var rejects = []string{
	``,
	`{"saddr":"192.0.2.77","saddr_raw":1291976896,"daddr":"198.51.100.7","dadd`,
	`zmap: recv: kernel dropped 12 packets`,
	`["192.0.2.77",443]`,
	`{"saddr":"192.0.2.77","ttl":"57","classification":"rst"}`,
	`{"saddr":"192.0.2.77","sport":65536,"classification":"rst"}`,
	`{"saddr":"192.0.2.77","ttl":57}`,
}

func appendReject(b []byte, random *rand.Rand) []byte {
	return append(append(b, pick(random, rejects)...), '\n')
}
