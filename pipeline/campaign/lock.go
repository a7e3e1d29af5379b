package campaign

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// lockName is in the folder of all campaigns of a dataset, whose names do not begin with a dot: two at once would
// follow up each other's scans.
const lockName = ".lock"

// maxLock bounds what is read of who holds a lock.
const maxLock = 1 << 10

// Lock takes the dataset for a run. It ends with release, or with the process, however that dies. Who holds
// it is in the error.
func (c *Campaign) Lock() (release func(), err error) {
	folder := filepath.Join(c.Dataset, dataset.CampaignsFolder)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(folder, lockName), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		defer file.Close()
		holder, _ := io.ReadAll(io.LimitReader(file, maxLock))
		return nil, fmt.Errorf("dataset %s: %s is running: wait for its end, or stop it", c.Dataset, heldBy(holder))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock of dataset %s: %w", c.Dataset, err), file.Close())
	}
	host, _ := os.Hostname()
	text := fmt.Sprintf("campaign %s, process %d on %s, since %s\n", c.Name, os.Getpid(), host, time.Now().UTC().Format(time.RFC3339))
	// The text is for people; the lock is the kernel's.
	if err := file.Truncate(0); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := file.WriteAt([]byte(text), 0); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { file.Close() }, nil
}

// heldBy is what the holder wrote, if it has come to that.
func heldBy(text []byte) string {
	if line := strings.TrimSpace(string(text)); line != "" && !strings.ContainsFunc(line, func(r rune) bool { return r < ' ' }) {
		return line
	}
	return "another campaign"
}
