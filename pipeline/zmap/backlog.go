package zmap

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// softnetStat has a line for each processor, in hexadecimal; the second number counts packets that
// found its receive backlog full (net.core.netdev_max_backlog). Virtual interfaces deliver through it,
// and what is lost there shows in no count of libpcap's. The numbers are the whole machine's, in every
// network namespace.
const softnetStat = "/proc/net/softnet_stat"

// backlogDrops are the drops of each processor since the machine started, modulo 2^32.
type backlogDrops []uint32

func readBacklogDrops(path string) (backlogDrops, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var drops backlogDrops
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			return nil, fmt.Errorf("%s: line %q has no second number", path, line)
		}
		n, err := strconv.ParseUint(fields[1], 16, 32)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		drops = append(drops, uint32(n))
	}
	if drops == nil {
		return nil, errors.New(path + " is empty")
	}
	return drops, nil
}

// since is how many packets were dropped after earlier; NULL when one of them could not be read, or
// when processors came or went.
func (d backlogDrops) since(earlier backlogDrops) sql.Null[uint64] {
	if d == nil || len(d) != len(earlier) {
		return sql.Null[uint64]{}
	}
	sum := sql.Null[uint64]{Valid: true}
	for i := range d {
		sum.V += uint64(d[i] - earlier[i])
	}
	return sum
}
