package mmap

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Shared maps the memory that has this name, ReadWrite. All processes of one user
// that give the same name have the same bytes. If the memory is not there, it is
// made, of zeros. If it is shorter than size bytes, it grows to that. It never gets
// shorter. It stays until [RemoveShared] or the next start of the machine. It is
// Config{}.Shared(name, size).
func Shared(name string, size int64) (*Region, error) { return Config{}.Shared(name, size) }

// Shared maps the memory that has this name ReadWrite, as c says: see the function
// [Shared]. Offset and Length choose the part to map: with Length 0, all from Offset on.
// With a size of 0 that may be nothing. With c.Reserve the region can take up what
// others add to the memory ([Region.Refresh]), and can make the memory grow
// ([Region.Resize]).
//
// What is there may be left from a program that was killed in the middle of its work. So
// give the memory a header that says what is valid. The programs have to agree on who
// removes the name: the one that ends last, or nobody. Processes that have the memory
// mapped do not notice that its name was removed. They keep the old memory, and no new
// process joins them.
//
// The name is one element of a path, such as "example.com-prices". On Linux the memory
// is the file of that name in /dev/shm. C opens the same by
// shm_open("/example.com-prices", O_RDWR|O_CREAT, 0600). Where there is no such
// directory, it is a file in [os.TempDir], so all processes that share it must have the
// same TMPDIR. [Region.Name] and errors have the whole path.
//
// Processes may call Shared at the same time; all map the same memory. What it adds is
// allocated, unless c.Sparse: if there is too little memory, Shared fails, and no later
// access faults for want of it. Holes that others made stay holes. If Shared fails, the
// memory may still have been made, or made longer. The region owns the file, as with
// [Open]. Any process of the user can truncate it: use [Guard].
//
// Another user could take the name first. So Shared maps only a regular file that
// belongs to this process's effective user, has no permissions for group and others,
// and no second name (a hard link). It looks at the file that it has opened; it neither
// follows a symbolic link nor waits for the other end of a pipe. Anything else stays as
// it is, and the error is [fs.ErrPermission] and says what is there. A program that
// must not be kept out in this way hands a [MemFile] to its children.
//
// In /dev/shm nothing is durable, and [Region.Sync] has nothing to do. A name that is
// not one element of a path is [os.ErrInvalid], a negative size ErrRange. A c.Perm other
// than 0 is errors.ErrUnsupported, because nobody else may open the memory. Any
// goroutine may call Shared at any time.
//
// On Windows neither owner nor permissions are checked: the temporary directory is
// the user's own, and its access list keeps others out. The temporary directory of
// some services is open to others.
func (c Config) Shared(name string, size int64) (*Region, error) {
	if size < 0 {
		return nil, failf(ErrRange, "share %q: the size of %d bytes may not be negative", name, size)
	}
	if c.Perm != 0 {
		return nil, failf(errors.ErrUnsupported, "share %q: Perm is %v, and the memory is for this user only: leave it out", name, c.Perm)
	}
	path, err := sharedPath("share", name)
	if err != nil {
		return nil, err
	}
	c, err = c.readWrite("share", path)
	if err != nil {
		return nil, err
	}
	if err := c.check("share", path, regular); err != nil {
		return nil, err
	}
	if _, _, err := (Config{}).extent(path, size); err != nil {
		return nil, err // before it is made so long
	}
	h, there, err := openShared(path)
	if there != "" {
		return nil, because(pathError(path, err), fs.ErrPermission,
			"share %s: %s is there; it must be a regular file of this user, closed to others, with one name", path, there)
	}
	if err != nil {
		return nil, unfitToOpen(path, err)
	}
	m := &mapping{name: path, file: file{owned: h, users: 1}}
	m.changes.Store(1) // the size, for the first Sync
	var r *Region
	st, err := h.status()
	if err == nil {
		r, err = c.fill(m, st, "share", size, common)
	}
	if err != nil {
		m.file.release()
		return nil, pathError(path, err)
	}
	return r, nil
}

// RemoveShared removes a name that [Shared] made. The memory stays for the processes
// that have it mapped, and goes with the last of them. From then on, Shared makes new
// memory under the name.
//
// A name that is not there is [fs.ErrNotExist]. A name that another user made is
// [fs.ErrPermission], except for root, which may remove it. Of a symbolic link, the link
// itself is removed. A directory is an error. Any goroutine may call RemoveShared at any
// time. On Windows a name cannot be removed as long as anyone has the memory mapped.
func RemoveShared(name string) error {
	path, err := sharedPath("remove shared memory", name)
	if err != nil {
		return err
	}
	return asked(path, removeShared(path), "remove shared memory %s", path)
}

// sharedPath returns where the memory of a name is. A name that leads elsewhere, or
// that the system takes for another one, is refused.
func sharedPath(op, name string) (string, error) {
	folder, err := sharedFolder()
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, name)
	full, err := filepath.Abs(path)
	if err != nil || filepath.Base(full) != name || !filepath.IsLocal(name) || strings.ContainsRune(name, 0) {
		return "", failf(os.ErrInvalid, "%s %q: the name must be one element of a path, without a separator", op, name)
	}
	return path, nil
}
