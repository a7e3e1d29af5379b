package e2e

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestModuleArguments holds the operator's table of the probe module's arguments against what the module
// says of itself.
func TestModuleArguments(t *testing.T) {
	require(t, "zmap")
	help := mustRun(t, "../bin/zmap-mptcp", "-C", "/dev/null", "-M", "mptcp_synscan", "--help")
	_, help, found := strings.Cut(help, "\n--probe-args=name=value,...\n")
	if !found {
		t.Fatal("the module has no help on its arguments")
	}
	argument := regexp.MustCompile(`^  ([a-z]+)(?:=(\S+))?(?:  |$)`)
	byDefault := regexp.MustCompile(`\(default ([\w-]+)\)`)
	var said []string // name, values, default, as in the table
	for line := range strings.Lines(help) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "  ") {
			break
		}
		if a := argument.FindStringSubmatch(line); a != nil {
			said = append(said, a[1]+": "+strings.ReplaceAll(a[2], "|", ", ")+"; ")
		}
		if d := byDefault.FindStringSubmatch(line); d != nil {
			said[len(said)-1] += d[1]
		}
	}

	page, err := os.ReadFile("../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "\n| argument | values | default | what it does |\n|---|---|---|---|\n")
	if !found {
		t.Fatal("docs/operators.md has no table of arguments")
	}
	var written []string
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.ReplaceAll(line, "`", ""), "|")
		if len(cells) != 6 {
			break
		}
		written = append(written, strings.TrimSpace(cells[1])+": "+strings.TrimSpace(cells[2])+"; "+strings.TrimSpace(cells[3]))
	}
	if !slices.Equal(written, said) || len(said) < 5 {
		t.Errorf("docs/operators.md has\n%s\nbut the module says\n%s", strings.Join(written, "\n"), strings.Join(said, "\n"))
	}
}
