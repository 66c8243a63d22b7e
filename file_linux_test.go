package mmap

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestDescriptorsAreClosedOnExec(t *testing.T) {
	name := tempFile(t, []byte("hello"))
	r := open(t, name, ReadWrite)
	flags, err := unix.FcntlInt(uintptr(r.o.file.owned), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags are %#x, %v", flags, err)
	}
}
