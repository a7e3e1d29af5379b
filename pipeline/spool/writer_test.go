package spool

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// chunks gives its input in pieces of random size, now and then after a pause.
type chunks struct {
	input  []byte
	most   int
	random *rand.Rand
	pause  time.Duration
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.input) == 0 {
		return 0, io.EOF
	}
	if c.pause > 0 && c.random.IntN(20) == 0 {
		time.Sleep(time.Duration(c.random.Int64N(int64(c.pause))))
	}
	n := copy(p, c.input[:min(len(c.input), 1+c.random.IntN(c.most))])
	c.input = c.input[n:]
	return n, nil
}

// What went in comes out, whatever pieces and pauses it came with, and whatever it was.
func TestBytesInBytesOut(t *testing.T) {
	lines := rows(10_000)
	noise := make([]byte, 5<<19)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	long := bytes.Repeat([]byte("a line without end, "), 120_000)
	for name, input := range map[string][]byte{
		"rows":                 lines,
		"no newline at end":    lines[:len(lines)-100],
		"nothing":              nil,
		"a newline":            []byte("\n"),
		"a byte":               []byte("x"),
		"noise":                noise,
		"an endless line":      long,
		"a long line, of many": bytes.Join([][]byte{lines[:1<<20], long, lines[1<<20:]}, []byte("\n")),
		"exactly one frame":    append(bytes.Repeat([]byte("x"), frameSize-1), '\n'),
	} {
		for _, most := range []int{200, 5000, 3 << 20} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					path := spoolPath(t)
					pause := 2 * time.Second
					write(t, path, &chunks{input, most, rand.New(rand.NewPCG(uint64(most), 0)), pause})
					content, torn := read(t, path)
					expect(t, "Reader", content, input)
					if torn != 0 {
						t.Errorf("%d bytes torn", torn)
					}
					if len(input) > 0 { // the tool wants a frame
						expect(t, "zstd", zstdTool(t, path), input)
					}
					if cut, err := Recover(path); cut != 0 || err != nil {
						t.Errorf("Recover cut %d bytes: %v", cut, err)
					}
				})
			})
		}
	}
}

// Lines come through a pipe, which is enlarged, over several calls of ReadFrom.
func TestPipe(t *testing.T) {
	path := spoolPath(t)
	input := rows(20_000)
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]byte{input[:1<<20], input[1<<20:]} {
		from, to, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		fed := make(chan int)
		go func() {
			to.Write(part)
			size, _ := unix.FcntlInt(to.Fd(), unix.F_GETPIPE_SZ, 0)
			to.Close()
			fed <- size
		}()
		if n, err := w.ReadFrom(from); n != int64(len(part)) || err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		if size := <-fed; size != pipeSize {
			t.Errorf("a pipe of %d bytes", size)
		}
		from.Close()
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	expect(t, "zstd", zstdTool(t, path), input)
}

// Every frame is of whole lines: so is what a dead writer leaves.
func TestFramesHoldWholeLines(t *testing.T) {
	path := spoolPath(t)
	write(t, path, &chunks{rows(20_000), 100_000, rand.New(rand.NewPCG(0, 0)), 0})
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	frames := 0
	for ; r.next() == nil; frames++ {
		if !bytes.HasSuffix(r.content, []byte("}\n")) || !bytes.HasPrefix(r.content, []byte(`{"saddr"`)) {
			t.Errorf("frame %d: %.20q … %q", frames, r.content, r.content[len(r.content)-20:])
		}
	}
	if frames < 5 {
		t.Errorf("%d frames", frames)
	}
}

func TestCreateReplacesNothing(t *testing.T) {
	path := spoolPath(t)
	if err := os.WriteFile(path, []byte("precious"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v", err)
	}
	if content, _ := os.ReadFile(path); string(content) != "precious" {
		t.Errorf("now holds %q", content)
	}
	if _, err := Create(path + "/none/x"); err == nil {
		t.Error("made a spool in no folder")
	}
}

// slowFile is a disk that takes its time.
type slowFile struct {
	write, sync time.Duration
	fail        error // of the next write, after half of it

	mu      sync.Mutex
	content []byte
	synced  int // bytes on stable storage
	closed  bool
}

func (f *slowFile) Write(p []byte) (int, error) {
	time.Sleep(f.write)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		f.content = append(f.content, p[:len(p)/2]...)
		return len(p) / 2, f.fail
	}
	f.content = append(f.content, p...)
	return len(p), nil
}

func (f *slowFile) Sync() error {
	f.mu.Lock()
	size := len(f.content)
	f.mu.Unlock()
	time.Sleep(f.sync)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.synced = size
	return nil
}

func (f *slowFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.content = f.content[:size]
	return nil
}

func (f *slowFile) Close() error {
	f.closed = true
	return nil
}

// durable is what is left of the lines after a power loss.
func (f *slowFile) durable(t *testing.T) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := spoolPath(t)
	if err := os.WriteFile(path, f.content[:f.synced], 0o666); err != nil {
		t.Fatal(err)
	}
	content, torn := read(t, path)
	if torn != 0 {
		t.Errorf("%d bytes torn", torn)
	}
	return content
}

// Every line is on stable storage a second after it came, however slowly lines come.
func TestDurableWithinASecond(t *testing.T) {
	for _, pause := range []time.Duration{time.Microsecond, 10 * time.Millisecond, 300 * time.Millisecond, 1700 * time.Millisecond} {
		t.Run(pause.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				file := &slowFile{write: time.Millisecond, sync: 400 * time.Millisecond}
				w, err := newWriter(file)
				if err != nil {
					t.Fatal(err)
				}
				type moment struct {
					when time.Time
					fed  int
				}
				var log []moment
				var fed int
				from, to := io.Pipe()
				read := make(chan struct{})
				go func() {
					w.ReadFrom(from)
					close(read)
				}()
				random := rand.New(rand.NewPCG(0, uint64(pause)))
				input := rows(1000)
				for part := range bytes.Lines(input) {
					// A line comes in two pieces.
					half := random.IntN(len(part))
					to.Write(part[:half])
					time.Sleep(time.Duration(random.Int64N(int64(pause))))
					to.Write(part[half:])
					fed += len(part)
					log = append(log, moment{time.Now(), fed})
					time.Sleep(time.Duration(random.Int64N(int64(pause))))
					if random.IntN(20) > 0 {
						continue
					}
					must := 0
					for _, m := range log {
						if time.Since(m.when) >= time.Second {
							must = m.fed
						}
					}
					durable := file.durable(t)
					if len(durable) < must {
						t.Fatalf("%d bytes are durable, %d are older than a second", len(durable), must)
					}
					expect(t, "durable", durable, input[:len(durable)])
				}
				to.Close()
				<-read
				if err := w.Close(); err != nil || !file.closed {
					t.Errorf("closed: %t, %v", file.closed, err)
				}
				expect(t, "durable after Close", file.durable(t), input)
			})
		})
	}
}

// Neither slow writes nor slow syncs keep the input waiting, until 64 MiB wait; then nothing is lost.
func TestSlowDisk(t *testing.T) {
	lines := rows(20_000)
	for name, file := range map[string]*slowFile{
		"write": {write: 2 * time.Second},
		"sync":  {sync: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, err := newWriter(file)
				if err != nil {
					t.Fatal(err)
				}
				input := bytes.Repeat(lines, 60<<20/len(lines))
				start := time.Now()
				if _, err := w.ReadFrom(bytes.NewReader(input)); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > 0 || w.Waited() > 0 {
					t.Errorf("kept the input waiting for %v, says %v", took, w.Waited())
				}
				if name == "sync" {
					time.Sleep(10 * time.Second)
					synctest.Wait()
					if len(file.content) == 0 {
						t.Error("nothing is written while the disk syncs")
					}
				} else {
					more := bytes.Repeat(lines, 40<<20/len(lines))
					input = append(input, more...)
					start := time.Now()
					w.ReadFrom(bytes.NewReader(more))
					if took := time.Since(start); took < time.Minute || w.Waited() != took {
						t.Errorf("waited for %v, says %v", took, w.Waited())
					}
					if size := w.queue.size; size > queueSize {
						t.Errorf("%d bytes wait", size)
					}
				}
				if err := w.Close(); err != nil {
					t.Error(err)
				}
				expect(t, "durable", file.durable(t), input)
			})
		})
	}
}

// Tiny pieces do not take more memory than large ones.
func TestQueueBoundsPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(2500)
		pushed := 0
		go func() {
			for q.push([]byte("x")) == nil {
				pushed++
			}
		}()
		synctest.Wait()
		if pushed != 100 {
			t.Errorf("%d pieces", pushed)
		}
		q.close(errors.New("end"))
	})
}

// A write that fails ends reading; what was written stays, and ends with an intact frame.
func TestFailedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := &slowFile{}
		w, err := newWriter(file)
		if err != nil {
			t.Fatal(err)
		}
		input := rows(100)
		if _, err := w.ReadFrom(bytes.NewReader(input)); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		file.mu.Lock()
		file.fail = &os.PathError{Op: "write", Path: "rows", Err: unix.ENOSPC}
		file.mu.Unlock()
		n, err := w.ReadFrom(&chunks{rows(100_000), 1000, rand.New(rand.NewPCG(0, 0)), time.Second})
		if !errors.Is(err, unix.ENOSPC) || n > 10<<20 {
			t.Errorf("%d bytes, then %v", n, err)
		}
		if err := w.Close(); !errors.Is(err, unix.ENOSPC) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v", err)
		}
		if !file.closed {
			t.Error("not closed")
		}
		file.synced = len(file.content)
		expect(t, "left", file.durable(t), input)
	})
}

// failingReader fails after some lines.
type failingReader struct{ io.Reader }

func (f failingReader) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrNoProgress
	}
	return n, err
}

// What came before the input failed is kept; after Close nothing is taken.
func TestFailedInput(t *testing.T) {
	path := spoolPath(t)
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := w.ReadFrom(failingReader{strings.NewReader("a line\n")}); n != 7 || err != io.ErrNoProgress {
		t.Errorf("%d bytes, then %v", n, err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if _, err := w.ReadFrom(strings.NewReader("late\n")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	content, _ := read(t, path)
	expect(t, "left", content, []byte("a line\n"))
}
