package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
