package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/targets"
)

// What verify refuses before it looks at the kernel; that it connects is tested in pipeline/verify.
func TestVerifyUsage(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.conf")
	if err := os.WriteFile(empty, []byte("# nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code      int
		want      string
		arguments []string
	}{
		{exitUsage, "--dataset is missing", []string{"--port", "80"}},
		{exitUsage, "--port is missing", []string{"--dataset", "d"}},
		{exitUsage, "--port 70000", []string{"--dataset", "d", "--port", "70000"}},
		{exitUsage, "--probe v0: it is v1", []string{"--dataset", "d", "--port", "80", "--probe", "v0"}},
		{exitUsage, "--family ipv5", []string{"--dataset", "d", "--port", "80", "--family", "ipv5"}},
		{exitUsage, `protocol "ftp": it is http or tls`, []string{"--dataset", "d", "--port", "80", "--protocol", "ftp"}},
		{exitUsage, "--connect-timeout 4s: more than 4s", []string{"--dataset", "d", "--port", "80", "--connect-timeout", "4s"}},
		{exitUsage, "a connection has 5s, and 6s to be established", []string{"--dataset", "d", "--port", "80", "--timeout", "5s"}},
		{exitUsage, "0 rounds", []string{"--dataset", "d", "--port", "80", "--rounds", "0"}},
		{exitUsage, "choose one", []string{"--dataset", "d", "--port", "80", "--targets", "f", "198.18.0.1"}},
		{exitUsage, "writes to local folders", []string{"--dataset", "s3://b/p", "--port", "80"}},
		{exitFailed, "no connections without a blocklist", []string{"--dataset", "d", "--port", "80", "--blocklist", empty}},
	} {
		output, err := runCommand(t, append([]string{"verify"}, c.arguments...)...)
		if err == nil {
			t.Errorf("%v: no error: %s", c.arguments, output)
			continue
		}
		if line := errorLine(err); exitCode(err) != c.code || !strings.Contains(line, c.want) {
			t.Errorf("%v: code %d, %s", c.arguments, exitCode(err), line)
		}
	}
}

// TestVerifyTargets: each family has its targets of a list, or none; an address on the blocklist is none.
func TestVerifyTargets(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	blocklist, err := targets.ParseBlocklist("test", strings.NewReader("198.18.1.0/24\n2001:db8:1::/48\n"))
	if err != nil {
		t.Fatal(err)
	}
	ipv4Only, err := targets.ParseBlocklist("test", strings.NewReader("198.18.1.0/24\n"))
	if err != nil {
		t.Fatal(err)
	}
	indexed := filepath.Join(dir, "indexed")
	if _, err := runCommand(t, "targets", "build", "--out", indexed, "--blocklist", write("own.conf", "192.0.2.0/24\n2001:db8:2::/48\n"), write("six", "2001:db8::1\n2001:db8::2\n")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, list, family string // "" is both
		blocklist          *targets.Blocklist
		ipv4, ipv6         uint64
		blocked, want      string // of the error, once no family has targets; of one at once
	}{
		{"both", write("both", "198.18.0.1\n2001:db8::1\n198.18.0.2\n198.18.1.1\n"), "", blocklist, 2, 1, "", ""},
		{"IPv4 all blocked", write("a", "198.18.1.1\n198.18.1.2\n2001:db8::1\n"), "", blocklist, 0, 1, "no target is left: all 2", ""},
		{"IPv6 all blocked", write("b", "198.18.0.1\n2001:db8:1::1\n"), "", blocklist, 1, 0, "no target is left: all 1", ""},
		{"all blocked", write("c", "198.18.1.1\n2001:db8:1::1\n2001:db8:1::1\n"), "", blocklist, 0, 0, "no target is left: all", ""},
		{"IPv4 alone, all blocked", write("d", "198.18.1.1\n"), "", blocklist, 0, 0, "no target is left: all 1", ""},
		{"asked for the other family", write("e", "198.18.0.1\n"), "ipv6", blocklist, 0, 0, "", "no ipv6 address in the hitlist"},
		{"asked for a family, all blocked", write("f", "198.18.1.1\n2001:db8::1\n"), "ipv4", blocklist, 0, 0, "", "no target is left"},
		{"blocklist of the other family alone", write("g", "198.18.0.1\n2001:db8::1\n"), "", ipv4Only, 1, 0, "", "the blocklist has no ipv6 entry"},
		{"target file", indexed, "", blocklist, 0, 2, "", ""},
		{"target file, blocklist of the other family alone", indexed, "", ipv4Only, 0, 0, "", "the blocklist has no ipv6 entry"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var blocked, failed error
			app := &cli.App{Flags: verifyCommand().Flags, Action: func(ctx *cli.Context) error {
				run := verifyRun{c: ctx, list: c.list, blocklist: c.blocklist}
				for family, want := range map[string]uint64{dataset.IPv4: c.ipv4, dataset.IPv6: c.ipv6} {
					if c.family != "" && c.family != family {
						continue
					}
					file, _, err := run.targets(t.Context(), nil, dataset.Partition{Family: family})
					if err != nil {
						failed = err
					}
					var got uint64
					if file != nil {
						got = file.Count
						file.Close()
					}
					if got != want {
						t.Errorf("%s: %d targets, want %d", family, got, want)
					}
				}
				blocked = run.blocked
				return nil
			}}
			if err := app.Run([]string{"verify", "--targets", c.list, "--family", c.family}); err != nil {
				t.Fatal(err)
			}
			check := func(err error, want string) {
				t.Helper()
				if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
					t.Errorf("error %v, want %q", err, want)
				}
			}
			check(blocked, c.blocked)
			check(failed, c.want)
		})
	}
}

// TestKeepInput: a list on standard input is there for each family.
func TestKeepInput(t *testing.T) {
	name, err := keepInput(strings.NewReader("198.18.0.1\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(name)
	if text, err := os.ReadFile(name); err != nil || string(text) != "198.18.0.1\n" {
		t.Errorf("%q, %v", text, err)
	}
}
