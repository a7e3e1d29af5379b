package campaign

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// holderOf is the campaign's file whose lock this process takes and holds, instead of running tests.
const holderOf = "MPCENSUS_TEST_HOLD_LOCK"

func TestMain(m *testing.M) {
	if file := os.Getenv(holderOf); file != "" {
		c, err := Load(file)
		if err == nil {
			_, err = c.Lock()
		}
		fmt.Println(err)
		time.Sleep(time.Minute)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Another process holds the lock until it is killed, and no longer; it is named meanwhile.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	file := dir + "/c.yaml"
	if err := os.WriteFile(file, []byte(minimal), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), holderOf+"="+file)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer holder.Wait()
	defer holder.Process.Kill()
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "<nil>\n" {
		t.Fatalf("the other process: %s", line)
	}
	if _, err := c.Lock(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("campaign test, process %d on ", holder.Process.Pid)) {
		t.Errorf("%v: want who holds it", err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	holder.Wait()
	release, err := c.Lock()
	if err != nil {
		t.Fatalf("the holder is dead: %v", err)
	}
	if _, err := c.Lock(); err == nil {
		t.Error("locked twice")
	}
	release()
	if release, err = c.Lock(); err != nil {
		t.Fatal(err)
	}
	release()
}

// A campaign's folder and the lock are in one folder: no name of the one is that of the other.
func TestCampaignNamedLock(t *testing.T) {
	for _, name := range []string{"lock", strings.TrimPrefix(lockName, ".")} {
		w := newWorld(t, strings.Replace(minimal, "test", name, 1)+"probes: [v1]\n")
		release, err := w.c.Lock()
		if err != nil {
			t.Fatal(err)
		}
		if !w.run() {
			t.Error("died")
		}
		release()
	}
}
