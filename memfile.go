package mmap

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Memory with a descriptor: to share with a child process, and to seal.

// MemFile makes a file of size bytes that lives in memory (memfd_create(2)). No
// directory has its name. It is gone when nobody has it open or mapped. The name is
// only for people to read: in /proc, in errors, and as the file's Name. The bytes are
// zero, and take memory only when they are stored to.
//
// Hand the file to a child process through the ExtraFiles of [os/exec.Cmd], and
// map it on both sides with [Map]. [Region.Resize] makes it grow, and the other
// side takes that up by [Region.Refresh]. No part of it is executable, and [Seal]
// keeps it from being changed. The caller closes the file; regions of it live on.
//
// A negative size is ErrRange. A name with a zero byte is [os.ErrInvalid], and one of
// more than 249 bytes is an error of the system. Systems other than Linux have no
// such files: errors.ErrUnsupported. Any goroutine may call MemFile, Seal and SealsOf
// at any time.
func MemFile(name string, size int64) (*os.File, error) {
	switch {
	case size < 0:
		return nil, failf(ErrRange, "make memory file %s: the size of %d bytes may not be negative", name, size)
	case strings.ContainsRune(name, 0):
		return nil, failf(os.ErrInvalid, "make memory file %q: the name has a zero byte", name)
	}
	f, err := memoryFile(name)
	if err == nil {
		if err = control(f, func(h handle) error { return h.truncate(size) }); err == nil {
			return f, nil
		}
		f.Close()
	}
	return nil, asked(name, err, "make memory file %s of %d bytes", name, size)
}

// Seals say what can no longer be done to a memory file. They hold for everybody who
// has the file. See fcntl(2), File Sealing.
type Seals int

const (
	// SealSeal: no seal is added any more.
	SealSeal Seals = 1 << iota
	// SealShrink: the file does not get shorter. So no access faults for want of a byte.
	SealShrink
	// SealGrow: the file does not get longer.
	SealGrow
	// SealWrite: no byte changes.
	SealWrite
	// SealFutureWrite: only mappings that are there already can change bytes. Linux 5.1.
	SealFutureWrite
)

var sealNames = [...]string{"SealSeal", "SealShrink", "SealGrow", "SealWrite", "SealFutureWrite"}

// String returns the names of the seals, joined by "|".
func (s Seals) String() string {
	var names []string
	for i, name := range sealNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if rest := s &^ (1<<len(sealNames) - 1); rest != 0 {
		names = append(names, fmt.Sprintf("%#x", int(rest)))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, "|")
}

// Seal adds seals to a file of [MemFile]. No seal can be taken back, and each holds
// for everybody.
//
// A file sealed with SealShrink cannot be truncated. So no access to a region of it
// faults, whatever others do. A side that does not trust the other looks first:
// [SealsOf] says what it can rely on. SealShrink makes the size safe, but not the
// bytes. Bytes that the other side can store to may change between two looks: copy
// them once, check the copy, and use the copy.
//
// SealWrite works only while nobody can store through a mapping. No process may have an
// open ReadWrite region of the file, nor any region that Map made of a file open for
// writing. Otherwise the error says so. Before Linux 6.7 a file with SealWrite can be
// mapped CopyOnWrite only. SealFutureWrite has neither limit: the side that sealed goes
// on storing through its region, and all others can only read.
//
// A [Region.Resize] that a seal forbids fails with fs.ErrPermission. So does
// Seal after SealSeal, and for a file that is not open for writing. For a file that
// is not a memory file the error is errors.ErrUnsupported, for a closed one
// [os.ErrClosed].
func Seal(f *os.File, s Seals) error {
	if f == nil {
		return failf(os.ErrInvalid, "seal: the *os.File is nil")
	}
	if all := Seals(1<<len(sealNames) - 1); s&^all != 0 {
		return failf(errors.ErrUnsupported, "seal %s: there are no seals %#x", f.Name(), int(s&^all))
	}
	return sealing(f, "add "+s.String()+" to the seals of", func(h handle) error { return h.seal(s) })
}

// SealsOf returns the seals of a memory file, however the file was made. A process
// looks at them before it relies on a file that another process gave it. A file on a
// tmpfs, such as those of [Shared], has SealSeal only. For a file that is not a memory
// file the error is errors.ErrUnsupported, for a closed one [os.ErrClosed]. The seals
// are then 0.
func SealsOf(f *os.File) (s Seals, err error) {
	if f == nil {
		return 0, failf(os.ErrInvalid, "look at the seals: the *os.File is nil")
	}
	err = sealing(f, "look at the seals of", func(h handle) (err error) {
		s, err = h.seals()
		return err
	})
	return s, err
}

func sealing(f *os.File, what string, fn func(h handle) error) error {
	err := control(f, fn)
	if errors.Is(err, os.ErrClosed) {
		return failf(os.ErrClosed, "%s %s: the file is closed", what, f.Name())
	}
	return asked(f.Name(), err, "%s %s", what, f.Name())
}
