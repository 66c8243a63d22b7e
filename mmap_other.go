//go:build (!unix && !windows) || aix

package mmap

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
)

// Systems without a file of their own. Nothing can be mapped, and whatever is asked
// for is errors.ErrUnsupported. A new system begins with a copy of this file.
//
// AIX is among them. Its mmap(2) with MAP_FIXED refuses what is mapped already, so
// there is no tombstone in one step, and no growth in place.

type system struct{}

type handle int

const noFile handle = -1

const (
	growsWithFile    = true
	syncsWithoutFile = false
	unmapsNeighbours = false
)

func mapSpace(h handle, q *request) (space, error) { return space{}, errors.ErrUnsupported }

type source struct{}

func (h handle) source(n uintptr, q *request) (source, error)        { return source{}, errors.ErrUnsupported }
func (source) close()                                                {}
func (s *space) fill(from, to uintptr, src source, q *request) error { return errors.ErrUnsupported }

func (s *space) allow(from, to uintptr, r rights) error        { return errors.ErrUnsupported }
func (s *space) forbid(from, to uintptr) error                 { return errors.ErrUnsupported }
func (s *space) discard(from uintptr, q *request) error        { return errors.ErrUnsupported }
func (s *space) bury(keep uintptr) error                       { return errors.ErrUnsupported }
func (s *space) deny() error                                   { return errors.ErrUnsupported }
func (s *space) unmap() error                                  { return errors.ErrUnsupported }
func (s *space) sync(from, to uintptr) error                   { return errors.ErrUnsupported }
func (s *space) lock(from, to uintptr) error                   { return errors.ErrUnsupported }
func (s *space) unlock(from, to uintptr) error                 { return errors.ErrUnsupported }
func (s *space) advise(from, to uintptr, a Advice) error       { return errors.ErrUnsupported }
func (s *space) resident(from, to uintptr, pages []bool) error { return errors.ErrUnsupported }
func (s *space) missing(from, to uintptr) (missing, told bool) { return false, false }
func (s *space) populate(from, to uintptr, store bool) error   { return errors.ErrUnsupported }
func (s *space) hugeHint()                                     {}
func (s *space) dump(from, to uintptr, on bool)                {}

func (s *space) startSync(from, to uintptr, h handle, off int64) error {
	return errors.ErrUnsupported
}

func openFile(name string, store bool) (handle, error) { return noFile, errors.ErrUnsupported }

func createFile(name string, perm fs.FileMode) (created, error) {
	return created{}, errors.ErrUnsupported
}

func sharedFolder() (string, error)                  { return os.TempDir(), nil }
func openShared(name string) (handle, string, error) { return noFile, "", errors.ErrUnsupported }
func removeShared(name string) error {
	return os.NewSyscallError("unlink", errors.ErrUnsupported)
}

// control does not look at the file: nothing can be done with it.
func control(f *os.File, fn func(h handle) error) error { return fn(0) }

func (h handle) status() (status, error)                 { return status{}, errors.ErrUnsupported }
func (h handle) hasOwnID() bool                          { return false }
func (h handle) size() (int64, error)                    { return 0, errors.ErrUnsupported }
func (h handle) permits(r rights) error                  { return errors.ErrUnsupported }
func (h handle) truncate(n int64) error                  { return errors.ErrUnsupported }
func (h handle) allocate(off, n int64) error             { return errors.ErrUnsupported }
func (h handle) sync() error                             { return errors.ErrUnsupported }
func (h handle) writesBack() error                       { return nil }
func (s *space) lockWhenThere(from, to uintptr) bool     { return false }
func (h handle) awaitSize()                              {}
func (h handle) readAt(p []byte, off int64) (int, error) { return 0, errors.ErrUnsupported }
func (h handle) close() error                            { return errors.ErrUnsupported }

type directory struct{ h handle }

func (d *directory) sync(h handle) error        { return errors.ErrUnsupported }
func (d *directory) remove(h handle, id fileID) {}
func (d *directory) close()                     {}

func limits() allowance            { return allowance{bytes: maxSpace, mappings: 1} }
func usedUp() bool                 { return false }
func wantsSpace(err error) bool    { return false }
func lostWriteback(err error) bool { return false }
func isBadAddress(err error) bool  { return false }

// unmappable words the error that all of this is.
func unmappable(err error) string {
	if errors.Is(err, errors.ErrUnsupported) {
		return "on " + runtime.GOOS + " it"
	}
	return ""
}

func unmappableDevice(err error) bool          { return false }
func poolState(size uintptr) string            { return runtime.GOOS + " has none" }
func privateBy(flags int, otherwise bool) bool { return otherwise }
func refusesFlags(h handle, q *request) string { return "" }
