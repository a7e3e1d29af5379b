package mptcp

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// walkOptions is the probe module's option walker as a program, which make test-module builds.
const walkOptions = "../../build/zmap-module/check/tests/walk_options"

// TestAgreesWithProbeModule compares this package with the C implementation of the same rule
// (zmap-module/wire/tcp_options.h) over random options. Neither was made from the other.
func TestAgreesWithProbeModule(t *testing.T) {
	if _, err := os.Stat(walkOptions); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("in CI nothing may be skipped: run make test-module first")
		}
		t.Skip("the C option walker is not built: run make test-module")
	}
	random := rand.New(rand.NewPCG(1, 2))
	var input bytes.Buffer
	var areas [][]byte
	for range 200_000 {
		area := randomArea(random)
		areas = append(areas, area)
		fmt.Fprintf(&input, "%x %08x\n", area, uint32(testNonce))
	}
	walk := exec.Command(walkOptions)
	walk.Stdin = &input
	out, err := walk.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(areas) {
		t.Fatalf("%d answers to %d option areas", len(lines), len(areas))
	}
	seen := map[Presence]int{}
	canaries := map[Canary]int{}
	for i, area := range areas {
		m, canary := Parse(area).MPCapable, FindCanary(area, testNonce)
		seen[m.Presence]++
		canaries[canary]++
		if got := text(m) + " " + string(canary); got != lines[i] {
			t.Errorf("options %x: Go %q, C %q", area, got, lines[i])
		}
	}
	for _, p := range []Presence{None, Capable, Malformed, Other} {
		if seen[p] < 1000 {
			t.Errorf("only %d random areas are %s: the comparison says little", seen[p], p)
		}
	}
	for _, c := range []Canary{CanaryNone, CanaryMirrored, CanaryAltered} {
		if canaries[c] < 1000 {
			t.Errorf("the canary of only %d random areas is %s: the comparison says little", canaries[c], c)
		}
	}
}

// randomArea draws options that are often nearly right: random bytes would hardly ever get past the
// first length byte.
func randomArea(random *rand.Rand) []byte {
	var area []byte
	for random.IntN(6) > 0 {
		if random.IntN(8) == 0 {
			area = append(area, experiment(random)...)
			continue
		}
		kinds := []byte{0, 1, 1, 1, 2, 3, 8, 30, 30, 30, 30, 30, 254, byte(random.UintN(256))}
		kind := kinds[random.IntN(len(kinds))]
		area = append(area, kind)
		if kind <= 1 {
			continue
		}
		lengths := []int{0, 1, 2, 3, 4, 4, 4, 8, 10, 12, 12, 12, 20, random.IntN(256)}
		length := lengths[random.IntN(len(lengths))]
		area = append(area, byte(length))
		for i := range min(max(length-2, 0), 40) {
			b := byte(random.UintN(256))
			if i == 0 && random.IntN(4) > 0 {
				b &= 0x1f // MP_CAPABLE or MP_JOIN
			}
			area = append(area, b)
		}
		if random.IntN(8) == 0 {
			area = area[:len(area)-random.IntN(3)]
		}
	}
	return area[:min(len(area), 40)]
}

// text writes facts as the C program does.
func text(m MPCapable) string {
	number := func(n sql.Null[uint8]) string {
		if !n.Valid {
			return "-"
		}
		return fmt.Sprint(n.V)
	}
	key := "-"
	if m.Key.Valid {
		key = fmt.Sprintf("%016x", m.Key.V)
	}
	return fmt.Sprintf("%s %s %s %s %s", m.Presence, number(m.Version), number(m.Flags), number(m.Length), key)
}
