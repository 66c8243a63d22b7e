package mmap

import (
	"bytes"
	"os"
	"testing"
)

// Mapped pages and what read(2) and write(2) see are brought together by Sync.
func TestSyncBringsTheTwoCachesTogether(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, make([]byte, 2*page))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := Map(f, ReadWrite)
	need(t, r, err)
	b := r.Bytes()
	copy(b, pattern(page))
	b[page]++ // the second page is in memory, too
	b[page]--
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(contents(t, name)[:page], pattern(page)) {
		t.Error("what was stored is not what is read")
	}
	if _, err := f.WriteAt(pattern(page), int64(page)); err != nil {
		t.Fatal(err)
	}
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b[page:], pattern(page)) {
		t.Error("what was written is not what the mapping has")
	}
}
