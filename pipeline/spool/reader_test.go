package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// smallSpool writes a spool of a few lines a frame, and says where frames end, and the lines in them.
func smallSpool(t testing.TB, path string) (input []byte, ends map[int64]int) {
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	ends = map[int64]int{0: 0}
	for range 4 {
		line := []byte("a line\nand " + string(rune('a'+len(ends))) + "nother line\n")
		if _, err := w.ReadFrom(bytes.NewReader(line)); err != nil {
			t.Fatal(err)
		}
		input = append(input, line...)
		time.Sleep(2 * frameAge)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		ends[info.Size()] = len(input)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if len(ends) != 5 {
		t.Fatalf("%d frames", len(ends)-1)
	}
	return input, ends
}

// As after a power loss, the file ends anywhere: every whole frame is read, and Recover leaves those.
func TestTruncated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := spoolPath(t)
		input, ends := smallSpool(t, path)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var intact int64
		for size := range len(whole) + 1 {
			if _, ok := ends[int64(size)]; ok {
				intact = int64(size)
			}
			// A file system may leave zeros where the data did not reach the disk.
			for _, zeros := range []int{0, 1, 5000} {
				if err := os.WriteFile(path, append(whole[:size:size], make([]byte, zeros)...), 0o666); err != nil {
					t.Fatal(err)
				}
				want := input[:ends[intact]]
				wantTorn := int64(size+zeros) - intact
				if whole := size < len(whole) && whole[size] == 0; whole && zeros > 0 {
					continue // the zeros may be what was there
				}
				content, torn := read(t, path)
				expect(t, "torn", content, want)
				if torn != wantTorn {
					t.Errorf("%d of %d bytes, %d zeros: %d torn, want %d", size, len(whole), zeros, torn, wantTorn)
				}
				if cut, err := Recover(path); cut != wantTorn || err != nil {
					t.Errorf("%d bytes: Recover cut %d, want %d: %v", size, cut, wantTorn, err)
				}
				if left, _ := os.ReadFile(path); !bytes.Equal(left, whole[:intact]) {
					t.Errorf("%d bytes: Recover left %d, want %d", size, len(left), intact)
				}
			}
		}
	})
}

// Where any bit is wrong, the frames before are read and no wrong line is: either the bit is found, or
// it is one that has no meaning.
func TestCorrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := spoolPath(t)
		input, ends := smallSpool(t, path)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var intact int64
		meaningless := 0
		for at := range whole {
			if _, ok := ends[int64(at)]; ok {
				intact = int64(at)
			}
			for bit := range 8 {
				damaged := bytes.Clone(whole)
				damaged[at] ^= 1 << bit
				if err := os.WriteFile(path, damaged, 0o666); err != nil {
					t.Fatal(err)
				}
				content, torn := read(t, path)
				if torn == 0 && bytes.Equal(content, input) {
					meaningless++
					if offset := int64(at) - intact; offset != 4 {
						t.Errorf("byte %d of a frame, bit %d: not found", offset, bit)
					}
					continue
				}
				expect(t, "damaged", content, input[:ends[intact]])
				if want := int64(len(whole)) - intact; torn != want {
					t.Errorf("byte %d, bit %d: %d bytes torn, want %d", at, bit, torn, want)
				}
			}
		}
		// RFC 8878, 3.1.1.1.1.3: the unused bit of the frame header descriptor.
		if frames := len(ends) - 1; meaningless > frames {
			t.Errorf("%d wrong bits were not found, of which %d may", meaningless, frames)
		}
	})
}

// A live spool can be read, but not cut.
func TestLive(t *testing.T) {
	path := spoolPath(t)
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	input := rows(10_000)
	if _, err := w.ReadFrom(bytes.NewReader(input)); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		content, _ := read(t, path)
		expect(t, "live", content, input[:len(content)])
		if len(content) == len(input) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the lines do not come")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := Recover(path); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if cut, err := Recover(path); cut != 0 || err != nil {
		t.Errorf("cut %d: %v", cut, err)
	}
}

// What is appended after Open is not read, so that reading ends and no frame looks torn.
func TestReaderStaysWhereItOpened(t *testing.T) {
	path := spoolPath(t)
	write(t, path, bytes.NewReader([]byte("a line\n")))
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(whole); err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	expect(t, "read", content, []byte("a line\n"))
	if err != nil || r.Torn() != 0 {
		t.Errorf("%d bytes torn: %v", r.Torn(), err)
	}
}

func TestNoSpool(t *testing.T) {
	dir := t.TempDir()
	pipe := dir + "/pipe"
	if err := unix.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe, dir + "/none"} {
		if r, err := Open(path); err == nil {
			r.Close()
			t.Errorf("opened %s", path)
		}
		if _, err := Recover(path); err == nil {
			t.Errorf("recovered %s", path)
		}
	}
}

// frameOf is a frame by hand (RFC 8878, 3.1.1), with a wrong checksum.
func frameOf(descriptor byte, header []byte, blocks ...[]byte) []byte {
	frame := append([]byte{0x28, 0xb5, 0x2f, 0xfd, descriptor}, header...)
	return append(append(frame, bytes.Join(blocks, nil)...), 0, 0, 0, 0)
}

func block(last bool, kind, size uint32, content []byte) []byte {
	header := size<<3 | kind<<1
	if last {
		header |= 1
	}
	return append(binary.LittleEndian.AppendUint32(nil, header)[:3], content...)
}

// hostile frames claim much, in few bytes.
func hostile() map[string][]byte {
	huge := binary.LittleEndian.AppendUint64(nil, 1<<60)
	rle := block(false, 1, 128<<10, []byte("x"))
	raw := block(true, 0, 1, []byte("x"))
	return map[string][]byte{
		"huge window":      frameOf(0b00000100, []byte{0xff}, raw),
		"huge content":     frameOf(0b11100100, huge, raw),
		"repeats, bounded": frameOf(0b10100100, []byte{0, 0, 16, 0}, bytes.Repeat(rle, 100_000), raw),
		"repeats, unbound": frameOf(0b00000100, []byte{80}, bytes.Repeat(rle, 100_000), raw),
		"empty blocks":     frameOf(0b10100100, []byte{0, 0, 16, 0}, bytes.Repeat(block(false, 0, 0, nil), 3_000_000), raw),
		"reserved block":   frameOf(0b00100100, []byte{1}, block(true, 3, 1, []byte("x"))),
		"no checksum":      frameOf(0b00100000, []byte{1}, raw)[:10],
		"dictionary":       frameOf(0b00100101, []byte{7, 1}, raw),
		"skippable":        append([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0x40}, make([]byte, 1000)...),
		"huge block":       frameOf(0b10100100, []byte{0, 0, 16, 0}, block(true, 2, 1<<21-1, make([]byte, 1<<21-1))),
		"not zstd":         rows(1000),
	}
}

// What is no frame of a Writer is refused in bounded memory, whatever it claims.
func TestHostile(t *testing.T) {
	for name, content := range hostile() {
		t.Run(name, func(t *testing.T) {
			path := spoolPath(t)
			if err := os.WriteFile(path, content, 0o666); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, torn := read(t, path)
			runtime.ReadMemStats(&after)
			if len(got) != 0 || torn != int64(len(content)) {
				t.Errorf("read %d bytes, %d of %d torn", len(got), torn, len(content))
			}
			// Also what was freed again, as a buffer that grows to 2 MiB has.
			if took := after.TotalAlloc - before.TotalAlloc; took > 24<<20 {
				t.Errorf("took %d MiB", took>>20)
			}
		})
	}
}

// Of any bytes, Recover leaves what Reader reads, of which nothing is torn, and the zstd library's
// stream decoder reads the same.
func FuzzRecover(f *testing.F) {
	path := f.TempDir() + "/seed"
	write(f, path, bytes.NewReader(rows(20)))
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(append(whole, whole...))
	f.Add(append(whole, whole[:len(whole)/2]...))
	for _, content := range hostile() {
		f.Add(content[:min(len(content), 1000)])
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		path := spoolPath(t)
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
		before, torn := read(t, path)
		cut, err := Recover(path)
		if cut != torn || err != nil {
			t.Fatalf("cut %d of %d torn: %v", cut, torn, err)
		}
		left, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(left, content[:int64(len(content))-torn]) {
			t.Fatalf("left %d of %d bytes, %d torn: %v", len(left), len(content), torn, err)
		}
		after, torn := read(t, path)
		if torn != 0 || !bytes.Equal(before, after) {
			t.Fatalf("%d bytes, then %d, %d torn", len(before), len(after), torn)
		}
		judge, err := streamDecode(left)
		if err != nil || !bytes.Equal(judge, after) {
			t.Fatalf("the library reads %d bytes, we %d: %v", len(judge), len(after), err)
		}
	})
}
