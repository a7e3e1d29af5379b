package spool

import (
	"io"
	"os"
	"sync"
	"time"
)

// pieceCost is what a piece takes in the queue beside its bytes, so that tiny pieces are bounded too.
const pieceCost = 24

// queue carries pieces of the input, in order, from the one goroutine that reads to the one that
// writes. What waits in it is bounded.
type queue struct {
	limit         int           // bytes
	arrived, left chan struct{} // each holds a signal that something changed for the other side

	mu     sync.Mutex
	pieces [][]byte
	size   int   // bytes, with pieceCost for each piece
	err    error // why no more comes: io.EOF, or what failed
	waited time.Duration
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, arrived: make(chan struct{}, 1), left: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// push waits while the queue is full. It keeps p.
func (q *queue) push(p []byte) error {
	cost := len(p) + pieceCost
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.err == nil && q.size > 0 && q.size+cost > q.limit {
		q.wait()
	}
	if q.err == io.EOF {
		return os.ErrClosed
	}
	if q.err != nil {
		return q.err
	}
	q.pieces = append(q.pieces, p)
	q.size += cost
	signal(q.arrived)
	return nil
}

// wait lets go of the mutex until a piece has left.
func (q *queue) wait() {
	q.mu.Unlock()
	start := time.Now()
	<-q.left
	took := time.Since(start)
	q.mu.Lock()
	q.waited += took
}

// pop waits for the next piece, but no longer than until due, which it reports by nil. After the last
// piece its error is io.EOF; when close was called with another error, it is that one, at once.
func (q *queue) pop(due <-chan time.Time) ([]byte, error) {
	for {
		// First, because pieces may come without a pause.
		select {
		case <-due:
			return nil, nil
		default:
		}
		if p, err := q.first(); p != nil || err != nil {
			return p, err
		}
		select {
		case <-due:
			return nil, nil
		case <-q.arrived:
		}
	}
}

// first takes the first piece if there is one.
func (q *queue) first() ([]byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil && q.err != io.EOF {
		return nil, q.err
	}
	if len(q.pieces) == 0 {
		return nil, q.err
	}
	p := q.pieces[0]
	q.pieces[0] = nil
	q.pieces = q.pieces[1:]
	q.size -= len(p) + pieceCost
	signal(q.left)
	return p, nil
}

// close ends the input: with io.EOF in order, else because of a failure. What failed first stays.
func (q *queue) close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil || q.err == io.EOF {
		q.err = err
	}
	signal(q.arrived)
	signal(q.left)
}

// failure is what close was called with, other than io.EOF.
func (q *queue) failure() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == io.EOF {
		return nil
	}
	return q.err
}

func (q *queue) timeWaited() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waited
}
