// Package growing has the interface of the MmapFile of
// github.com/dgraph-io/ristretto/v2/z, implemented with
// github.com/seed-498deeca/mmap.
//
// What differs:
//
//   - Data does not move when the file grows, up to [Reserve] bytes. So a slice that
//     AllocateSlice, Slice or Bytes returned, or a part of Data, is valid after growth,
//     on every system. In the original it may then point to memory of something else.
//   - After Close, and after a Truncate that makes the file shorter, what is gone faults,
//     and never shows anything else. Under [mmap.Guard] every fault is an error.
//   - A reader survives growth. After Close, and if somebody truncates the file, it returns
//     an error.
//   - To close a file twice is an error. It does not unmap what is in that place by then.
//   - AllocateSlice grows far enough for any offset, and returns no spare capacity, so that
//     an append cannot run into the next slice.
//   - Bytes and AllocateSlice return errors for numbers that make no sense, and do not panic.
//   - An empty file that Truncate made is an empty Data, and not an error.
//   - Sync makes stores durable on every system, the file's size included. It returns
//     the error of a write-back that failed before. Sync and Close say so if somebody
//     else has made the file shorter meanwhile.
//   - OpenMmapFile closes the file if it fails.
//   - Pages are the library's affair: [MmapFile.Region] has Advise, Lock, Populate and views.
//
// As in the original, disk blocks are allocated when they are stored to: on a full
// disk a store faults. The name of a new file is not made durable: sync its
// directory.
package growing

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/seed-498deeca/mmap"
)

// Reserve is the address space that each file holds for growth, at least. It costs no
// memory. A file that outgrows it is mapped anew, elsewhere; its old slices fault.
var Reserve int64 = min(64<<30, math.MaxInt/16) // 128 MiB where an int has 32 bits

// NewFile is returned together with a file that was empty, and no failure.
//
//lint:ignore ST1012 the name is that of the original
var NewFile = errors.New("the file is new")

// An MmapFile is a file, and its bytes. One without Fd is memory of the caller's in Data,
// which can neither grow nor be synced.
type MmapFile struct {
	Data   []byte
	Fd     *os.File
	region *mmap.Region
}

// OpenMmapFile opens a file as os.OpenFile does, with permissions 0666, and maps it whole.
// An empty one is made maxSz bytes long first, and NewFile returned with it. It can be
// stored to unless the flags are os.O_RDONLY alone.
func OpenMmapFile(filename string, flag int, maxSz int) (*MmapFile, error) {
	f, err := os.OpenFile(filename, flag, 0o666)
	if err != nil {
		return nil, err
	}
	m, err := OpenMmapFileUsing(f, maxSz, flag != os.O_RDONLY)
	if m == nil {
		f.Close()
	}
	return m, err
}

// OpenMmapFileUsing is OpenMmapFile of an open file. The file is the MmapFile's from then
// on, unless m is nil.
func OpenMmapFileUsing(f *os.File, sz int, writable bool) (m *MmapFile, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	isNew := sz > 0 && size == 0
	if isNew {
		size = int64(sz)
		if err := f.Truncate(size); err != nil {
			return nil, err
		}
	}
	if size == 0 {
		return nil, fmt.Errorf("%s is empty, and its size to be is %d", f.Name(), sz)
	}
	m = &MmapFile{Fd: f}
	mode := mmap.ReadOnly
	if writable {
		mode = mmap.ReadWrite
	}
	if err := m.mapIt(mode, size); err != nil {
		return nil, err
	}
	if isNew {
		return m, NewFile
	}
	return m, nil
}

// mapIt maps the file as it is, with room to grow. A smaller room will do where the system
// has no more.
func (m *MmapFile) mapIt(mode mmap.Mode, size int64) (err error) {
	for room := max(Reserve, size); ; room = max(room/4, size) {
		m.region, err = mmap.Config{Mode: mode, Reserve: room, Sparse: true}.Map(m.Fd)
		if err == nil || room == size {
			break
		}
	}
	m.Data = m.region.Bytes()
	return err
}

// Region returns the region of the file, for all that the library can do with it: nil if
// Data is the caller's.
func (m *MmapFile) Region() *mmap.Region { return m.region }

// Truncate makes the file and Data maxSz bytes long, after a Sync.
func (m *MmapFile) Truncate(maxSz int64) error {
	if m.region == nil {
		return os.ErrInvalid
	}
	if err := m.Sync(); err != nil {
		return err
	}
	if maxSz <= int64(m.region.Cap()) {
		err := m.region.Resize(maxSz)
		if err == nil || !errors.Is(err, errors.ErrUnsupported) {
			m.Data = m.region.Bytes()
			return err
		}
		// Windows does not shorten a file while it is mapped.
	}
	mode := m.region.Mode()
	if mode == mmap.ReadOnly {
		return mmap.ErrReadOnly
	}
	m.Data = nil
	if err := errors.Join(m.region.Close(), m.Fd.Truncate(maxSz)); err != nil {
		return err
	}
	return m.mapIt(mode, maxSz)
}

// AllocateSlice writes sz as 4 bytes, big-endian, at offset, and returns the sz bytes
// behind them and the offset behind those. A file that is too short becomes twice as long,
// or 1 GiB longer, or as long as it takes.
func (m *MmapFile) AllocateSlice(sz, offset int) ([]byte, int, error) {
	if sz < 0 || int64(sz) > math.MaxUint32 || offset < 0 || offset > math.MaxInt-4-sz {
		return nil, 0, fmt.Errorf("a slice of %d bytes at byte %d: %w", sz, offset, mmap.ErrRange)
	}
	start, end := offset+4, offset+4+sz
	if have := int64(len(m.Data)); int64(end) > have {
		if err := m.Truncate(max(have+min(have, 1<<30), have+int64(sz)+4, int64(end))); err != nil {
			return nil, 0, err
		}
	}
	binary.BigEndian.PutUint32(m.Data[offset:], uint32(sz))
	return m.Data[start:end:end], end, nil
}

// Slice returns the bytes that AllocateSlice returned for this offset, and none if they
// would go beyond the end. An offset where no 4 bytes are panics.
func (m *MmapFile) Slice(offset int) []byte {
	sz := int64(binary.BigEndian.Uint32(m.Data[offset:]))
	start := offset + 4
	if sz > int64(len(m.Data)-start) {
		return []byte{}
	}
	end := start + int(sz)
	return m.Data[start:end:end]
}

// Bytes returns sz bytes at off, or io.EOF if they are not all there.
func (m *MmapFile) Bytes(off, sz int) ([]byte, error) {
	if off < 0 || sz < 0 {
		return nil, fmt.Errorf("%d bytes at byte %d: %w", sz, off, mmap.ErrRange)
	}
	if off > len(m.Data) || sz > len(m.Data)-off {
		return nil, io.EOF
	}
	return m.Data[off : off+sz : off+sz], nil
}

// NewReader reads from offset to what is the end now.
func (m *MmapFile) NewReader(offset int) io.Reader {
	var src io.ReaderAt = bytes.NewReader(m.Data)
	if m.region != nil {
		src = m.region
	}
	return io.NewSectionReader(src, int64(offset), int64(len(m.Data)-offset))
}

// Sync returns when all stores are on the disk.
func (m *MmapFile) Sync() error {
	if m == nil || m.region == nil {
		return nil
	}
	return m.region.Sync()
}

// Close makes everything durable, and the file maxSz bytes long unless that is below 0.
func (m *MmapFile) Close(maxSz int64) error {
	if m.Fd == nil {
		return nil
	}
	if err := m.Sync(); err != nil {
		return err
	}
	if err := m.unmap(); err != nil {
		return err
	}
	if maxSz >= 0 {
		if err := m.Fd.Truncate(maxSz); err != nil {
			return err
		}
	}
	return m.Fd.Close()
}

// Delete closes the file and removes it.
func (m *MmapFile) Delete() error {
	if m.Fd == nil {
		return nil
	}
	if err := m.unmap(); err != nil {
		return err
	}
	if err := m.Fd.Truncate(0); err != nil { // for who else has it open
		return err
	}
	if err := m.Fd.Close(); err != nil {
		return err
	}
	return os.Remove(m.Fd.Name())
}

func (m *MmapFile) unmap() error {
	m.Data = nil
	if m.region == nil { // a Truncate could not map it again
		return nil
	}
	return m.region.Close()
}
