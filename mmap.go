package mmap

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
)

// Mode says what may be done with the bytes of a region.
type Mode int

const (
	// ReadOnly regions can be read. A store is an error of a function, a panic of a
	// view, or a fault in raw memory.
	ReadOnly Mode = iota

	// ReadWrite regions share their stores with the file, and with every other
	// process that maps it (MAP_SHARED).
	ReadWrite

	// CopyOnWrite regions can be stored to. The stores stay private to the
	// region and never reach the file (MAP_PRIVATE). Whether a later change of
	// the file shows in pages not yet stored to is unspecified: mmap(2).
	CopyOnWrite
)

// theModes are what a Mode may be, in words after a colon.
const theModes = "use ReadOnly, ReadWrite or CopyOnWrite"

// String returns the name of the constant.
func (m Mode) String() string {
	switch m {
	case ReadOnly:
		return "ReadOnly"
	case ReadWrite:
		return "ReadWrite"
	case CopyOnWrite:
		return "CopyOnWrite"
	}
	return "Mode(" + strconv.Itoa(int(m)) + ")"
}

// HugePages chooses the size of the pages that back a region.
type HugePages int

const (
	// NoHugePages asks for none: the system's default applies.
	NoHugePages HugePages = iota

	// TransparentHugePages lets the system use huge pages where it can
	// (MADV_HUGEPAGE). It is a hint.
	TransparentHugePages

	// HugePages2M and HugePages1G take pages of exactly this size from the
	// system's pool (MAP_HUGETLB), for Anonymous memory. A pool with too few is an
	// error, now or when the region grows; a machine without such pages is
	// errors.ErrUnsupported. A file on hugetlbfs has huge pages without asking,
	// and its size is a number of whole ones.
	HugePages2M
	HugePages1G
)

// String returns the name of the constant.
func (h HugePages) String() string {
	switch h {
	case NoHugePages:
		return "NoHugePages"
	case TransparentHugePages:
		return "TransparentHugePages"
	case HugePages2M:
		return "HugePages2M"
	case HugePages1G:
		return "HugePages1G"
	}
	return "HugePages(" + strconv.Itoa(int(h)) + ")"
}

// Config holds every option of a mapping. The zero Config maps a whole file
// read-only. The functions [Open], [Create], [OpenOrCreate], [Map], [Anonymous]
// and [Shared] call its methods.
//
// Together the fields say all that mmap(2) can be told: addr is Addr, length is
// Length, prot is Mode and Exec, flags is Mode, HugePages and Flags, fd is the
// file, and offset is Offset.
type Config struct {
	// Mode is the access asked for. The regions of Create, OpenOrCreate,
	// Shared and Anonymous are ReadWrite, whether Mode says so or is left
	// at ReadOnly. CopyOnWrite is an error there.
	Mode Mode

	// Offset is the first byte of the file to map, in bytes. It need not be a
	// multiple of the page size: the region begins at exactly this byte. For
	// Anonymous it must be 0.
	Offset int64

	// Length is the number of bytes to map; 0 means from Offset to the end of the
	// file. Most devices have no end, so they need a Length.
	Length int64

	// Reserve is the address space to hold, in bytes, Length included. It is what
	// [Region.Cap] returns, and how far [Region.Resize] and [Region.Refresh] can
	// reach. Less than Length means Length, and then nothing can grow. It costs
	// neither memory nor disk until it is grown into. Only regular files and
	// memory can grow: of a device, more than Length is errors.ErrUnsupported.
	Reserve int64

	// Addr, unless 0, is the address that the region's first byte must have.
	// It must have the same remainder as Offset when divided by the page size.
	// Mapping fails, and changes nothing, if any of that address space is
	// taken. Page 0, which nil points into, always is. The space of a closed
	// region is taken until the collector has found that nothing reaches it.
	Addr uintptr

	// Populate brings every page into memory before the mapping is returned, and
	// reports an error if one could not be: see [Region.Populate].
	Populate bool

	// Lock keeps the pages in memory, as mlock(2) does. RLIMIT_MEMLOCK limits it,
	// on Windows the minimum working set (SetProcessWorkingSetSizeEx). What Resize
	// and Refresh add is locked as well.
	Lock bool

	// HugePages chooses the size of the pages.
	HugePages HugePages

	// Sparse makes Create, OpenOrCreate, Shared and Resize leave disk blocks
	// unallocated until they are stored to. On a full disk, a store is then
	// a fault with [ErrIO]. Without Sparse, the call itself would have
	// failed.
	Sparse bool

	// Exec makes the memory executable too.
	Exec bool

	// Perm is the mode of a file that is created, before umask; 0 means 0o600. For
	// Shared it must be 0.
	Perm fs.FileMode

	// Flags are further flags of mmap(2), such as unix.MAP_SYNC. Flags that
	// contradict the other fields, or mean nothing with them, are
	// errors.ErrUnsupported, and the error names the field to use. Such are
	// MAP_FIXED (use Addr: no mapping is ever taken by force), MAP_HUGETLB,
	// MAP_ANONYMOUS, MAP_PRIVATE with ReadWrite, MAP_SHARED with CopyOnWrite, and
	// MAP_SYNC without a shared file. Flags that the file cannot have are
	// errors.ErrUnsupported, too: MAP_SYNC is for files on persistent memory,
	// where ext4 or xfs is mounted with the option dax. [Region.Sync] says what it
	// makes durable.
	Flags int
}

// Open maps the whole of the existing file name. It is Config{Mode: mode}.Open(name).
func Open(name string, mode Mode) (*Region, error) { return Config{Mode: mode}.Open(name) }

// Create makes the file name, or empties the one that is there. It gives it size
// bytes of zeros, with their disk blocks allocated, and maps it ReadWrite. It is
// Config{}.Create(name, size).
func Create(name string, size int64) (*Region, error) { return Config{}.Create(name, size) }

// OpenOrCreate maps the file name ReadWrite. If the file is not there, it is
// made. If it is there, its bytes stay. If it is shorter than size bytes, it
// grows to that. It is Config{}.OpenOrCreate(name, size).
func OpenOrCreate(name string, size int64) (*Region, error) {
	return Config{}.OpenOrCreate(name, size)
}

// Map maps the whole of an open file, which stays the caller's. It is
// Config{Mode: mode}.Map(f).
func Map(f *os.File, mode Mode) (*Region, error) { return Config{Mode: mode}.Map(f) }

// Anonymous maps size bytes of zeroed memory that no file backs, ReadWrite. It is
// Config{}.Anonymous(size).
func Anonymous(size int64) (*Region, error) { return Config{}.Anonymous(size) }

// Open maps the existing file or device name as c says.
//
// The region owns the open file until Close: each region has one descriptor. A
// program that needs more regions than RLIMIT_NOFILE allows descriptors opens each
// file once, and calls [Config.Map] for every region. When a process closes any
// descriptor of a file, the system releases all fcntl(2) record locks that the
// process has on the file. So a program that uses such locks calls Map too.
//
// An empty file gives a region of Len 0. If a system call fails, the error is an
// [*fs.PathError]. If Offset and Length do not lie within a regular file, it
// wraps ErrRange. What cannot be mapped, such as a directory or a pipe, is
// errors.ErrUnsupported.
func (c Config) Open(name string) (*Region, error) {
	if err := c.check("map", name, regular); err != nil {
		return nil, err
	}
	h, err := openFile(name, c.Mode == ReadWrite)
	if err != nil {
		return nil, unfitToOpen(name, err)
	}
	m := &mapping{name: name, file: file{owned: h, users: 1}}
	r, err := c.place(m, h)
	if err != nil {
		m.file.release()
	}
	return r, err
}

// Create makes the file name, or empties the one that is there. It gives it size
// bytes of zeros, and maps it ReadWrite as c says. Offset and Length choose the part
// of it to map. Unless c.Sparse, its disk blocks are allocated first: on a full disk
// Create fails at once. Where the file system has no call for that, the pages are
// made ready to be stored to instead, which makes it allocate them.
//
// If Create fails, a file that it made is removed again. A file that was there is as
// before, or empty. The region owns the file, as with Open. Its first Sync also makes
// the file's name durable.
func (c Config) Create(name string, size int64) (*Region, error) {
	return c.create("create", name, size, emptied)
}

// OpenOrCreate maps the file name ReadWrite as c says, and makes it if it is not
// there. If it is there, its bytes stay. If it is shorter than size bytes, it
// grows to that, with disk blocks allocated unless c.Sparse. It never gets
// shorter. Offset and Length choose the part to map: with Length 0, all from
// Offset on, however long the file is.
//
// If OpenOrCreate fails the file stays, empty if it was just made. The region owns
// the file, as with Open. Its first Sync also makes the file's name durable.
// Processes that call it at the same time all map the same file.
func (c Config) OpenOrCreate(name string, size int64) (*Region, error) {
	return c.create("open or create", name, size, kept)
}

// A making is what becomes of the bytes of a file that is given a size.
type making int

const (
	emptied making = iota // all are new
	kept                  // they stay; the file gets its old size back if it cannot be mapped
	common                // they stay, and so does the new size: others may use it by then
)

func (c Config) create(op, name string, size int64, how making) (*Region, error) {
	c, err := c.readWrite(op, name)
	if err != nil {
		return nil, err
	}
	if err := c.check(op, name, regular); err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, failf(ErrRange, "%s %s: the size of %d bytes may not be negative", op, name, size)
	}
	if _, _, err := c.extent(name, size); err != nil && how == emptied {
		return nil, err // before the file that is there loses its bytes
	}
	perm := c.Perm
	if perm == 0 {
		perm = 0o600
	}
	made, err := createFile(name, perm)
	if err != nil {
		return nil, unfitToOpen(name, err)
	}
	st, err := made.h.status()
	if err == nil && st.kind != regular {
		made.dir.close()
		made.h.close()
		return nil, failf(errors.ErrUnsupported, "%s %s: %s is there already, and only regular files can be given a size", op, name, st.what)
	}
	m := &mapping{name: name, file: file{owned: made.h, users: 1}, dir: newNameIn(made.dir)}
	m.changes.Store(1) // the size, for the first Sync
	var r *Region
	if err == nil {
		r, err = c.fill(m, st, op, size, how)
	}
	if err != nil {
		if how == emptied && made.made {
			made.dir.remove(made.h, st.id)
		}
		m.dir.release()
		m.file.release()
		return nil, pathError(name, err)
	}
	return r, nil
}

// fill gives the file, of which st is known, at least size bytes, and maps it.
func (c Config) fill(m *mapping, st status, op string, size int64, how making) (_ *Region, err error) {
	h := m.file.owned
	m.join(st.id)
	m.turn.Lock()
	defer m.turn.Unlock()
	st.size, err = h.size()
	if err == nil && (how == emptied || size > st.size) {
		q := request{page: st.page, pooled: st.pooled}
		err = q.whole(op, m.name, size)
	}
	if err == nil && how == emptied && st.size > 0 {
		err, st.size = m.file.inode.shorten(h, 0), 0
	}
	if err != nil {
		return nil, err
	}
	old, allocated := st.size, true
	if size > old {
		switch {
		case !c.Sparse:
			err = h.allocate(old, size-old)
		case how != emptied: // the last byte: unlike ftruncate(2), it takes nothing from a file that others grow meanwhile
			err = h.allocate(size-1, 1)
		default:
			err = errors.ErrUnsupported
		}
		allocated = !errors.Is(err, errors.ErrUnsupported)
		if !allocated {
			err = h.truncate(size)
		}
		st.size = size
		if how != emptied { // others may have grown it further
			now, _ := h.size()
			st.size = max(size, now)
		}
	}
	var o *owner
	if err == nil {
		o, err = c.placeAs(m, h, st)
	}
	if err == nil && !allocated && !c.Sparse {
		if have := m.len.Load(); have > 0 {
			err = m.touchFresh(op, min(max(old-c.Offset, 0), have), have)
		}
		if err != nil {
			m.abandon()
		}
	}
	if err != nil {
		if now, e := h.size(); how != common && e == nil && old < now && now <= size {
			m.file.inode.shorten(h, old)
		}
		return nil, err
	}
	return o.watched(), nil
}

// Map maps the open file or device f as c says. f's mode must allow what c.Mode
// asks.
//
// The region borrows f and duplicates nothing. Resize, Refresh, Flush and the
// exact cause of a fault need f to be open. f may be closed at any time: accesses
// and Close go on working. A method that needs the file then returns an error that
// wraps [fs.ErrClosed]. A missing byte is ErrTruncated. [Region.Sync] says what it
// can still do.
//
// Nothing that the package does with f releases an fcntl(2) lock. A flock(2) lock that
// was taken through f and not unlocked lasts until f and the region are closed,
// because every mapping keeps the open file.
func (c Config) Map(f *os.File) (*Region, error) {
	if f == nil {
		return nil, failf(os.ErrInvalid, "map: the *os.File is nil")
	}
	name := f.Name()
	if err := c.check("map", name, regular); err != nil {
		return nil, err
	}
	var r *Region
	m := &mapping{name: name, file: file{borrowed: f, owned: noFile, users: 1}}
	err := control(f, func(h handle) (err error) {
		r, err = c.place(m, h)
		return err
	})
	if err != nil {
		m.file.release()
	}
	if r == nil && errors.Is(err, os.ErrClosed) {
		err = &fs.PathError{Op: "map", Path: name, Err: os.ErrClosed}
	}
	return r, err
}

// Anonymous maps size bytes of zeroed memory that no file backs, ReadWrite and
// private to the process, as c says.
func (c Config) Anonymous(size int64) (*Region, error) {
	const name = "anonymous memory"
	c, err := c.readWrite("map", name)
	if err != nil {
		return nil, err
	}
	if err := c.check("map", name, memory); err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, failf(ErrRange, "map %d bytes of %s: the size may not be negative", size, name)
	}
	if c.Offset != 0 || (c.Length != 0 && c.Length != size) {
		return nil, failf(ErrRange, "map %d bytes of %s: Offset is %d and Length %d, which are for files: leave them out", size, name, c.Offset, c.Length)
	}
	c.Length = size
	o, err := c.placeAs(&mapping{name: name}, noFile, status{kind: memory, size: size, page: uintptr(os.Getpagesize())})
	if err != nil {
		return nil, err
	}
	return o.watched(), nil
}
