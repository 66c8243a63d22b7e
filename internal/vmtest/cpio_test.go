package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unpack lists an archive of the kind newc: type and permissions, name, contents.
func unpack(t *testing.T, b []byte) (entries []string) {
	t.Helper()
	for at := 0; ; {
		header := string(b[at : at+110])
		if header[:6] != "070701" {
			t.Fatalf("at %d: %q is no header", at, header)
		}
		field := func(i int) int {
			n, err := strconv.ParseUint(header[6+8*i:14+8*i], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		mode, size, nameSize := field(1), field(6), field(11)
		name := string(b[at+110 : at+110+nameSize-1])
		at = (at + 110 + nameSize + 3) &^ 3
		entries = append(entries, fmt.Sprintf("%06o %s %s", mode, name, b[at:at+size]))
		at = (at + size + 3) &^ 3
		if name == "TRAILER!!!" {
			if at != len(b) {
				t.Errorf("%d bytes after the end", len(b)-at)
			}
			return entries[:len(entries)-1]
		}
	}
}

func TestAnArchiveHasWhatWasAddedEachAfterItsFolder(t *testing.T) {
	var b bytes.Buffer
	a := newArchive(&b)
	a.file("/init", 0o755, []byte("program"))
	a.file("/modules/fs/ext4.ko", 0o644, []byte{})
	a.file("/modules/fs/x", 0o600, []byte("12345"))
	a.link("/bin/true", "/init")
	a.dir("/dev")
	a.dir("/modules")
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"100755 init program",
		"040755 modules ", "040755 modules/fs ", "100644 modules/fs/ext4.ko ", "100600 modules/fs/x 12345",
		"040755 bin ", "120777 bin/true /init",
		"040755 dev ",
	}
	if d := cmp.Diff(want, unpack(t, b.Bytes())); d != "" {
		t.Error(d)
	}
}

// A full disk has room for a few bytes.
type fullDisk struct{ room int }

var errFull = errors.New("full")

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.room -= len(b); d.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestAnArchiveTellsThatItCouldNotBeWritten(t *testing.T) {
	a := newArchive(&fullDisk{300})
	a.file("/a", 0o644, make([]byte, 100))
	a.file("/b", 0o644, make([]byte, 100))
	if err := a.close(); err != errFull {
		t.Errorf("close returned %v", err)
	}
}
