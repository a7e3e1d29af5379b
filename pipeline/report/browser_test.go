package report

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The page in a real browser: scripts/page-check says what a person would notice.
func TestBrowser(t *testing.T) {
	if _, err := exec.LookPath("chromium"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no chromium: install the Debian package chromium")
		}
		t.Skip("no chromium, so the page is not tried in a browser: install the Debian package chromium")
	}
	empty := &Census{}
	for _, table := range empty.Tables() {
		*table = Table{Name: "empty", Title: "Empty", Empty: "Not enough data: no scans."}
	}
	for name, c := range map[string]*Census{"full": smallSample(), "empty": empty} {
		dir := filepath.Join(t.TempDir(), name)
		writeReport(t, dir, c)
		output, err := exec.CommandContext(t.Context(), "go", "run", "../../scripts/page-check", filepath.Join(dir, pageName)).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, output)
		}
	}
}
