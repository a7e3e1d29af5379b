package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/targets"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// runCommand runs mpcensus with arguments, in this process.
func runCommand(t *testing.T, arguments ...string) (output string, err error) {
	t.Helper()
	var b strings.Builder
	app := newApp()
	app.Writer = &b
	err = app.RunContext(t.Context(), append([]string{"mpcensus"}, arguments...))
	return b.String(), err
}

func TestTargetsBuild(t *testing.T) {
	dir := t.TempDir()
	path := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	list := path("list", "# both families\n8.8.8.8\n2001:db8::1\n8.8.8.8\n10.0.0.0/31\n9.9.9.9\n")
	more := path("more", "9.9.9.9\n")
	own := path("own.conf", "9.9.9.0/24\n2001:db8::/64\n")
	empty := path("empty.conf", "")
	out := filepath.Join(dir, "out")
	for _, test := range []struct {
		arguments string
		want      string // of the output or, if it has no =, of the error
		code      int
	}{
		{"--out OUT --family ipv4 LIST MORE", "OUT: 7 lines, 6 addresses = written 2 + duplicate 2 + blocked 2 (ipv4); left out 1 lines of the other family", 0},
		{"--out OUT --family ipv4 --blocklist OWN LIST MORE", "OUT: 7 lines, 6 addresses = written 3 + duplicate 2 + blocked 1 (ipv4); left out 1 lines of the other family", 0},
		// The documentation prefix is special-purpose.
		{"--out OUT --family ipv6 LIST", "no target is left: all 1 addresses of the hitlist are on the blocklist", 1},
		{"--out OUT --family ipv6 --blocklist EMPTY LIST", "blocklist EMPTY has no entry", 1},
		{"--out OUT LIST", "LIST:3: 2001:db8::1/128 is ipv6", 1},
		{"--out OUT NONE", "open NONE: no such file or directory", 1},
		{"--out OUT", "no hitlist: name files, or - for standard input", 2},
		{"LIST", "--out is missing", 2},
		{"--out OUT --family ip LIST", "--family ip: it is ipv4 or ipv6", 2},
		{"--out LIST MORE", "LIST exists and is no target file", 1},
	} {
		names := strings.NewReplacer("LIST", list, "MORE", more, "OWN", own, "EMPTY", empty, "OUT", out, "NONE", filepath.Join(dir, "none"))
		output, err := runCommand(t, append([]string{"targets", "build"}, strings.Fields(names.Replace(test.arguments))...)...)
		want := names.Replace(test.want)
		switch {
		case test.code == 0:
			if err != nil || output != want+"\n" {
				t.Errorf("%s: %q, %v", test.arguments, output, err)
			}
		case err == nil || !strings.HasPrefix(err.Error(), want) || exitCode(err) != test.code:
			t.Errorf("%s: %q, %v", test.arguments, output, err)
		}
	}
	// What is there is the last file that could be made.
	file, err := targets.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if first, err := file.First(); err != nil || file.Count != 3 || first != netip.MustParseAddr("8.8.8.8") {
		t.Errorf("%d targets from %s, %v", file.Count, first, err)
	}
}

func TestTargetsBuildInterrupted(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("8.8.8.8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	err := newApp().RunContext(ctx, []string{"mpcensus", "targets", "build", "--out", filepath.Join(dir, "out"), list})
	if err == nil || err.Error() != "interrupted: no target file was written" {
		t.Errorf("got %v", err)
	}
}

// The lines are the launcher's input: zmap-module/zmap-mptcp.
func TestTargetsArguments(t *testing.T) {
	spec := zmap.Scan{Interface: "scan0", SourceIP: netip.MustParseAddr("198.18.0.1"), GatewayMAC: "02:00:00:00:00:01"}
	want := []string{"--interface=scan0", "--source-ip=198.18.0.1", "--gateway-mac=02:00:00:00:00:01", "-b/dev/null",
		"--seed=1", "1.0.0.0/31", "1.0.0.2/32"}
	if got := indexArguments(spec, 3); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	spec.SourceIP = netip.MustParseAddr("2001:db8::1")
	want[1] = "--source-ip=192.0.2.1"
	want = append(want, "probe-args:source=2001:db8::1")
	if got := indexArguments(spec, 3); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	// ZMap's next group is random as ever.
	if got := indexArguments(spec, 257); slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, "--seed") }) {
		t.Errorf("got %q", got)
	}
	// What is named is not looked up.
	file := filepath.Join(t.TempDir(), "hitlist.targets")
	blocklist, err := targets.ParseBlocklist("blocklist", strings.NewReader("ff00::/8\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = targets.Build(t.Context(), file, targets.Params{
		Inputs:    []targets.Input{{Name: "list", Text: strings.NewReader("2001:db8::2\n")}},
		Blocklist: blocklist,
	})
	if err != nil {
		t.Fatal(err)
	}
	named := "--interface=scan0 --gateway-mac=02:00:00:00:00:01 --source-ip=2001:db8::1 -- " + file
	output, err := runCommand(t, append([]string{"targets", "arguments"}, strings.Fields(named)...)...)
	if want := "--interface=scan0\n--source-ip=192.0.2.1\n--gateway-mac=02:00:00:00:00:01\n-b/dev/null\n--seed=1\n1.0.0.0/32\nprobe-args:source=2001:db8::1\n"; output != want || err != nil {
		t.Errorf("got %q, %v", output, err)
	}
	// A trace has an index for each target and TTL.
	output, err = runCommand(t, append([]string{"targets", "arguments", "--ttl=3-9"}, strings.Fields(named)...)...)
	if !strings.Contains(output, "\n--seed=1\n1.0.0.0/30\n1.0.0.4/31\n1.0.0.6/32\nprobe-args:") || err != nil {
		t.Errorf("got %q, %v", output, err)
	}
	for arguments, code := range map[string]int{
		"--ttl 5 " + file: 2, "--ttl 0-5 " + file: 2,
		"": 2, "a b": 2, "/none": 1, "targets_test.go": 1,
		"--source-ip=198.18.0.1 " + file: 2, "--source-ip=x " + file: 2,
	} {
		if _, err := runCommand(t, append([]string{"targets", "arguments"}, strings.Fields(arguments)...)...); err == nil || exitCode(err) != code {
			t.Errorf("arguments %s: %v", arguments, err)
		}
	}
}
