package netlab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/responder"
	"github.com/mpcensus/mpcensus/lab/scenario"
)

// What the keeper inherits beside its configuration on standard input.
const (
	readyFD = 3 // a pipe: empty when ready, an error's text otherwise
	lockFD  = 4 // the state directory, locked as long as the keeper lives
)

// config is what Up tells the keeper.
type config struct {
	Dir          string
	ScenarioName string
	Scenario     []byte // YAML
	Outside      uint64 // inode of the namespace that Up was called in
}

type keeper struct {
	config
	scenario  *scenario.Scenario
	network   *network
	responder *responder.Responder
}

// Keep is the lab's background process, started by Up in namespaces of its
// own. It returns when it is told to end; the namespaces go with the process.
func Keep() error {
	unix.CloseOnExec(readyFD)
	unix.CloseOnExec(lockFD)
	ready := os.NewFile(readyFD, "ready")
	err := keep(os.Stdin, func() { ready.Close() })
	if err != nil {
		fmt.Fprint(ready, err) // no effect once closed: the log has it then
	}
	return err
}

func keep(stdin io.Reader, ready func()) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	var k keeper
	err := json.NewDecoder(stdin).Decode(&k.config)
	if err != nil {
		return fmt.Errorf("read the keeper's configuration: %w", err)
	}
	if k.scenario, err = scenario.Parse(k.ScenarioName, k.Scenario); err != nil {
		return err
	}
	if k.network, err = newNetwork(); err != nil {
		return err
	}
	for _, h := range scenario.Hosts {
		if err := k.network.hosts[h.Name].serve(h); err != nil {
			return err
		}
	}
	err = k.network.internet.Do(func() error {
		link, err := net.InterfaceByName(gatewayInterface)
		if err != nil {
			return fmt.Errorf("find %s: %w", gatewayInterface, err)
		}
		k.responder, err = responder.New(link.Index, k.scenario)
		return err
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(k.Dir, blocklistFile), []byte(blocklist()), 0o644); err != nil {
		return fmt.Errorf("write blocklist: %w", err)
	}
	if err := CheckIsolated(k.Outside, k.network.all()); err != nil {
		return err
	}

	control := filepath.Join(k.Dir, controlFile)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: control, Net: "unix"})
	if err != nil {
		return fmt.Errorf("open control socket (its path may have 107 bytes; see --dir): %w", err)
	}
	defer l.Close()
	go k.answer(l)
	ready()

	if err := k.responder.Run(ctx); err != nil {
		return err
	}
	cleanUp(k.Dir)
	return nil
}

// cleanUp removes what a keeper leaves in its directory. The directory stays:
// it carries the lock.
func cleanUp(dir string) {
	for _, name := range []string{controlFile, blocklistFile, logFile} {
		os.Remove(filepath.Join(dir, name))
	}
}
