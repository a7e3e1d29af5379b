package ingest

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The digest is the one that `xxhsum -H2` prints, whatever sizes the input is read in.
func TestDigest(t *testing.T) {
	for _, input := range [][]byte{nil, []byte("a"), generate(1), generate(5_000)} {
		r := newDigestReader(t.Context(), &oddReader{rest: input}, inputDigest{})
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "input")
		if err := os.WriteFile(path, input, 0o666); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("xxhsum", "-H2", path).Output()
		if err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skipf("%v: install the package xxhash", err)
		}
		want, _, _ := strings.Cut(string(bytes.TrimPrefix(out, []byte{'\\'})), " ")
		if got := r.digest(); got.XXH3 != want || got.Bytes != int64(len(input)) {
			t.Errorf("%d bytes: %+v, want %s", len(input), got, want)
		}
	}
}
