//go:build !race

package mmap

import "testing"

func TestTheRaceDetectorSeesMappedMemory(t *testing.T) {
	t.Skip("this test binary was built without -race")
}
