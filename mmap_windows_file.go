//go:build windows

package mmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Files on Windows. Those that the library opens can be renamed by others
// meanwhile (FILE_SHARE_DELETE). While a view of a file is left nobody can delete
// it, empty it, or make it shorter.

// A handle is that of an open file, as CreateFile returns it.
type handle windows.Handle

const noFile handle = ^handle(0)

func openFile(name string, store bool) (handle, error) {
	access := uint32(windows.GENERIC_READ)
	if store {
		access |= windows.GENERIC_WRITE
	}
	// To map executable pages needs the right to execute the file, which not every
	// file that can be read gives.
	h, err := createHandle(name, access|windows.GENERIC_EXECUTE, windows.OPEN_EXISTING, 0)
	if isCode(err, windows.ERROR_ACCESS_DENIED) {
		h, err = createHandle(name, access, windows.OPEN_EXISTING, 0)
	}
	return h, err
}

// createHandle is CreateFile. Directories open, as they do with package os: the
// library says later what is wrong with them.
func createHandle(name string, access, how, attributes uint32) (h handle, err error) {
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	err = call("CreateFile", func() error {
		if name == "" {
			return windows.ERROR_FILE_NOT_FOUND
		}
		path, err := windows.UTF16PtrFromString(name)
		if err != nil {
			return err
		}
		f, err := windows.CreateFile(path, access, share, nil, how, attributes|windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
		h = handle(f)
		return err
	})
	if err != nil {
		return noFile, err
	}
	return h, nil
}

// createFile has no directory to open: see directory.
func createFile(name string, perm fs.FileMode) (c created, err error) {
	full, err := filepath.Abs(name)
	if err != nil {
		full = name
	}
	attributes := uint32(0)
	if perm&0o200 == 0 {
		attributes = windows.FILE_ATTRIBUTE_READONLY
	}
	c.h, c.made, err = openOrMake(name, 0, attributes)
	if err == nil && !c.made {
		if st, e := c.h.standard(); e == nil && st.directory {
			c.h.close()
			err = os.NewSyscallError("CreateFile", windows.ERROR_DIRECTORY)
		}
	}
	if err != nil {
		return created{}, err
	}
	c.dir = &directory{h: noFile, name: full}
	return c, nil
}

// openOrMake opens a file with flags, or makes it with attributes.
func openOrMake(name string, flags, attributes uint32) (h handle, made bool, err error) {
	const access = windows.GENERIC_READ | windows.GENERIC_WRITE
	for range 100 { // while others make the file and remove it
		h, err = createHandle(name, access, windows.OPEN_EXISTING, flags)
		if !errors.Is(err, fs.ErrNotExist) {
			return h, false, err
		}
		h, err = createHandle(name, access, windows.CREATE_NEW, flags|attributes)
		if !errors.Is(err, fs.ErrExist) {
			return h, true, err
		}
	}
	return noFile, false, err
}

// sharedFolder is the user's own, as a rule.
func sharedFolder() (string, error) { return os.TempDir(), nil }

// openShared looks for neither owner nor rights: the folder's access list keeps other
// users out.
func openShared(name string) (h handle, there string, err error) {
	for range 100 { // while others remove the name
		h, _, err = openOrMake(name, windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
		if err != nil {
			return noFile, "", err
		}
		st, err := h.standard()
		var attributes uint32
		if err == nil {
			attributes, err = h.attributes()
		}
		switch {
		case err != nil:
		case attributes&windows.FILE_ATTRIBUTE_REPARSE_POINT != 0:
			there = "a symbolic link, or another reparse point,"
		case st.directory:
			there = "a directory"
		case st.links > 1:
			there = fmt.Sprintf("a file with %d names (hard links)", st.links)
		case st.links == 1 && !st.deleting:
			return h, "", nil
		}
		h.close()
		if err != nil || there != "" {
			return noFile, there, err
		}
	}
	return noFile, "", os.NewSyscallError("CreateFile", windows.ERROR_FILE_NOT_FOUND)
}

func removeShared(name string) error {
	return call("DeleteFile", func() error {
		path, err := windows.UTF16PtrFromString(name)
		if err != nil {
			return err
		}
		return windows.DeleteFile(path)
	})
}

// A directory is where a file has its name. Ordinary programs cannot open one to
// make a name durable. NTFS and ReFS write names to their journal, which
// FlushFileBuffers of the file itself flushes.
type directory struct {
	h    handle // noFile
	name string // the file's, from the root on
}

func (d *directory) sync(h handle) error { return nil }

// remove opens the name anew, since h was not opened for that: a handle that may
// delete keeps others from opening the file.
func (d *directory) remove(h handle, id fileID) {
	if id == (fileID{}) { // its status could not be asked for
		var err error
		if id, err = h.identify(); err != nil {
			return
		}
	}
	f, err := createHandle(d.name, windows.DELETE|windows.FILE_READ_ATTRIBUTES, windows.OPEN_EXISTING, 0)
	if err != nil {
		return
	}
	defer f.close()
	if now, err := f.identify(); err != nil || now != id {
		return
	}
	remove := byte(1)
	call("SetFileInformationByHandle", func() error {
		return windows.SetFileInformationByHandle(windows.Handle(f), windows.FileDispositionInfo, &remove, 1)
	})
}

func (d *directory) close() {}

// standardInfo is FILE_STANDARD_INFO.
type standardInfo struct {
	allocated, size int64
	links           uint32
	deleting        bool
	directory       bool
}

func (h handle) info(class uint32, p unsafe.Pointer, size uintptr) error {
	return call("GetFileInformationByHandleEx", func() error {
		return windows.GetFileInformationByHandleEx(windows.Handle(h), class, (*byte)(p), uint32(size))
	})
}

func (h handle) standard() (st standardInfo, err error) {
	err = h.info(windows.FileStandardInfo, unsafe.Pointer(&st), unsafe.Sizeof(st))
	return st, err
}

func (h handle) attributes() (uint32, error) {
	var about struct { // FILE_BASIC_INFO
		_          [4]int64
		attributes uint32
	}
	err := h.info(windows.FileBasicInfo, unsafe.Pointer(&about), unsafe.Sizeof(about))
	return about.attributes, err
}

func (h handle) status() (status, error) {
	s := status{page: uintptr(os.Getpagesize()), kind: other, asks: true}
	var kind uint32
	err := call("GetFileType", func() (err error) {
		kind, err = windows.GetFileType(windows.Handle(h))
		return err
	})
	switch {
	case err != nil: // Wine says so of disks
		s.what = "a device"
		return s, err
	case kind == windows.FILE_TYPE_PIPE:
		s.what = "a pipe or a socket"
		return s, nil
	case kind != windows.FILE_TYPE_DISK:
		s.what = "a device"
		return s, nil
	}
	st, err := h.standard()
	if isCode(err, windows.ERROR_INVALID_FUNCTION, windows.ERROR_INVALID_PARAMETER, windows.ERROR_NOT_SUPPORTED) {
		s.what = "a disk, or a part of one,"
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if st.directory {
		s.what = "a directory"
		return s, nil
	}
	s.kind, s.asks, s.size = regular, false, st.size
	s.nameless = st.links == 0 || st.deleting
	s.id, err = h.identify()
	return s, err
}

// identify asks for the 128 bits that NTFS, ReFS and SMB identify a file by, and
// where there are none for the 64 bits that there always are.
func (h handle) identify() (id fileID, err error) {
	var long struct {
		volume uint64
		file   [2]uint64
	}
	if h.info(windows.FileIdInfo, unsafe.Pointer(&long), unsafe.Sizeof(long)) == nil {
		return fileID{long.volume, long.file}, nil
	}
	var short windows.ByHandleFileInformation
	err = call("GetFileInformationByHandle", func() error {
		return windows.GetFileInformationByHandle(windows.Handle(h), &short)
	})
	return fileID{device: uint64(short.VolumeSerialNumber), number: [2]uint64{uint64(short.FileIndexHigh)<<32 | uint64(short.FileIndexLow)}}, err
}

func (h handle) size() (int64, error) {
	st, err := h.standard()
	return st.size, err
}

// accessInfo is FileAccessInformation of NtQueryInformationFile.
const accessInfo = 8

// allows reports which of FILE_READ_DATA and FILE_WRITE_DATA the file was opened
// for. It says yes where the system does not tell.
func (h handle) allows() (load, store bool) {
	var access uint32
	err := call("NtQueryInformationFile", func() error {
		var io windows.IO_STATUS_BLOCK
		return windows.NtQueryInformationFile(windows.Handle(h), &io, (*byte)(unsafe.Pointer(&access)), 4, accessInfo)
	})
	if err != nil {
		return true, true
	}
	return access&windows.FILE_READ_DATA != 0, access&windows.FILE_WRITE_DATA != 0
}

func (h handle) permits(r rights) error {
	if load, store := h.allows(); !load || r.store && !store {
		return notOpened(os.NewSyscallError("CreateFileMapping", windows.ERROR_ACCESS_DENIED))
	}
	return nil
}

// truncate refuses, in words, to make a file shorter that is mapped. A file that
// grows and is not allocated is sparse.
func (h handle) truncate(n int64) error {
	if size, err := h.size(); err == nil && size < n {
		call("DeviceIoControl", func() error {
			var got uint32
			return windows.DeviceIoControl(windows.Handle(h), windows.FSCTL_SET_SPARSE, nil, 0, nil, 0, &got, nil)
		})
	}
	err := h.setEnd(n)
	if isCode(err, windows.ERROR_USER_MAPPED_FILE) {
		return os.NewSyscallError("SetFileInformationByHandle", mappedError{})
	}
	return err
}

// A mappedError is ERROR_USER_MAPPED_FILE in words.
type mappedError struct{}

func (mappedError) Error() string {
	return "Windows does not shorten a file while anyone has it mapped"
}

func (mappedError) Unwrap() []error {
	return []error{errors.ErrUnsupported, windows.ERROR_USER_MAPPED_FILE}
}

func (h handle) setEnd(n int64) error {
	return call("SetFileInformationByHandle", func() error { return windows.Ftruncate(windows.Handle(h), n) })
}

// allocate opens a section that is larger than the file: that makes it grow, and
// takes nothing from a file that others made longer meanwhile. What NTFS and ReFS
// add to a file that is not sparse they allocate, and a full disk is an error.
func (h handle) allocate(off, n int64) error {
	attributes, err := h.attributes()
	if err == nil && attributes&(windows.FILE_ATTRIBUTE_SPARSE_FILE|windows.FILE_ATTRIBUTE_COMPRESSED) != 0 {
		return errors.ErrUnsupported
	}
	size, err := h.size()
	if err != nil || off+n <= size {
		return err
	}
	sec, err := h.section(windows.PAGE_READWRITE, off+n)
	if err == nil {
		windows.CloseHandle(sec)
	}
	return err
}

// sync is FlushFileBuffers, which flushes the disk's own cache too. A handle that
// cannot write has nothing to write.
func (h handle) sync() error {
	err := call("FlushFileBuffers", func() error { return windows.FlushFileBuffers(windows.Handle(h)) })
	if isCode(err, windows.ERROR_ACCESS_DENIED) {
		if _, store := h.allows(); !store {
			return nil
		}
	}
	return err
}

// hasOwnID is not known: copies of a volume have its serial number, and its files'.
func (h handle) hasOwnID() bool { return false }

// awaitSize does nothing: that Windows would zero what a file has grown by after it
// tells the new size is not known.
func (h handle) awaitSize() {}

func (s *space) lockWhenThere(from, to uintptr) bool { return false }

func (h handle) writesBack() error { return nil }

func (h handle) readAt(p []byte, off int64) (n int, err error) {
	err = call("ReadFile", func() error {
		var done uint32
		at := windows.Overlapped{Offset: uint32(off), OffsetHigh: uint32(off >> 32)}
		err := windows.ReadFile(windows.Handle(h), p, &done, &at)
		n = int(done)
		if err == windows.ERROR_HANDLE_EOF {
			return nil
		}
		return err
	})
	return n, err
}

func (h handle) close() error {
	if h == noFile {
		return nil
	}
	return call("CloseHandle", func() error { return windows.CloseHandle(windows.Handle(h)) })
}

// unmappable says what cannot be mapped, as far as createFile found out. Otherwise
// the errors of Windows do not say: status asks for the kind of a file.
func unmappable(err error) string {
	if isCode(err, windows.ERROR_DIRECTORY) {
		return "a directory"
	}
	return ""
}

func unmappableDevice(err error) bool { return false }
