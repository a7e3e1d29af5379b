package targets

import (
	"iter"
	"slices"
)

// maxRuns is how many sorted runs there are before they are merged into one. It bounds the memory
// that a list takes which names the same addresses over and over.
const maxRuns = 32

// sorter sorts prefixes: block by block, in a goroutine of its own, while its user finds more of
// them. It must end with sorted.
type sorter struct {
	blockSize int
	block     []prefix
	blocks    chan []prefix
	runs      chan [][]prefix // gets the result when blocks is closed
}

// newSorter makes a sorter of blocks of the given size.
func newSorter(blockSize int) *sorter {
	s := &sorter{blockSize: blockSize, blocks: make(chan []prefix), runs: make(chan [][]prefix, 1)}
	go func() {
		var runs [][]prefix
		for block := range s.blocks {
			runs = append(runs, fitting(disjoint(block)))
			if len(runs) == maxRuns {
				runs = [][]prefix{joined(runs)}
			}
		}
		s.runs <- runs
	}()
	return s
}

func joined(runs [][]prefix) []prefix {
	room := 0
	for _, run := range runs {
		room += len(run)
	}
	return fitting(slices.AppendSeq(make([]prefix, 0, room), merged(runs)))
}

// fitting gives back the memory behind a slice that has become much shorter.
func fitting(run []prefix) []prefix {
	if len(run) < cap(run)/2 {
		return slices.Clone(run)
	}
	return run
}

func (s *sorter) add(p prefix) {
	s.block = append(s.block, p)
	if len(s.block) == s.blockSize {
		s.blocks <- s.block
		s.block = make([]prefix, 0, s.blockSize)
	}
}

// sorted returns the prefixes that were added, in order, without those that are in another.
func (s *sorter) sorted() iter.Seq[prefix] {
	s.blocks <- s.block
	close(s.blocks)
	return merged(<-s.runs)
}

// merged yields the prefixes of sorted runs in order, without those that are in another.
func merged(runs [][]prefix) iter.Seq[prefix] {
	return func(yield func(prefix) bool) {
		// A heap of the runs that are not at their end, by their first prefixes.
		var heap [][]prefix
		for _, run := range runs {
			if len(run) > 0 {
				heap = append(heap, run)
			}
		}
		for i := len(heap) - 1; i >= 0; i-- {
			siftDown(heap, i)
		}
		var last address
		for begun := false; len(heap) > 0; {
			p := heap[0][0]
			if heap[0] = heap[0][1:]; len(heap[0]) == 0 {
				heap[0] = heap[len(heap)-1]
				heap = heap[:len(heap)-1]
			}
			siftDown(heap, 0)
			if begun && p.first.compare(last) <= 0 {
				continue
			}
			begun, last = true, p.last()
			if !yield(p) {
				return
			}
		}
	}
}

func siftDown(heap [][]prefix, i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(heap); child++ {
			if heap[child][0].compare(heap[least][0]) < 0 {
				least = child
			}
		}
		if least == i {
			return
		}
		heap[i], heap[least] = heap[least], heap[i]
		i = least
	}
}
