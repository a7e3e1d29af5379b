package netlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/responder"
	"github.com/mpcensus/mpcensus/lab/scenario"
)

// What the keeper inherits beside its configuration on standard input.
const (
	readyFD = 3 // a pipe: readyWord when ready, an error's text otherwise
	lockFD  = 4 // the state directory, locked as long as the keeper lives
)

// readyWord is no error's text. A keeper that dies says nothing at all.
const readyWord = "ready"

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
	up        time.Time
}

// Keep is the lab's background process, started by Up in namespaces of its
// own. It returns when it is told to end; the namespaces go with the process.
func Keep() error {
	unix.CloseOnExec(readyFD)
	unix.CloseOnExec(lockFD)
	ready := os.NewFile(readyFD, "ready")
	err := keep(os.Stdin, os.NewFile(lockFD, "directory"), func() {
		fmt.Fprint(ready, readyWord)
		ready.Close()
	})
	if err != nil {
		fmt.Fprint(ready, err) // no effect once closed: the log has it then
	}
	return err
}

func keep(stdin io.Reader, dir *os.File, ready func()) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	defer dir.Close() // not before: it is locked

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
	if err := k.network.serve(); err != nil {
		return err
	}
	err = k.network.internet.Do(func() (err error) {
		k.responder, err = responder.New(k.scenario)
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

	control := socketPath(dir)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: control, Net: "unix"})
	if err != nil {
		return fmt.Errorf("open control socket: %w", err)
	}
	defer l.Close()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if err := k.network.chains.start(ctx); err != nil {
		return err
	}
	k.up = time.Now()
	go k.answer(l)
	go watch(ctx, control, end)
	ready()

	if err := k.responder.Run(ctx); err != nil {
		return err
	}
	if err := context.Cause(ctx); errors.Is(err, errUnreachable) {
		return err
	}
	cleanUp(k.Dir)
	return nil
}

var errUnreachable = errors.New("the lab's directory is gone: nobody could end the lab any more")

// watch ends a lab that nobody can reach: its directory or control socket is
// gone.
func watch(ctx context.Context, control string, end context.CancelCauseFunc) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := os.Lstat(control); errors.Is(err, os.ErrNotExist) {
				end(errUnreachable)
			}
		}
	}
}

// cleanUp removes what a keeper leaves in its directory. The directory stays:
// it carries the lock.
func cleanUp(dir string) {
	for _, name := range []string{controlFile, blocklistFile, logFile} {
		os.Remove(filepath.Join(dir, name))
	}
}
