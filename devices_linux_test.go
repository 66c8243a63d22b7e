//go:build !mmap_posix

package mmap

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// systemCalls notes the library's system calls until the end of the test, and
// refuses those that refuse has an error for.
func systemCalls(t testing.TB, refuse map[string]error) (since func() []string) {
	t.Helper()
	var mu sync.Mutex
	var calls []string
	ask := func(call string) error {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, call)
		return refuse[call]
	}
	intercept.Store(&ask)
	t.Cleanup(func() { intercept.Store(nil) })
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		c := calls
		calls = nil
		return c
	}
}

// descriptorFile makes an *os.File of what a system call returned.
func descriptorFile(t testing.TB, what string, fd uintptr, errno unix.Errno) *os.File {
	t.Helper()
	if errno != 0 {
		t.Skipf("no %s here: %v", what, errno)
	}
	f := os.NewFile(fd, what)
	t.Cleanup(func() { f.Close() })
	return f
}

func openDevice(t testing.TB, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrPermission) {
		f, err = os.Open(name)
	}
	if err != nil {
		t.Skipf("no %s here: %v", name, err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// devices is files that may act when they are touched, and a length that can be
// mapped of them.
var devices = []struct {
	name string
	mode Mode
	open func(t testing.TB) (f *os.File, length int)
}{
	{"zero", ReadWrite, func(t testing.TB) (*os.File, int) { return openDevice(t, "/dev/zero"), os.Getpagesize() }},
	{"memory of the machine", ReadOnly, func(t testing.TB) (*os.File, int) { return openDevice(t, "/dev/mem"), os.Getpagesize() }},
	{"perf ring", ReadWrite, func(t testing.TB) (*os.File, int) {
		attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_DUMMY, Bits: unix.PerfBitDisabled | unix.PerfBitExcludeKernel}
		attr.Size = uint32(unsafe.Sizeof(attr))
		fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
		errno, _ := err.(unix.Errno)
		return descriptorFile(t, "perf event", uintptr(fd), errno), 2 * os.Getpagesize()
	}},
	{"io_uring", ReadWrite, func(t testing.TB) (*os.File, int) {
		var params [120]byte
		fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&params)), 0)
		return descriptorFile(t, "io_uring", fd, errno), os.Getpagesize()
	}},
	{"BPF array", ReadWrite, func(t testing.TB) (*os.File, int) {
		const mapCreate, array, mmapable = 0, 2, 1 << 10
		attr := [16]uint32{array, 4, 8, 16, mmapable}
		fd, _, errno := unix.Syscall(unix.SYS_BPF, mapCreate, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
		return descriptorFile(t, "BPF map", fd, errno), os.Getpagesize()
	}},
	{"virtual processor", ReadWrite, func(t testing.TB) (*os.File, int) {
		const createVM, createVCPU, vcpuSize = 0xAE01, 0xAE41, 0xAE04
		kvm := openDevice(t, "/dev/kvm")
		vm, _, errno := unix.Syscall(unix.SYS_IOCTL, kvm.Fd(), createVM, 0)
		machine := descriptorFile(t, "virtual machine", vm, errno)
		size, _, errno := unix.Syscall(unix.SYS_IOCTL, kvm.Fd(), vcpuSize, 0)
		if errno != 0 {
			t.Skipf("no size of a virtual processor: %v", errno)
		}
		vcpu, _, errno := unix.Syscall(unix.SYS_IOCTL, machine.Fd(), createVCPU, 0)
		return descriptorFile(t, "virtual processor", vcpu, errno), int(size)
	}},
	{"packet ring", ReadWrite, func(t testing.TB) (*os.File, int) {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		errno, _ := err.(unix.Errno)
		f := descriptorFile(t, "packet socket", uintptr(fd), errno)
		page := os.Getpagesize()
		ring := unix.TpacketReq{Block_size: uint32(page), Block_nr: 2, Frame_size: 2048, Frame_nr: uint32(2 * page / 2048)}
		if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &ring); err != nil {
			t.Skipf("no packet ring here: %v", err)
		}
		return f, 2 * page
	}},
}

// collectors is the call that may come at any time: the collector finds a region of an
// earlier test.
const collectors = "munmap"

// A device is mapped if its length is given. The library never touches it, and has
// nothing to make durable there.
func TestADeviceIsMappedAndLeftAlone(t *testing.T) {
	for _, d := range devices {
		t.Run(d.name, func(t *testing.T) {
			f, length := d.open(t)
			if _, err := Map(f, d.mode); err == nil {
				t.Error("mapped without a length, although the device has no size")
			} else if d.name == "packet ring" { // few sockets can be mapped at all
				wantSentence(t, err, errors.ErrUnsupported, f.Name(), "a socket")
			} else {
				wantSentence(t, err, ErrRange, f.Name(), "set Config.Length")
			}
			_, err := Config{Mode: d.mode, Length: int64(length), Reserve: int64(length) + 1}.Map(f)
			wantSentence(t, err, errors.ErrUnsupported, f.Name(), "can grow")
			if errors.Is(err, unix.EPERM) {
				t.Skip(err)
			}
			since := systemCalls(t, nil)
			r, err := Config{Mode: d.mode, Length: int64(length), Populate: true}.Map(f)
			if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
				t.Skipf("may not be mapped here: %v", err)
			}
			need(t, r, err)
			if r.Len() != length || r.Mode() != d.mode || r.Name() != f.Name() {
				t.Errorf("%v, want %d bytes of %s", r, length, f.Name())
			}
			for _, call := range since() {
				if !slices.Contains([]string{"fstat", "fstatfs", "mmap", collectors}, call) {
					t.Errorf("%s was called to map a device", call)
				}
			}
			if err := r.Advise(0, ToEnd, Remove); err != nil && d.mode == ReadWrite {
				wantSentence(t, err, errors.ErrUnsupported, f.Name(), "MADV_REMOVE is only for files")
			}
			// A method that touches the memory fails from here on.
			if err := r.o.space.forbid(0, r.o.space.size); err != nil {
				t.Fatal(err)
			}
			since()
			if err := errors.Join(r.Populate(0, ToEnd), r.Sync(), r.SyncRange(0, 1), r.Flush(0, ToEnd), r.Refresh()); err != nil {
				t.Errorf("Populate, Sync, Flush, Refresh: %v, want nil", err)
			}
			err = r.Resize(int64(length))
			if d.mode == ReadWrite {
				wantSentence(t, err, errors.ErrUnsupported, f.Name(), "only regular files and memory can grow")
			}
			for _, call := range since() {
				if call != "msync" && call != collectors {
					t.Errorf("%s was called for a device", call)
				}
			}
			_, err = Get[uint8](r, 0)
			wantFaultAt(t, err, r, 0, ErrIO) // explained without a second access
			if r.Len() != length {
				t.Errorf("Len is %d, want %d", r.Len(), length)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What has no memory to map is unsupported, in words, with the system's error
// inside.
func TestWhatCannotBeMappedIsSaidInWords(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Skipf("no named pipes: %v", err)
	}
	socket := filepath.Join(dir, "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Skipf("no sockets: %v", err)
	}
	defer l.Close()
	pipe, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	defer w.Close()
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	errno, _ := err.(unix.Errno)
	epoll := descriptorFile(t, "epoll", uintptr(fd), errno)
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	errno, _ = err.(unix.Errno)
	unnamed := descriptorFile(t, "unnamed socket", uintptr(fd), errno)
	for _, tt := range []struct {
		name string
		open func(c Config) (*Region, error)
		what string
	}{
		{dir, func(c Config) (*Region, error) { return c.Open(dir) }, "a directory"},
		{fifo, func(c Config) (*Region, error) { return c.Open(fifo) }, "a pipe"},
		{socket, func(c Config) (*Region, error) { return c.Open(socket) }, "a socket"},
		{pipe.Name(), func(c Config) (*Region, error) { return c.Map(pipe) }, "a pipe"},
		{unnamed.Name(), func(c Config) (*Region, error) { return c.Map(unnamed) }, "a socket"},
		{epoll.Name(), func(c Config) (*Region, error) { c.Length = 4096; return c.Map(epoll) }, "a file without a type"},
		{"/dev/null", func(c Config) (*Region, error) { c.Length = 4096; return c.Open("/dev/null") }, "a device"},
		{"/dev/tty", func(c Config) (*Region, error) { c.Length = 4096; return c.Open("/dev/ptmx") }, "a device"},
		{"/proc/self/maps", func(c Config) (*Region, error) { c.Length = 4096; return c.Open("/proc/self/maps") }, "a file of procfs (most can only be read"},
		{"/proc/self/stat", func(c Config) (*Region, error) { return c.Open("/proc/self/stat") }, "a file of procfs (most can only be read"},
		{"/sys/kernel/mm/transparent_hugepage/enabled", func(c Config) (*Region, error) {
			c.Length = 4096
			return c.Open("/sys/kernel/mm/transparent_hugepage/enabled")
		}, "a file of the kernel's own"},
	} {
		t.Run(strings.ReplaceAll(strings.TrimPrefix(tt.name, dir), "/", "_"), func(t *testing.T) {
			for _, c := range []Config{{}, {Length: 4096}, {Mode: CopyOnWrite}} {
				r, err := tt.open(c)
				if errors.Is(err, os.ErrNotExist) {
					t.Skip(err)
				}
				if r != nil {
					t.Fatalf("%+v: mapped %v", c, r)
				}
				if tt.name == "/proc/self/stat" && c.Length == 0 {
					wantSentence(t, err, ErrRange, tt.what, "set Config.Length")
					continue
				}
				wantSentence(t, err, errors.ErrUnsupported, tt.what, "cannot be mapped")
				var errno unix.Errno
				if !errors.As(err, &errno) {
					t.Errorf("%v has no errno inside", err)
				}
			}
		})
	}
}

// A driver that refuses a range says that an argument is invalid. The error tells
// which.
func TestARangeThatADriverRefusesIsNamed(t *testing.T) {
	page := os.Getpagesize()
	for _, d := range devices {
		if d.name != "perf ring" {
			continue
		}
		f, _ := d.open(t)
		r, err := Config{Mode: ReadWrite, Offset: 1<<33 + int64(page) + 5, Length: int64(page)}.Map(f)
		if r != nil {
			t.Fatalf("mapped %v", r)
		}
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
			t.Skipf("may not be mapped here: %v", err)
		}
		wantErr(t, err, unix.EINVAL, f.Name(), fmt.Sprintf("%d bytes at offset %d cannot be mapped", 2*page, 1<<33+int64(page)))
	}
}

// A secret memory file has pages that nobody but its mappings sees. There is
// nothing to sync, and it can be grown into once.
func TestSecretMemoryHasNothingToSync(t *testing.T) {
	const memfdSecret = 447 // on every processor but MIPS
	if strings.HasPrefix(runtime.GOARCH, "mips") {
		t.Skip("this processor's kernel has no memfd_secret")
	}
	fd, _, errno := unix.Syscall(memfdSecret, 0, 0, 0)
	f := descriptorFile(t, "memfd_secret", fd, errno)
	if err := f.Truncate(int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	r, err := Map(f, ReadWrite)
	need(t, r, err)
	if err := errors.Join(Put(r, 5, int32(900)), r.Sync(), r.Populate(0, ToEnd)); err != nil {
		t.Error(err)
	}
	if got, err := Get[int32](r, 5); got != 900 || err != nil {
		t.Errorf("Get: %d, %v", got, err)
	}
}

// Where fstatfs(2) is refused, a file of the kernel's is one like others, which is
// empty: it cannot be worse.
func TestWhereFstatfsIsRefusedAnEmptyFileIsEmpty(t *testing.T) {
	systemCalls(t, map[string]error{"fstatfs": unix.EPERM})
	r, err := Open("/proc/self/stat", ReadOnly)
	need(t, r, err)
	if r.Len() != 0 {
		t.Errorf("Len is %d", r.Len())
	}
	name := tempFile(t, pattern(10000))
	r = open(t, name, ReadWrite)
	if err := errors.Join(Put(r, 0, int8(9)), r.Sync()); err != nil || r.Len() != 10000 {
		t.Errorf("an ordinary file: %v, %v", r, err)
	}
}

// Neither makes, empties or grows what is no file of bytes.
func TestCreateOfWhatIsNoFileOfBytes(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Skipf("no named pipes: %v", err)
	}
	for _, name := range []string{"/dev/zero", "/dev/null", fifo, t.TempDir()} {
		for _, do := range []func() (*Region, error){
			func() (*Region, error) { return Create(name, 4096) },
			func() (*Region, error) { return Config{Sparse: true}.Create(name, 4096) },
			func() (*Region, error) { return OpenOrCreate(name, 4096) },
			func() (*Region, error) { return Config{Sparse: true}.OpenOrCreate(name, 4096) },
		} {
			since := systemCalls(t, nil)
			r, err := do()
			if r != nil {
				t.Errorf("made %v", r)
				r.Close()
			}
			if errors.Is(err, os.ErrPermission) {
				t.Skip(err)
			}
			wantSentence(t, err, errors.ErrUnsupported, name)
			for _, call := range since() {
				if call == "fallocate" || call == "ftruncate" {
					t.Errorf("%s of %s", call, name)
				}
			}
		}
	}
}
