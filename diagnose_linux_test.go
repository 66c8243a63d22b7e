package mmap

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// As on a file system that has shut down after an error.
func TestAFaultWhereEvenTheSizeCannotBeAskedForIsAnIOError(t *testing.T) {
	page := os.Getpagesize()
	name := tempFile(t, pattern(2*page))
	r := open(t, name, ReadWrite)
	if err := os.Truncate(name, int64(page)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		errno unix.Errno
		want  error
	}{{unix.EIO, ErrIO}, {0, ErrTruncated}} {
		onCalls(t, func(call string) error {
			if call == "fstat" && tt.errno != 0 {
				return tt.errno
			}
			return nil
		})
		_, err := Get[byte](r, page)
		wantErr(t, err, tt.want)
		wantErr(t, Put(r, page, byte(1)), tt.want)
	}
	if x, err := Get[byte](r, page-1); x != pattern(page)[page-1] || err != nil {
		t.Errorf("the page that is there: %v, %v", x, err)
	}
}
