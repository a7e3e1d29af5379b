package trace

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// defaultRunSize is how many bytes of records are sorted at once.
const defaultRunSize = 24 << 20

// sorter sorts more records than memory holds: in runs, which are files of a folder, that are merged.
type sorter struct {
	folder  string
	runSize int
	mu      sync.Mutex
	runs    []string
}

// run is records that are sorted together. One goroutine fills it.
type run struct {
	sorter  *sorter
	data    []byte
	records []recordPlace
}

// recordPlace is where a record is in a run, with the first bytes of its key, which mostly tell it from others.
type recordPlace struct {
	first      uint64
	start, end uint32
}

func (s *sorter) newRun() *run { return &run{sorter: s} }

// add appends the record that extend appends to a slice.
func (r *run) add(extend func([]byte) []byte) error {
	start := len(r.data)
	r.data = extend(r.data)
	r.records = append(r.records, recordPlace{binary.BigEndian.Uint64(r.data[start:]), uint32(start), uint32(len(r.data))})
	if len(r.data) < r.sorter.runSize {
		return nil
	}
	return r.flush()
}

// flush writes what the run has into a file.
func (r *run) flush() error {
	if len(r.records) == 0 {
		return nil
	}
	slices.SortFunc(r.records, func(a, b recordPlace) int {
		if c := cmp.Compare(a.first, b.first); c != 0 {
			return c
		}
		return bytes.Compare(r.data[a.start:a.end], r.data[b.start:b.end])
	})
	r.sorter.mu.Lock()
	path := filepath.Join(r.sorter.folder, fmt.Sprintf("run-%05d", len(r.sorter.runs)))
	r.sorter.runs = append(r.sorter.runs, path)
	r.sorter.mu.Unlock()
	err := r.write(path)
	r.data, r.records = r.data[:0], r.records[:0]
	return err
}

// write makes a file of records, each behind its length.
func (r *run) write(path string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	packed, err := zstd.NewWriter(file, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10))
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(packed, 64<<10)
	var length [4]byte
	for _, p := range r.records {
		binary.LittleEndian.PutUint32(length[:], p.end-p.start)
		if _, err := out.Write(length[:]); err != nil {
			return errors.Join(err, packed.Close())
		}
		if _, err := out.Write(r.data[p.start:p.end]); err != nil {
			return errors.Join(err, packed.Close())
		}
	}
	return errors.Join(out.Flush(), packed.Close())
}

// merged reads the records of all runs in order.
type merged struct {
	heads []*head // a heap
}

// head is a run being read.
type head struct {
	file    *os.File
	packed  *zstd.Decoder
	in      *bufio.Reader
	current []byte
}

func (s *sorter) merge() (*merged, error) {
	m := &merged{}
	for _, path := range s.runs {
		h, err := openRun(path)
		if err != nil {
			m.close()
			return nil, err
		}
		m.heads = append(m.heads, h)
		if err := h.next(); err != nil {
			m.close()
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	heap.Init(m)
	return m, nil
}

func openRun(path string) (*head, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	packed, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		file.Close()
		return nil, err
	}
	return &head{file: file, packed: packed, in: bufio.NewReaderSize(packed, 32<<10)}, nil
}

// next reads a record. Its error is io.EOF behind the last.
func (h *head) next() error {
	var length [4]byte
	if _, err := io.ReadFull(h.in, length[:]); err != nil {
		return err
	}
	n := int(binary.LittleEndian.Uint32(length[:]))
	h.current = slices.Grow(h.current[:0], n)[:n]
	_, err := io.ReadFull(h.in, h.current)
	return err
}

// first is the least record that is left, nil if there is none. It is valid until drop.
func (m *merged) first() []byte {
	if len(m.heads) == 0 {
		return nil
	}
	return m.heads[0].current
}

// drop goes on behind the first record.
func (m *merged) drop() error {
	h := m.heads[0]
	err := h.next()
	if err == io.EOF {
		heap.Pop(m)
		return h.close()
	}
	if err == nil && len(m.heads) > 1 {
		heap.Fix(m, 0)
	}
	return err
}

func (m *merged) close() {
	for _, h := range m.heads {
		h.close()
	}
	m.heads = nil
}

func (h *head) close() error {
	h.packed.Close()
	return h.file.Close()
}

// Len, Less, Swap, Push and Pop are those of container/heap.
func (m *merged) Len() int { return len(m.heads) }
func (m *merged) Less(i, j int) bool {
	return bytes.Compare(m.heads[i].current, m.heads[j].current) < 0
}
func (m *merged) Swap(i, j int) { m.heads[i], m.heads[j] = m.heads[j], m.heads[i] }
func (m *merged) Push(h any)    { m.heads = append(m.heads, h.(*head)) }
func (m *merged) Pop() any {
	last := m.heads[len(m.heads)-1]
	m.heads = m.heads[:len(m.heads)-1]
	return last
}
