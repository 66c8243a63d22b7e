package main

// The files, and the answers to the kernel. Every answer has the same shape:
// find the file, let calls.enter hold or fail the call, then act under the lock.
//
// The kernel knows a file by its node, which is never used again; stat(2) tells
// the inode number, which the test chooses, so two files can have the same.
//
// The modification time changes only when the test changes a file, or the
// kernel sets the time. A new time makes the kernel forget its pages, also
// dirty ones, which it first writes; a test would hardly expect that of its
// own stores.

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const maxSize = 256 << 20 // a file is all in memory

const directory = "."

type file struct {
	name      string // the last one
	node, ino uint64
	mode      uint32
	owner     fuse.Owner
	links     uint32
	data      []byte
	mtime     time.Time
	sizes     []uint64 // set by the kernel
}

type files struct {
	fuse.RawFileSystem // everything else is ENOSYS
	calls              *calls
	keep               bool
	valid              time.Duration

	mu    sync.Mutex
	nodes map[uint64]*file
	names map[string]*file // in the directory
	last  map[string]*file // also what was unlinked
}

func newFiles(calls *calls, keep bool, valid time.Duration) *files {
	root := &file{name: directory, node: fuse.FUSE_ROOT_ID, ino: fuse.FUSE_ROOT_ID, mode: fuse.S_IFDIR | 0o755, links: 2}
	return &files{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		calls:         calls,
		keep:          keep,
		valid:         valid,
		nodes:         map[uint64]*file{root.node: root},
		names:         make(map[string]*file),
		last:          map[string]*file{directory: root},
	}
}

// The test's side.

func (s *files) make(name string, size int64, b byte, ino int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names[name] != nil {
		return fmt.Errorf("%s is there", name)
	}
	f := s.add(name, 0o600, fuse.Owner{Uid: uint32(unix.Geteuid()), Gid: uint32(unix.Getegid())})
	if ino != 0 {
		f.ino = uint64(ino)
	}
	return f.fill(0, size, b)
}

// look runs fn on a file.
func (s *files) look(name string, fn func(f *file)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.last[name]
	if f == nil {
		return fmt.Errorf("no file %s", name)
	}
	fn(f)
	return nil
}

// change is look for what another machine does.
func (s *files) change(name string, fn func(f *file) error) error {
	var err error
	return errors.Join(s.look(name, func(f *file) {
		err = fn(f)
		f.mtime = time.Now()
	}), err)
}

// The kernel may wait for calls in progress when it is told, so the lock is not
// held then. ENOENT means that it does not know the file, and so need not know.

func (s *files) notify(kernel *fuse.Server, name string) error {
	var node uint64
	if err := s.look(name, func(f *file) { node = f.node }); err != nil {
		return err
	}
	return unlessUnknown(kernel.InodeNotify(node, 0, 0))
}

func (s *files) push(kernel *fuse.Server, name string, off, n int64) error {
	var node uint64
	var data []byte
	if err := s.look(name, func(f *file) { node, data = f.node, slices.Clone(f.part(off, n)) }); err != nil {
		return err
	}
	return unlessUnknown(kernel.InodeNotifyStoreCache(node, off, data))
}

func unlessUnknown(s fuse.Status) error {
	if s == fuse.OK || s == fuse.ENOENT {
		return nil
	}
	return unix.Errno(s)
}

// One file; the lock is held.

func (s *files) add(name string, mode uint32, owner fuse.Owner) *file {
	node := uint64(len(s.nodes) + 1) // none is ever removed
	f := &file{name: name, node: node, ino: node, mode: fuse.S_IFREG | mode&0o7777, owner: owner, links: 1, mtime: time.Now()}
	s.nodes[node], s.names[name], s.last[name] = f, f, f
	return f
}

func (s *files) remove(f *file) {
	delete(s.names, f.name)
	f.links = 0
}

func (f *file) resize(size int64) error {
	if size < 0 || size > maxSize {
		return unix.EFBIG
	}
	if grown := size - int64(len(f.data)); grown > 0 {
		f.data = append(f.data, make([]byte, grown)...)
	} else {
		f.data = slices.Clone(f.data[:size]) // what is cut off never comes back
	}
	return nil
}

// reach grows the file to hold n bytes at off.
func (f *file) reach(off, n int64) error {
	if off < 0 || n < 0 || off > math.MaxInt64-n {
		return unix.EINVAL
	}
	if off+n <= int64(len(f.data)) {
		return nil
	}
	return f.resize(off + n)
}

func (f *file) fill(off, n int64, b byte) error {
	if err := f.reach(off, n); err != nil {
		return err
	}
	for i := range f.part(off, n) {
		f.data[off+int64(i)] = b
	}
	return nil
}

// part returns those of n bytes at off that there are.
func (f *file) part(off, n int64) []byte {
	size := int64(len(f.data))
	off = min(max(off, 0), size)
	return f.data[off : off+min(max(n, 0), size-off)]
}

func (f *file) attr(a *fuse.Attr) {
	*a = fuse.Attr{
		Ino:     f.ino,
		Size:    uint64(len(f.data)),
		Blocks:  (uint64(len(f.data)) + 511) / 512,
		Blksize: 4096,
		Mode:    f.mode,
		Nlink:   f.links,
		Owner:   f.owner,
	}
	a.SetTimes(nil, &f.mtime, &f.mtime)
}

func (s *files) entry(f *file, out *fuse.EntryOut) {
	out.NodeId = f.node
	out.SetEntryTimeout(s.valid)
	out.SetAttrTimeout(s.valid)
	f.attr(&out.Attr)
}

func (s *files) opened(f *file, out *fuse.OpenOut) {
	out.Fh = f.node
	if s.keep {
		out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
	}
}

// status is what the kernel is told of an error, which is an errno.
func status(err error) fuse.Status {
	return fuse.ToStatus(err)
}

// on is the shape of most answers: fn runs under the lock.
func (s *files) on(op string, node uint64, fn func(f *file) fuse.Status) fuse.Status {
	s.mu.Lock()
	f := s.nodes[node]
	name := f.name
	s.mu.Unlock()
	if status := s.calls.enter(op, name); status != fuse.OK {
		return status
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return fn(f)
}

func ok(f *file) fuse.Status { return fuse.OK }

// onName is on for what happens to a name in the directory; f is nil if there
// is none.
func (s *files) onName(op, name string, fn func(f *file) fuse.Status) fuse.Status {
	if status := s.calls.enter(op, name); status != fuse.OK {
		return status
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return fn(s.names[name])
}

// The kernel's side: names.

func (s *files) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return s.onName("lookup", name, func(f *file) fuse.Status {
		if f == nil {
			return fuse.ENOENT
		}
		s.entry(f, out)
		return fuse.OK
	})
}

func (s *files) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return s.onName("create", name, func(f *file) fuse.Status {
		if f == nil {
			f = s.add(name, in.Mode, in.Owner)
		}
		s.entry(f, &out.EntryOut)
		s.opened(f, &out.OpenOut)
		return fuse.OK
	})
}

func (s *files) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return s.onName("unlink", name, func(f *file) fuse.Status {
		if f == nil {
			return fuse.ENOENT
		}
		s.remove(f)
		return fuse.OK
	})
}

func (s *files) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	return s.onName("rename", from, func(f *file) fuse.Status {
		target := s.names[to]
		switch {
		case f == nil:
			return fuse.ENOENT
		case in.Flags&^unix.RENAME_NOREPLACE != 0:
			return fuse.EINVAL
		case target != nil && in.Flags != 0:
			return fuse.Status(unix.EEXIST)
		case target == f:
			return fuse.OK
		case target != nil:
			s.remove(target)
		}
		delete(s.names, from)
		delete(s.last, from)
		f.name = to
		s.names[to], s.last[to] = f, f
		return fuse.OK
	})
}

func (s *files) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return s.on("opendir", in.NodeId, ok)
}

func (s *files) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return s.on("readdir", in.NodeId, func(*file) fuse.Status {
		// By node, which is the offset too: what is made or removed meanwhile
		// changes no other entry's place.
		for node := in.Offset + 1; node <= uint64(len(s.nodes)); node++ {
			f := s.nodes[node]
			if s.names[f.name] != f {
				continue
			}
			if !out.AddDirEntry(fuse.DirEntry{Name: f.name, Mode: f.mode, Ino: f.ino, Off: node}) {
				break
			}
		}
		return fuse.OK
	})
}

func (s *files) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return s.on("fsyncdir", in.NodeId, ok)
}

func (s *files) ReleaseDir(in *fuse.ReleaseIn) {}

// The kernel's side: files.

func (s *files) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return s.on("getattr", in.NodeId, func(f *file) fuse.Status {
		f.attr(&out.Attr)
		out.SetTimeout(s.valid)
		return fuse.OK
	})
}

func (s *files) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return s.on("setattr", in.NodeId, func(f *file) fuse.Status {
		if size, is := in.GetSize(); is {
			if err := f.resize(int64(size)); err != nil {
				return status(err)
			}
			f.sizes = append(f.sizes, size)
		}
		if mode, is := in.GetMode(); is {
			f.mode = f.mode&^0o7777 | mode
		}
		if uid, is := in.GetUID(); is {
			f.owner.Uid = uid
		}
		if gid, is := in.GetGID(); is {
			f.owner.Gid = gid
		}
		if mtime, is := in.GetMTime(); is {
			f.mtime = mtime
		}
		f.attr(&out.Attr)
		out.SetTimeout(s.valid)
		return fuse.OK
	})
}

func (s *files) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return s.on("open", in.NodeId, func(f *file) fuse.Status {
		s.opened(f, out)
		return fuse.OK
	})
}

func (s *files) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (result fuse.ReadResult, code fuse.Status) {
	code = s.on("read", in.NodeId, func(f *file) fuse.Status {
		n := copy(buf, f.part(int64(in.Offset), int64(in.Size)))
		result = fuse.ReadResultData(buf[:n])
		return fuse.OK
	})
	return result, code
}

func (s *files) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (n uint32, code fuse.Status) {
	code = s.on("write", in.NodeId, func(f *file) fuse.Status {
		if err := f.reach(int64(in.Offset), int64(len(data))); err != nil {
			return status(err)
		}
		n = uint32(copy(f.data[in.Offset:], data))
		return fuse.OK
	})
	return n, code
}

func (s *files) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	return s.on("fallocate", in.NodeId, func(f *file) fuse.Status {
		off, n := int64(in.Offset), int64(in.Length)
		switch in.Mode {
		case 0:
			return status(f.reach(off, n))
		case unix.FALLOC_FL_KEEP_SIZE:
			return fuse.OK
		case unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE:
			clear(f.part(off, n))
			return fuse.OK
		}
		return fuse.ENOTSUP
	})
}

func (s *files) Flush(_ <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	return s.on("flush", in.NodeId, ok)
}

func (s *files) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return s.on("fsync", in.NodeId, ok)
}

func (s *files) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	s.on("release", in.NodeId, ok)
}

// StatFs tells of 256 MiB, half of them free.
func (s *files) StatFs(_ <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return s.on("statfs", in.NodeId, func(*file) fuse.Status {
		out.Bsize, out.Frsize, out.NameLen = 4096, 4096, 255
		out.Blocks, out.Bfree, out.Bavail = 1<<16, 1<<15, 1<<15
		return fuse.OK
	})
}
