package main

import (
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/store/s3test"
)

// What was left of ingests can be finished in an object store without naming a folder, in which there
// would be nothing but scans.
func TestResumeInObjectStore(t *testing.T) {
	location := s3test.Start(t).Location("census")
	if err := newApp().Run([]string{"mpcensus", "ingest", "--dataset", location, "--resume"}); err != nil {
		t.Error(err)
	}
}
