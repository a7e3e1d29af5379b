package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// rows is what ZMap prints: n lines with what compresses well in them, and what does not.
func rows(n int) []byte {
	random := rand.New(rand.NewPCG(8878, 0))
	var out bytes.Buffer
	for i := range n {
		fmt.Fprintf(&out, `{"saddr":"%d.%d.%d.%d","daddr":"192.0.2.1","ipid":%d,"ttl":%d,"sport":443,"dport":%d,"seqnum":"%d","acknum":"%d","window":%d,"tcp_flags":18,`,
			1+random.IntN(223), random.IntN(256), random.IntN(256), random.IntN(256), random.IntN(65536), 32+random.IntN(32),
			32768+random.IntN(28233), random.Uint32(), random.Uint32(), 65535>>random.IntN(4))
		key, sent := random.Uint64(), random.Uint64()
		if random.IntN(4) == 0 {
			fmt.Fprintf(&out, `"tcp_options":"020405b4010104021e0c0081%016x","mptcp":"capable","mptcp_version":0,"mptcp_flags":129,"mptcp_length":12,"mptcp_key":"%016x",`, key, key)
		} else {
			out.WriteString(`"tcp_options":"020405b401010402","mptcp":"none",`)
		}
		fmt.Fprintf(&out, `"sent_key":"%016x","probe":"v0","classification":"synack","success":1,"repeat":0,"cooldown":0,"timestamp_str":"2026-01-31T12:%02d:%02d.%03d+0000","timestamp_ts":1769860800,"timestamp_us":%d}`+"\n",
			sent, i>>16%60, i>>10%60, i%1000, i%1000*1000)
	}
	return out.Bytes()
}

// write makes a spool of what r gives.
func write(t testing.TB, path string, r io.Reader) {
	t.Helper()
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ReadFrom(r); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// read is what a Reader gives, and what it calls torn.
func read(t testing.TB, path string) (content []byte, torn int64) {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err = io.ReadAll(r)
	torn = r.Torn()
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return content, torn
}

// zstdTool is what the zstd tool finds in a file, which also checks every frame's checksum.
func zstdTool(t testing.TB, path string) []byte {
	t.Helper()
	if _, err := exec.LookPath("zstd"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("%v: install zstd", err)
	}
	cmd := exec.Command("zstd", "-dc", path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	content, err := cmd.Output()
	if err != nil {
		t.Fatalf("zstd: %v: %s", err, stderr.Bytes())
	}
	return content
}

// expect compares without printing megabytes.
func expect(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	t.Errorf("%s: %d bytes, want %d; they differ from byte %d on", what, len(got), len(want), at)
}

func spoolPath(t testing.TB) string {
	return filepath.Join(t.TempDir(), "rows.jsonl.zst")
}

// streamDecode decodes frames with the library alone.
func streamDecode(frames []byte) ([]byte, error) {
	decoder, err := zstd.NewReader(bytes.NewReader(frames))
	if err != nil {
		return nil, err
	}
	defer decoder.Close()
	return io.ReadAll(decoder)
}
