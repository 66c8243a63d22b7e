//go:build unix && !aix

package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Shared memory with a name, which is a file. Linux has a folder for those in memory,
// where shm_open(3) has its names too. Elsewhere the names of shm_open are not those
// of files, or of a folder that only root may enter.
const inMemory = "/dev/shm"

func sharedFolder() (string, error) {
	var st unix.Stat_t
	err := call("stat", func() error { return unix.Stat(inMemory, &st) })
	switch {
	case err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return inMemory, nil
	case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return os.TempDir(), nil
	}
	return "", pathError(inMemory, err)
}

// openShared looks at what it has opened, not at the name, which may lead elsewhere a
// moment later. The name tells only why the open failed.
func openShared(name string) (h handle, there string, err error) {
	for range 100 * maxTries { // while others, many at a time, make and remove the name
		var st unix.Stat_t
		h, _, err = openOrMake(unix.AT_FDCWD, name, 0o600)
		if err != nil {
			if call("fstatat", func() error { return unix.Fstatat(unix.AT_FDCWD, name, &st, unix.AT_SYMLINK_NOFOLLOW) }) == nil {
				there = notOurs(&st)
			}
			return noFile, there, err
		}
		st, err = h.stat()
		if err == nil {
			there = notOurs(&st)
		}
		if err == nil && there == "" && st.Nlink > 0 {
			return h, "", nil
		}
		h.close()
		if err != nil || there != "" {
			return noFile, there, err
		}
	}
	return noFile, "", os.NewSyscallError("open", unix.ENOENT)
}

// notOurs says what a file is that is not this user's alone, and "" of one that is.
func notOurs(st *unix.Stat_t) string {
	switch s := statusOf(st); {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return "a symbolic link"
	case s.kind != regular:
		return s.what
	case uint32(st.Uid) != uint32(os.Geteuid()):
		return fmt.Sprintf("a file of user %d", uint32(st.Uid))
	case st.Mode&0o077 != 0:
		return fmt.Sprintf("a file with the permissions %#o", st.Mode&0o777)
	case st.Nlink > 1:
		return fmt.Sprintf("a file with %d names (hard links)", st.Nlink)
	}
	return ""
}

func removeShared(name string) error {
	return call("unlink", func() error { return unix.Unlink(name) })
}
