package main

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// When the disk is full the store says so, and keeps what it has.
func TestAFullDiskIsAnErrorAndNothingIsLost(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Skip("a small tmpfs is for root: ", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	name := filepath.Join(dir, "store.rec")
	s := openWriter(t, name)
	err := error(nil)
	for n := 10; err == nil && n < 1<<16; n += 10 {
		for i := int(s.next); err == nil && i < n; i++ {
			err = s.Append(Record{keyOf(i), int64(i), value(keyOf(i))})
		}
		if _, err := s.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if !errors.Is(err, syscall.ENOSPC) || s.next < firstRecords {
		t.Errorf("after %d records: %v", s.next, err)
	}
	if err := s.Append(Record{Key: 1}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("once more: %v", err)
	}
	verified(t, name, int(s.next))
	s.Close()
	s = openWriter(t, name)
	verified(t, name, int(s.next))
}
