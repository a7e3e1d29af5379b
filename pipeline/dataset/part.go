package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"github.com/mpcensus/mpcensus/pipeline/store"
)

// Part is a finished file of a scan that is not committed yet.
type Part struct {
	Name   string `json:"name"`   // in the stage's folder
	Number int    `json:"number"` // of the part of the input that its rows are from
	Rows   uint64 `json:"rows"`
	Bytes  uint64 `json:"bytes"`
	SHA256 string `json:"sha256"` // hex
	Sorted bool   `json:"sorted"` // made by Compact, which numbers its own files
}

// folder is the table, or rejectsFolder, that the part belongs to.
func (p Part) folder() string {
	folder, _, _ := strings.Cut(p.Name, "-")
	return folder
}

// partFile is a part in the making.
type partFile struct {
	part   Part
	file   store.File
	digest hash.Hash
}

func (s *Stage) createPart(ctx context.Context, folder string, number int, extension string) (*partFile, error) {
	part := Part{Name: fmt.Sprintf("%s-%05d.%s", folder, number, extension), Number: number}
	file, err := s.dataset.store.Create(ctx, s.file(part.Name))
	if err != nil {
		return nil, err
	}
	return &partFile{part, file, sha256.New()}, nil
}

// Write implements io.Writer.
func (f *partFile) Write(p []byte) (int, error) {
	n, err := f.file.Write(p)
	f.digest.Write(p[:n])
	f.part.Bytes += uint64(n)
	return n, err
}

func (f *partFile) commit(ctx context.Context) (Part, error) {
	f.part.SHA256 = hex.EncodeToString(f.digest.Sum(nil))
	return f.part, f.file.Commit(ctx)
}
