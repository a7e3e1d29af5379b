package rows

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
)

// scans are one of each probe and family.
var scans = []Params{
	{Rows: 10_000, Probe: V0, Family: IPv4, Port: 443, Seed: 1},
	{Rows: 10_000, Probe: V0, Family: IPv6, Port: 80, Seed: 2},
	{Rows: 10_000, Probe: V1, Family: IPv4, Port: 80, Seed: 3},
	{Rows: 10_000, Probe: V1, Family: IPv6, Port: 443, Seed: 4},
}

func (p Params) name() string { return p.Probe + "-" + p.Family }

func write(t testing.TB, p Params) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(t.Context(), &b, p); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// lines are without their ends.
func lines(text []byte) [][]byte {
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

// A change of these digests is a change of the benchmark: figures from before and after it cannot be
// compared.
func TestSameBytesEverywhere(t *testing.T) {
	want := map[string]string{
		"v0-ipv4": "880d7e685f8ebe7b52d4d52eef8b415f0680d080276ec8d940174a9252a9e877",
		"v0-ipv6": "310507ce3a4f58585fa11844829df751f62def3d074043d8cecad59c90af7cf0",
		"v1-ipv4": "ee6192efc91912f4b688839c24f52a888a69f5090e3b163b6d864c770b619335",
		"v1-ipv6": "b82387220b5078eefafb5a666556e16930617e2cd170ec481cde56ef342d92dc",
	}
	for _, threads := range []int{1, 2, 7} {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
		for _, p := range scans {
			// A pipe that is read in odd sizes.
			reader, writer := io.Pipe()
			go func() { writer.CloseWithError(Write(t.Context(), writer, p)) }()
			digest := sha256.New()
			if _, err := io.CopyBuffer(struct{ io.Writer }{digest}, reader, make([]byte, 1013)); err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(digest.Sum(nil)); got != want[p.name()] {
				t.Errorf("%s, %d threads: SHA-256 %s, want %s", p.name(), threads, got, want[p.name()])
			}
		}
	}
}

func TestSeed(t *testing.T) {
	p := scans[0]
	first := write(t, p)
	p.Seed++
	if bytes.Equal(first, write(t, p)) {
		t.Error("another seed gives the same rows")
	}
}

// Without its rejects, a file with rejects is the file without.
func TestRejects(t *testing.T) {
	p := scans[0]
	want := write(t, p)
	p.Rejects = 0.05
	isReject := map[string]bool{}
	for _, line := range rejects {
		isReject[line] = true
	}
	var rows []byte
	count := map[string]int{}
	for _, line := range lines(write(t, p)) {
		if isReject[string(line)] {
			count[string(line)]++
			continue
		}
		rows = append(append(rows, line...), '\n')
	}
	if !bytes.Equal(rows, want) {
		t.Error("the rows between the rejects are not those of the file without")
	}
	total := 0
	for _, line := range rejects {
		if count[line] == 0 {
			t.Errorf("%q does not occur", line)
		}
		total += count[line]
	}
	all := float64(total) + float64(p.Rows)
	if math.Abs(float64(total)-all*p.Rejects) > 5*math.Sqrt(all*p.Rejects) {
		t.Errorf("%d of %.0f lines are no rows, want about %v", total, all, p.Rejects)
	}
}

func TestNoRows(t *testing.T) {
	p := scans[0]
	p.Rows = 0
	if text := write(t, p); len(text) != 0 {
		t.Errorf("no rows are %q", text)
	}
}

func TestWrongParams(t *testing.T) {
	for word, change := range map[string]func(p *Params){
		"at most": func(p *Params) { p.Rows = MaxRows + 1 },
		"probe":   func(p *Params) { p.Probe = "v2" },
		"family":  func(p *Params) { p.Family = "ipv5" },
		"port":    func(p *Params) { p.Port = 0 },
		"share":   func(p *Params) { p.Rejects = 1 },
		"NaN":     func(p *Params) { p.Rejects = math.NaN() },
	} {
		p := scans[0]
		change(&p)
		if err := Write(t.Context(), io.Discard, p); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v does not say %q", err, word)
		}
	}
}

var errFull = errors.New("disk full")

// fullDisk fails a write, and counts the writes that come all the same.
type fullDisk struct{ room, failures int }

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.room -= len(b); d.room < 0 {
		d.failures++
		return 0, errFull
	}
	return len(b), nil
}

func TestFailedWrite(t *testing.T) {
	for _, room := range []int{0, 1 << 20} {
		disk := fullDisk{room: room}
		if err := Write(t.Context(), &disk, scans[0]); !errors.Is(err, errFull) || disk.failures != 1 {
			t.Errorf("with %d bytes of room: %v, after %d failed writes", room, err, disk.failures)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := scans[0]
	p.Rows = MaxRows
	if err := Write(ctx, io.Discard, p); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, p := range scans {
		b.Run(fmt.Sprint(p.name()), func(b *testing.B) {
			p.Rows = uint64(b.N)
			b.ReportAllocs()
			if err := Write(b.Context(), io.Discard, p); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
