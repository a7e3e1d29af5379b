package dataset

import (
	"bufio"
	"encoding/json"
	"errors"
	"path/filepath"
	"unicode"
	"unicode/utf8"

	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

const rejectsFolder = "rejects"

// Reject is a line of the input that is not in the dataset, and why.
type Reject struct {
	Line   int64  `json:"line"`   // from 1
	Offset int64  `json:"offset"` // of its first byte
	Length int64  `json:"length"` // in bytes, without the line end
	Reason string `json:"reason"` // a zmap.Reason
	Detail string `json:"detail"`

	// The first zmap.MaxLine bytes of the line, without the line end: Raw if they are text without
	// control characters, else RawBase64.
	Raw       *string `json:"raw,omitempty"`
	RawBase64 []byte  `json:"raw_base64,omitempty"`
}

// SetRaw keeps a copy of the line's bytes.
func (r *Reject) SetRaw(line []byte) {
	r.Raw, r.RawBase64 = nil, nil
	if isText(line) {
		text := string(line)
		r.Raw = &text
	} else {
		r.RawBase64 = line
	}
}

func isText(line []byte) bool {
	for _, c := range string(line) {
		if unicode.IsControl(c) {
			return false
		}
	}
	return utf8.Valid(line)
}

// maxReject bounds a line of a rejects file: at worst, every byte of the text is escaped by another.
const maxReject = 2*zmap.MaxLine + 4<<10

// rejectsFile writes the rejected lines of one scan, a JSON object each. The scan need not be known
// before the file is committed.
type rejectsFile struct {
	file  *AtomicFile
	lines *bufio.Writer
	out   *json.Encoder
}

// createRejects begins the rejects file of a scan.
func createRejects(dir string) (*rejectsFile, error) {
	file, err := CreateAtomic(filepath.Join(dir, rejectsFolder))
	if err != nil {
		return nil, err
	}
	lines := bufio.NewWriterSize(file, maxReject)
	out := json.NewEncoder(lines)
	out.SetEscapeHTML(false)
	r := &rejectsFile{file: file, lines: lines, out: out}
	if err := r.reserve(); err != nil {
		return nil, joinDiscard(err, file)
	}
	return r, nil
}

// reserve makes sure that another line can be written.
func (r *rejectsFile) reserve() error {
	return r.file.Reserve(int64(r.lines.Buffered()) + maxReject)
}

func (r *rejectsFile) append(reject Reject) error {
	return r.out.Encode(reject)
}

func (r *rejectsFile) empty() bool {
	return r.file.written == 0 && r.lines.Buffered() == 0
}

// commit makes the file appear as path; if nothing was rejected, no file is there afterwards.
func (r *rejectsFile) commit(path string) error {
	if r.empty() {
		return errors.Join(removeFile(path), r.file.Discard())
	}
	if err := r.lines.Flush(); err != nil {
		return joinDiscard(err, r.file)
	}
	return r.file.Commit(path)
}
