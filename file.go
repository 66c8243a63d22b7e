package mmap

import (
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
)

// The file of a region. Open and its kin open it, and the region owns it. Map
// borrows it: it belongs to the caller, who may close it at any time. Nothing here
// looks a file up by its name again.

// A file is the open file of one region, and what that region has in common with
// others of the file. The zero file is that of memory.
type file struct {
	mu       sync.Mutex // a leaf
	borrowed *os.File
	owned    handle
	inode    *inode
	users    int32 // the region, and the calls in progress; at 0 all is given back
	released bool  // by the region
}

// enter keeps the file open, and its inode, until leave. It reports whether the
// region still has it.
func (f *file) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users == 0 || f.released {
		return false
	}
	f.users++
	return true
}

// leave ends a use. The last to leave closes an owned file, under no lock: that may
// wait for a disk.
func (f *file) leave() error {
	f.mu.Lock()
	f.users--
	last := f.users == 0
	f.mu.Unlock()
	if !last {
		return nil
	}
	if f.inode != nil {
		f.inode.release()
	}
	return f.owned.close()
}

// release ends the region's use of its file.
func (f *file) release() error {
	f.mu.Lock()
	open := f.users > 0 && !f.released
	f.borrowed, f.released = nil, true
	f.mu.Unlock()
	if !open {
		return nil
	}
	return f.leave()
}

// use calls fn with the file's handle, which stays open meanwhile. If the region
// or, of a borrowed file, the caller has closed it, the error is fs.ErrClosed.
func (f *file) use(fn func(h handle) error) error {
	if !f.enter() {
		return fs.ErrClosed
	}
	defer f.leave()
	if f.owned != noFile {
		return fn(f.owned)
	}
	f.mu.Lock()
	borrowed := f.borrowed
	f.mu.Unlock()
	if borrowed == nil {
		return fs.ErrClosed
	}
	return control(borrowed, fn)
}

// size asks for the size of the file in bytes.
func (f *file) size() (n int64, err error) {
	err = f.use(func(h handle) error {
		n, err = h.size()
		return err
	})
	return n, err
}

// A nameIn is the directory in which a file has a name that is not durable yet.
type nameIn struct {
	*directory
	file
}

// newNameIn owns the directory d from here on.
func newNameIn(d *directory) *nameIn {
	return &nameIn{d, file{owned: d.h, users: 1}}
}

// release ends the use of the directory. There may be none.
func (n *nameIn) release() {
	if n != nil {
		n.file.release()
	}
}

// An inode is what the regions of one file in this process have in common: their
// turn at changing its size, and the memory of a write-back that failed. Device
// and inode numbers do not identify a file everywhere. Where two files have the
// same, one waits for the other's turn, and hears of the other's loss.
type inode struct {
	id   fileID
	refs int // under inodes

	// turn is held while the size of the file is looked at and changed. It is
	// the only lock that is held while a disk is waited for, and the outermost.
	turn sync.Mutex

	shrinks atomic.Uint32 // goes up when this process shortens it

	mu      sync.Mutex // a leaf
	lost    error      // the first failed write-back
	syncing map[*syncing]struct{}
}

// A syncing is a write-back in progress.
type syncing struct{ done chan struct{} }

var inodes = struct {
	sync.Mutex // a leaf
	of         map[fileID]*inode
}{of: make(map[fileID]*inode)}

// holdInode returns the inode of this id, until release.
func holdInode(id fileID) *inode {
	inodes.Lock()
	defer inodes.Unlock()
	n := inodes.of[id]
	if n == nil {
		n = &inode{id: id}
		inodes.of[id] = n
	}
	n.refs++
	return n
}

// hold keeps an inode that somebody holds, until one more release.
func (n *inode) hold() {
	inodes.Lock()
	defer inodes.Unlock()
	n.refs++
}

// shorten gives the file fewer bytes. That is counted before, for whoever finds a
// byte missing, and after, for whoever was mapped in between.
func (n *inode) shorten(h handle, size int64) error {
	n.shrinks.Add(1)
	err := h.truncate(size)
	shortenings.Add(1)
	n.shrinks.Add(1)
	return err
}

// shortenings goes up when this process has shortened any file. A size that is asked for
// in between, and not yet known to an inode, may be from before.
var shortenings atomic.Uint64

func (n *inode) release() {
	inodes.Lock()
	defer inodes.Unlock()
	n.refs--
	if n.refs == 0 {
		delete(inodes.of, n.id)
	}
}

// writeBack calls fn, which writes back, and returns the first write-back of this
// file that ever failed, or else fn's own error.
//
// The system reports a failure once, to one of those who ask. So who is told that
// all is well waits for those who were asking at the same time: one of them may
// have been told of a failure that was this one's too.
func (n *inode) writeBack(fn func() error) error {
	s := &syncing{make(chan struct{})}
	n.mu.Lock()
	if n.syncing == nil {
		n.syncing = make(map[*syncing]struct{})
	}
	n.syncing[s] = struct{}{}
	n.mu.Unlock()

	err := fn()

	n.note(err)
	n.mu.Lock()
	delete(n.syncing, s)
	close(s.done)
	others := make([]*syncing, 0, len(n.syncing))
	for s := range n.syncing {
		others = append(others, s)
	}
	n.mu.Unlock()
	for _, s := range others {
		<-s.done
	}

	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lost != nil {
		return n.lost
	}
	return err
}

// note remembers an error that means that a write-back failed.
func (n *inode) note(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lost == nil && lostWriteback(err) {
		n.lost = err
	}
}
