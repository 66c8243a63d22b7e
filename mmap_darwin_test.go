package mmap

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestPreallocationIsCountedFromTheEndOfTheFile(t *testing.T) {
	got := *preallocation(unix.F_ALLOCATEALL, 5000, 9096)
	if want := (unix.Fstore_t{Flags: unix.F_ALLOCATEALL, Posmode: unix.F_PEOFPOSMODE, Length: 4096}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestAFileSystemWithoutAFullSyncIsSyncedPlainly(t *testing.T) {
	name := tempFile(t, pattern(100))
	for _, errno := range []error{unix.ENOTSUP, unix.ENOTTY, unix.EINVAL, unix.EIO} {
		r := open(t, name, ReadWrite)
		synced := false
		ask := func(call string) error {
			synced = synced || call == "fsync"
			if call == "fcntl" {
				return errno
			}
			return nil
		}
		intercept.Store(&ask)
		err := r.Sync()
		intercept.Store(nil)
		if errno == unix.EIO {
			wantErr(t, err, unix.EIO, name)
		} else if err != nil || !synced {
			t.Errorf("%v: %v, fsync(2) was called: %v", errno, err, synced)
		}
		r.Close()
	}
}
