package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLauncher checks what zmap-mptcp makes of ZMap's command line, in all spellings of getopt_long.
// ZMap is echo here, and mpcensus a script that knows one target file of each family.
func TestLauncher(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	launcher, err := os.ReadFile("../zmap-module/zmap-mptcp")
	if err != nil {
		t.Fatal(err)
	}
	write("zmap-mptcp", string(launcher))
	write("mpcensus", `#!/bin/sh
printf '%s\n' "$*" >"$0.called"
for file; do :; done
case $file in
*6.targets) printf '%s\n' --interface=if0 --source-ip=192.0.2.1 --gateway-mac=02:00:00:00:00:01 -b/dev/null --seed=1 1.0.0.0/31 1.0.0.2/32 probe-args:source=2001:db8::1 ;;
*4.targets) printf '%s\n' --interface=if0 --source-ip=198.18.0.1 --gateway-mac=02:00:00:00:00:01 -b/dev/null 1.0.0.0/32 ;;
*) echo "mpcensus: $file: no target file" >&2; exit 1 ;;
esac
`)
	// An empty library to preload.
	write("empty.c", "")
	compile := exec.Command("cc", "-shared", "-o", filepath.Join(dir, "mptcp.so"), filepath.Join(dir, "empty.c"))
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	const way6 = " --interface=if0 --source-ip=192.0.2.1 --gateway-mac=02:00:00:00:00:01 -b/dev/null --seed=1 1.0.0.0/31 1.0.0.2/32"
	const index6 = " -b/dev/null --seed=1 1.0.0.0/31 1.0.0.2/32"
	for _, test := range []struct {
		name   string
		args   []string
		want   string // what ZMap gets, joined by blanks
		asked  string // what mpcensus is asked, if it is
		stderr string
	}{
		{"no target file", []string{"-p", "443", "--probe-args=probe=v1", "-w", "list", "198.18.0.0/24"},
			"-p 443 --probe-args=probe=v1 -w list 198.18.0.0/24", "", ""},
		{"words that look like it", []string{"--notes=targets=6.targets", "--probe-args=nottargets=6.targets", "-b", "x"},
			"--notes=targets=6.targets --probe-args=nottargets=6.targets -b x", "", ""},
		{"one argument", []string{"-p443", "--probe-args=probe=v0,targets=6.targets,canary=on", "-q"},
			"-p443 --probe-args=probe=v0,targets=6.targets,canary=on,source=2001:db8::1 -q" + way6, "targets arguments -- 6.targets", ""},
		{"two arguments", []string{"--probe-args", "targets=6.targets", "--rate", "5"},
			"--probe-args targets=6.targets,source=2001:db8::1 --rate 5" + way6, "targets arguments -- 6.targets", ""},
		{"abbreviated", []string{"--probe-a", "targets=6.targets", "--disable", "--q"},
			"--probe-a targets=6.targets,source=2001:db8::1 --disable --q" + way6, "targets arguments -- 6.targets", ""},
		{"IPv4", []string{"--probe-args=targets=4.targets"},
			"--probe-args=targets=4.targets --interface=if0 --source-ip=198.18.0.1 --gateway-mac=02:00:00:00:00:01 -b/dev/null 1.0.0.0/32",
			"targets arguments -- 4.targets", ""},
		{"the user's own way, short", []string{"-i", "eth7", "-S192.0.2.9", "-qG", "02:00:00:00:00:09", "--probe-args=targets=6.targets"},
			"-i eth7 -S192.0.2.9 -qG 02:00:00:00:00:09 --probe-args=targets=6.targets,source=2001:db8::1" + index6,
			"targets arguments --interface=eth7 --gateway-mac=02:00:00:00:00:09 -- 6.targets", ""},
		{"the user's own way, long", []string{"--interface=eth7", "--source-ip", "192.0.2.9", "--gateway=02:00:00:00:00:09", "--probe-args=source=2001:db8::9,targets=6.targets"},
			"--interface=eth7 --source-ip 192.0.2.9 --gateway=02:00:00:00:00:09 --probe-args=source=2001:db8::9,targets=6.targets" + index6,
			"targets arguments --interface=eth7 --source-ip=2001:db8::9 --gateway-mac=02:00:00:00:00:09 -- 6.targets", ""},
		{"the user's own seed", []string{"--seed=7", "--probe-args=targets=6.targets"},
			"--seed=7 --probe-args=targets=6.targets,source=2001:db8::1" + strings.Replace(way6, " --seed=1", "", 1), "targets arguments -- 6.targets", ""},
		{"the user's own seed, short", []string{"-qe7", "--probe-args=targets=6.targets"},
			"-qe7 --probe-args=targets=6.targets,source=2001:db8::1" + strings.Replace(way6, " --seed=1", "", 1), "targets arguments -- 6.targets", ""},
		{"values that are more than a word", []string{"--notes", "two words", `--probe-args=targets=a b\nc6.targets`},
			`--notes two words --probe-args=targets=a b\nc6.targets,source=2001:db8::1` + way6, `targets arguments -- a b\nc6.targets`, ""},
		{"values that look like options", []string{"-o", "-w", "--output-filter", "-b", "--notes", "1.2.3.4", "-f*", "--probe-args=targets=4.targets"},
			"-o -w --output-filter -b --notes 1.2.3.4 -f* --probe-args=targets=4.targets --interface=if0 --source-ip=198.18.0.1 --gateway-mac=02:00:00:00:00:01 -b/dev/null 1.0.0.0/32",
			"targets arguments -- 4.targets", ""},
		{"a trace", []string{"-M", "mptcp_trace", "--probe-args=targets=6.targets"},
			"-M mptcp_trace --probe-args=targets=6.targets,source=2001:db8::1" + way6, "targets arguments --ttl=1-24 -- 6.targets", ""},
		{"a trace with its TTLs", []string{"--probe-m=mptcp_trace", "--probe-args=ttl=3-9,targets=4.targets", "-i", "eth7"},
			"--probe-m=mptcp_trace --probe-args=ttl=3-9,targets=4.targets -i eth7 --source-ip=198.18.0.1 --gateway-mac=02:00:00:00:00:01 -b/dev/null 1.0.0.0/32",
			"targets arguments --ttl=3-9 --interface=eth7 -- 4.targets", ""},
		{"an own CIDR", []string{"--probe-args=targets=6.targets", "198.18.0.0/24"}, "", "", "leave out: 198.18.0.0/24 ("},
		{"own CIDRs after --", []string{"--probe-args=targets=6.targets", "--", "198.18.0.0/24", "198.18.1.0/24"}, "", "", "leave out: 198.18.0.0/24 198.18.1.0/24 ("},
		{"a CIDR after a flag", []string{"--quiet", "198.18.0.0/24", "--probe-args=targets=6.targets"}, "", "", "leave out: 198.18.0.0/24 ("},
		{"a whitelist", []string{"-dwlist", "--probe-args=targets=6.targets"}, "", "", "leave out: -w list ("},
		{"a whitelist, long", []string{"--white", "list", "--probe-args=targets=6.targets"}, "", "", "leave out: -w list ("},
		{"a blocklist", []string{"-b", "list", "--probe-args", "targets=6.targets"}, "", "", "leave out: -b list ("},
		{"no such file", []string{"--probe-args=targets=nowhere"}, "", "targets arguments -- nowhere", "mpcensus: nowhere: no target file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			called := filepath.Join(dir, "mpcensus.called")
			os.Remove(called)
			cmd := exec.Command(filepath.Join(dir, "zmap-mptcp"), test.args...)
			cmd.Env = append(os.Environ(), "ZMAP=/bin/echo")
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if (err != nil) != (test.stderr != "") || !strings.Contains(stderr.String(), test.stderr) || strings.Count(stderr.String(), "\n") > 1 {
				t.Errorf("%v, stderr %q, want %q in it", err, stderr.String(), test.stderr)
			}
			if got := strings.TrimSuffix(stdout.String(), "\n"); got != test.want {
				t.Errorf("ZMap gets\n%s, want\n%s", got, test.want)
			}
			asked, _ := os.ReadFile(called)
			if got := strings.TrimSuffix(string(asked), "\n"); got != test.asked {
				t.Errorf("mpcensus is asked %q, want %q", got, test.asked)
			}
		})
	}
	if err := os.Remove(filepath.Join(dir, "mpcensus")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "zmap-mptcp"), "--probe-args=targets=6.targets")
	cmd.Env = append(os.Environ(), "ZMAP=/bin/echo")
	if out, err := cmd.CombinedOutput(); err == nil || string(out) != "zmap-mptcp: for targets=6.targets, mpcensus is needed in "+dir+"\n" {
		t.Errorf("without mpcensus: %v, %s", err, out)
	}
}

// TestLauncherTargets scans target files by the launcher, of a size at which ZMap 2.1.1 aborts with some
// seeds, and above.
func TestLauncherTargets(t *testing.T) {
	l := labUp(t)
	h := l.sparse(t, 1, 257)
	lines := h.lines
	for _, size := range []int{1, 256, 257} {
		dir := t.TempDir()
		h.path, h.lines = filepath.Join(dir, "list.txt"), lines[:size]
		h.write(t)
		targets, rows := filepath.Join(dir, "list.targets"), filepath.Join(dir, "rows.json")
		mustRun(t, mpcensus, "targets", "build", "--out", targets, "--blocklist", filepath.Join(l.dir, "blocklist.conf"), h.path)
		r := run(t, mpcensus, l.inside("../bin/zmap-mptcp", "-C", "/dev/null", "-M", "mptcp_synscan", "-p", "443", "--probe-args=probe=v1,targets="+targets,
			"-r", "5000", "-c", "2", "-O", "json", "-f", "*", "--output-filter=success = 1 || success = 0", "-o", rows)...)
		if r.code != 0 {
			t.Errorf("%d targets: exit code %d\n%s", size, r.code, r.stderr)
		}
		census := filepath.Join(dir, "census")
		mustRun(t, mpcensus, "ingest", "--dataset", census, "--port", "443", "--probe", "v1", "--family", "ipv6", "--date", "2026-11-23", rows)
		h.coverage(t, census, "443", "v1").check(t, uint64(size/4))
	}
}
