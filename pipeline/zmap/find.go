// Package zmap finds ZMap and the project's probe module, runs a scan with them, and decodes the
// JSON rows that come out.
package zmap

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// SupportedVersion is the stock ZMap that the plug-in was made for (Debian and Ubuntu ship it).
const SupportedVersion = "2.1.1"

// ModuleName is the probe module's name for ZMap's --probe-module.
const ModuleName = "mptcp_synscan"

// Errors of Find.
var (
	ErrNoZMap   = errors.New("zmap not found: install it (apt-get install zmap) or name it with --zmap PATH")
	ErrNoModule = errors.New("probe module mptcp.so not found beside mpcensus: run make build")
)

// Installation is a ZMap and the probe module to load into it.
type Installation struct {
	Path    string // of the zmap binary
	Version string // as the binary says, for example "2.1.1"
	Module  string // path of mptcp.so
}

// Find looks for ZMap (at path, or where the system keeps it when path is empty) and for the probe
// module, which lives beside this program or in ../lib/mpcensus. With ErrNoModule it still says which
// ZMap was found.
func Find(path string) (Installation, error) {
	zmap, err := findBinary(path)
	if err != nil {
		return Installation{}, err
	}
	version, err := binaryVersion(zmap)
	if err != nil {
		return Installation{}, err
	}
	module, err := findModule()
	return Installation{Path: zmap, Version: version, Module: module}, err
}

func findBinary(path string) (string, error) {
	if path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", fmt.Errorf("zmap at %s: %w", path, err)
		}
		return found, nil
	}
	// An ordinary user's PATH often lacks sbin, where Debian puts zmap.
	for _, candidate := range []string{"zmap", "/usr/local/sbin/zmap", "/usr/sbin/zmap"} {
		if found, err := exec.LookPath(candidate); err == nil {
			return found, nil
		}
	}
	return "", ErrNoZMap
}

func binaryVersion(path string) (string, error) {
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	name, version, ok := strings.Cut(strings.TrimSpace(string(out)), " ")
	if !ok || name != "zmap" {
		return "", fmt.Errorf("%s --version: printed %.40q, which is not ZMap's", path, out)
	}
	return version, nil
}

func findModule() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program's folder: %w", err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", fmt.Errorf("finding this program's folder: %w", err)
	}
	folder := filepath.Dir(self)
	for _, candidate := range []string{
		filepath.Join(folder, "mptcp.so"),
		filepath.Join(folder, "..", "lib", "mpcensus", "mptcp.so"),
	} {
		if _, err := os.Stat(candidate); err != nil {
			continue
		}
		if strings.ContainsAny(candidate, " :") {
			return "", fmt.Errorf("LD_PRELOAD cannot name %q: move mpcensus to a path without spaces and colons", candidate)
		}
		return candidate, nil
	}
	return "", ErrNoModule
}
