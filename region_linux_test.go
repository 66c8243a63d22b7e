package mmap

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// readsOfHolesFail says whether a file system has no page to read where a sparse
// file has none: tmpfs makes one, the others show zeros.
func readsOfHolesFail(name string) bool {
	var st unix.Statfs_t
	return unix.Statfs(filepath.Dir(name), &st) == nil && int64(st.Type) == unix.TMPFS_MAGIC
}
