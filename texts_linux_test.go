package mmap

import (
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// What the library and Linux say together, whether the library takes Linux's own ways
// or the plain POSIX ones. What only a refused system call brings about is refused.

var linuxMeetings = []meeting{
	{"To map a file", nil},
	{`Open("log.txt", ReadOnly) // there is none`, func(m *met) error { return errOf(Open("log.txt", ReadOnly)) }},
	{`Open("log.txt", ReadWrite) // it may only be read`, func(m *met) error {
		refusing(m, "open", unix.EACCES, 1)
		return errOf(Open(m.file(10), ReadWrite))
	}},
	{`Map(f, ReadWrite) // f was opened to read`, func(m *met) error { return errOf(Map(m.toRead(10), ReadWrite)) }},
	{`Map(f, ReadWrite) // f was opened to read, and is empty`, func(m *met) error { return errOf(Map(m.toRead(0), ReadWrite)) }},
	{`Open(".", ReadOnly)`, func(m *met) error { return errOf(Open(".", ReadOnly)) }},
	{`Open(".", ReadWrite)`, func(m *met) error { return errOf(Open(".", ReadWrite)) }},
	{`Create(".", 10)`, func(m *met) error { return errOf(Create(".", 10)) }},
	{`Create("no/log.txt", 10)`, func(m *met) error { return errOf(Create("no/log.txt", 10)) }},
	{`Create("log.txt", 1<<20) // the disk is full`, func(m *met) error {
		refusing(m, "fallocate", unix.ENOSPC, 1)
		refusing(m, map[bool]string{true: "fallocate", false: "pwrite"}[linuxWays], unix.ENOSPC, 1)
		return errOf(Create("log.txt", aMiB))
	}},
	{`Open("log.txt", ReadOnly) // too many files are open`, func(m *met) error {
		m.machine = true
		refusing(m, "open", unix.EMFILE, 1)
		return errOf(Open(m.file(10), ReadOnly))
	}},
	{`Open("log.txt", ReadOnly) // in the whole system`, func(m *met) error {
		m.machine = true
		refusing(m, "open", unix.ENFILE, 1)
		return errOf(Open(m.file(10), ReadOnly))
	}},
	{`Open("log.txt", ReadOnly) // its file system has no mmap(2)`, func(m *met) error {
		refusing(m, "mmap", unix.ENODEV, 1)
		return errOf(Open(m.file(10), ReadOnly))
	}},

	{"What is no file", nil},
	{`Open("pipe", ReadOnly)`, func(m *met) error { return errOf(Open(m.node("pipe", unix.S_IFIFO, 0), ReadOnly)) }},
	{`Create("pipe", 10)`, func(m *met) error { return errOf(Create(m.node("pipe", unix.S_IFIFO, 0), 10)) }},
	{`Open("socket", ReadOnly)`, func(m *met) error {
		l, err := net.Listen("unix", "socket")
		if err != nil {
			m.Fatal(err)
		}
		m.Cleanup(func() { l.Close() })
		return errOf(Open("socket", ReadOnly))
	}},
	{`Map(f, ReadOnly) // f is a socket`, func(m *met) error {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			m.Fatal(err)
		}
		unix.Close(pair[1])
		return errOf(Map(m.owned(pair[0], "socket"), ReadOnly))
	}},
	{`Map(f, ReadOnly) // f is an epoll(7)`, func(m *met) error {
		fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err != nil {
			m.Fatal(err)
		}
		return errOf(Map(m.owned(fd, "epoll"), ReadOnly))
	}},
	{`Open("/dev/zero", ReadOnly)`, func(m *met) error { return errOf(Open("/dev/zero", ReadOnly)) }},
	{`Config{Length: 10}.Open("/dev/null")`, func(m *met) error { return errOf(Config{Length: 10}.Open("/dev/null")) }},
	{`Config{Length: 10, Reserve: 1 << 20}.Open("/dev/zero")`, func(m *met) error {
		return errOf(Config{Length: 10, Reserve: aMiB}.Open("/dev/zero"))
	}},
	{`Config{Length: 10, Offset: 1 << 20}.Open("/dev/mem") // not there`, func(m *met) error {
		refusing(m, "mmap", unix.EINVAL, 1)
		m.rewrite = strings.NewReplacer("/dev/zero", "/dev/mem")
		return errOf(Config{Length: 10, Offset: aMiB}.Open("/dev/zero"))
	}},
	{`Create("/dev/null", 10)`, func(m *met) error { return errOf(Create("/dev/null", 10)) }},
	{`Create("disk", 10) // a block device`, func(m *met) error {
		name := m.node("disk", unix.S_IFBLK, int(unix.Mkdev(7, 0))) // the first loop device
		if f, err := os.OpenFile(name, os.O_RDWR, 0); err != nil {
			m.Skipf("no block device can be opened: %v", err)
		} else {
			f.Close()
		}
		return errOf(Create(name, 10))
	}},
	{`r.Resize(20) // of /dev/zero`, func(m *met) error {
		r, err := Config{Mode: ReadWrite, Length: 20}.Open("/dev/zero")
		return need(m, r, err).Resize(10)
	}},

	{"To map at an address", nil},
	{`Config{Addr: r.Addr()}.Anonymous(1 << 20)`, func(m *met) error { return errOf(Config{Addr: m.memory(aMiB).Addr()}.Anonymous(aMiB)) }},

	{"To map more than there is", nil},
	{`Anonymous(1 << 30) // the limit of address space is reached`, func(m *met) error {
		m.real()
		m.machine = true
		onCalls(m, func(call string) error {
			if call != "mmap" {
				return nil
			}
			m.limit(unix.RLIMIT_AS, uint64(processStatus(m, "VmSize"))<<10+512*aMiB) // which leaves the Go heap enough
			return unix.ENOMEM
		})
		return errOf(Anonymous(1 << 30))
	}},
	{`Anonymous(1 << 20) // the limit of data is reached`, func(m *met) error {
		m.real()
		m.machine = true
		m.limit(unix.RLIMIT_DATA, maxSpace/2)
		refusing(m, "mmap", unix.ENOMEM, math.MaxInt)
		return errOf(Anonymous(aMiB))
	}},
	{`Anonymous(1 << 20) // no other limit is reached`, func(m *met) error {
		refusing(m, "mmap", unix.ENOMEM, math.MaxInt)
		return errOf(Anonymous(aMiB))
	}},

	{"To change the size", nil},
	{`r.Resize(1 << 20) // the disk is full`, func(m *met) error {
		r := m.open(Config{Mode: ReadWrite, Reserve: aMiB}, 10)
		refusing(m, map[bool]string{true: "fallocate", false: "pwrite"}[linuxWays], unix.ENOSPC, 1)
		return r.Resize(aMiB)
	}},
	{`r.Resize(1 << 20) // what is grown cannot be locked, nor the file get its size back`, func(m *met) error {
		m.machine = true
		r := m.open(Config{Mode: ReadWrite, Reserve: aMiB}, 10)
		r.o.locked = true
		onCalls(m, func(call string) error {
			switch call {
			case "mlock", "mlock2":
				return unix.ENOMEM
			case "ftruncate":
				return unix.EIO
			}
			return nil
		})
		return r.Resize(aMiB)
	}},
	{`r.Resize(5) // the system refuses`, func(m *met) error {
		r := m.region(10, ReadWrite)
		refusing(m, "ftruncate", unix.EPERM, 1)
		return r.Resize(5)
	}},
	{`r.Refresh() // the mapping cannot reach what the file has`, func(m *met) error {
		page := os.Getpagesize()
		r := m.open(Config{Reserve: int64(2 * page)}, page)
		if err := os.Truncate("log.txt", int64(2*page)); err != nil {
			m.Fatal(err)
		}
		deny(m, r, page, page)
		return r.Refresh()
	}},

	{"Faults", nil},
	{`Guard(fn) // the disk is broken, or full`, func(m *met) error {
		r := m.region(os.Getpagesize(), ReadOnly)
		b := r.Bytes()
		deny(m, r, 0, os.Getpagesize())
		return Guard(func() error { sinkByte = b[0]; return nil })
	}},

	{"To make durable", nil},
	{`r.Sync() // the disk is broken`, func(m *met) error {
		r := m.region(10, ReadWrite)
		refusing(m, "msync", unix.EIO, 1)
		return r.Sync()
	}},

	{"To lock, to protect, to ask", nil},
	{`r.Lock(0, ToEnd) // of 1 MiB`, func(m *met) error {
		m.machine = true
		r := m.memory(aMiB)
		refusing(m, "mlock", unix.ENOMEM, 1)
		return r.Lock(0, ToEnd)
	}},
	{`r.Protect(ReadWrite) // the file was opened to read`, func(m *met) error { return m.region(10, ReadOnly).Protect(ReadWrite) }},
	{`r.Resident(0, 10) // the system refuses`, func(m *met) error {
		r := m.region(10, ReadOnly)
		refusing(m, "mincore", unix.ENOSYS, 1)
		return errOf(r.Resident(0, 10))
	}},

	{"Memory files", nil},
	{`MemFile(name, 10) // a name of 250 bytes`, func(m *met) error {
		name := strings.Repeat("n", 250)
		m.rewrite = strings.NewReplacer(name, "nnn...n")
		return errOf(MemFile(name, 10))
	}},
	{`MemFile("queue", 10) // before Linux 3.17`, func(m *met) error {
		refusing(m, "memfd_create", unix.ENOSYS, 1)
		return errOf(MemFile("queue", 10))
	}},
	{`Seal(f, SealShrink) // f is a file on a disk`, func(m *met) error { return Seal(m.onDisk(), SealShrink) }},
	{`SealsOf(f) // f is a file on a disk`, func(m *met) error { return errOf(SealsOf(m.onDisk())) }},
	{`Seal(f, SealWrite) // it is mapped ReadWrite`, func(m *met) error {
		f := m.memFile()
		r, err := Map(f, ReadWrite)
		need(m, r, err)
		return Seal(f, SealWrite)
	}},
	{`Seal(f, SealGrow) // after SealSeal`, func(m *met) error {
		f := m.memFile()
		if err := Seal(f, SealShrink|SealSeal); err != nil {
			m.Fatal(err)
		}
		return Seal(f, SealGrow)
	}},
	{`r.Resize(20) // the file is sealed`, func(m *met) error {
		f := m.memFile()
		r, err := Config{Mode: ReadWrite, Reserve: 100}.Map(f)
		if err == nil {
			err = Seal(f, SealGrow)
		}
		if err != nil {
			m.Fatal(err)
		}
		defer r.Close()
		return r.Resize(20)
	}},
	{`Map(f, ReadWrite) // the file is sealed`, func(m *met) error {
		f := m.memFile()
		if err := Seal(f, SealWrite); err != nil {
			m.Fatal(err)
		}
		return errOf(Map(f, ReadWrite))
	}},
	{`Seal(f, SealFutureWrite) // before Linux 5.1`, func(m *met) error {
		f := m.memFile()
		refusing(m, "fcntl", unix.EINVAL, 1)
		return Seal(f, SealFutureWrite)
	}},

	{"Shared memory", nil},
	{`Shared("prices", 10) // /dev/shm cannot be looked at`, func(m *met) error {
		refusing(m, "stat", unix.EACCES, 1)
		return errOf(Shared("prices", 10))
	}},
	{`Shared("prices", math.MaxInt64)`, func(m *met) error { return errOf(Shared(m.shared(nil), math.MaxInt64)) }},
	{`Shared("prices", 10) // it is a directory`, func(m *met) error {
		return errOf(Shared(m.shared(func(path string) error { return os.Mkdir(path, 0o700) }), 10))
	}},
	{`Shared("prices", 10) // it is a symbolic link`, func(m *met) error {
		return errOf(Shared(m.shared(func(path string) error { return os.Symlink("/etc/passwd", path) }), 10))
	}},
	{`Shared("prices", 10) // others may read it`, func(m *met) error {
		return errOf(Shared(m.shared(func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Chmod(path, 0o644)
		}), 10))
	}},
	{`Shared("prices", 10) // another user has taken the name`, func(m *met) error {
		if os.Geteuid() != 0 {
			m.Skip("only root can make a file of another user")
		}
		return errOf(Shared(m.shared(func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Chown(path, 1000, 1000)
		}), 10))
	}},
	{`Shared("prices", 10) // it has two names`, func(m *met) error {
		return errOf(Shared(m.shared(func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			m.Cleanup(func() { os.Remove(path + "2") })
			return os.Link(path, path+"2")
		}), 10))
	}},
	{`RemoveShared("prices") // there is none`, func(m *met) error { return RemoveShared(m.shared(nil)) }},
}

// toRead opens log.txt, of n bytes, to read only.
func (m *met) toRead(n int) *os.File {
	m.Helper()
	f, err := os.Open(m.file(n))
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { f.Close() })
	return f
}

// node makes what is no file.
func (m *met) node(name string, kind uint32, device int) string {
	m.Helper()
	if err := unix.Mknod(name, kind|0o600, device); err != nil {
		m.Skipf("mknod: %v", err)
	}
	return name
}

func (m *met) owned(fd int, name string) *os.File {
	f := os.NewFile(uintptr(fd), name)
	m.Cleanup(func() { f.Close() })
	return f
}

// onDisk is a file without seals. Those of tmpfs may have some.
func (m *met) onDisk() *os.File {
	m.Helper()
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		m.Skip(err)
	}
	m.Cleanup(func() { f.Close() })
	if _, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err == nil {
		m.Skip("this program is on a tmpfs, whose files have seals")
	}
	m.rewrite = strings.NewReplacer("/proc/self/exe", "log.txt")
	return f
}

func (m *met) memFile() *os.File {
	m.Helper()
	f, err := MemFile("queue", 10)
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { f.Close() })
	return f
}

// limit sets one of the process's limits, for the time of the test.
func (m *met) limit(which int, most uint64) {
	m.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(which, &old); err != nil {
		m.Fatal(err)
	}
	now := old
	set(&now.Cur, min(most, uint64(old.Max)))
	if err := unix.Setrlimit(which, &now); err != nil {
		m.Skip(err)
	}
	m.Cleanup(func() { unix.Setrlimit(which, &old) })
}

func set[T ~int64 | ~uint64](p *T, n uint64) { *p = T(n) }

// deny takes the access to n bytes of a region behind the library's back, as if no
// page could be had.
func deny(m *met, r *Region, off, n int) {
	m.Helper()
	b := r.Reserved()
	if err := unix.Mprotect(b[off:][:n:n], unix.PROT_NONE); err != nil {
		m.Fatal(err)
	}
}

// shared returns a name of shared memory that nobody else has. made makes what is to
// be there instead.
func (m *met) shared(made func(path string) error) string {
	m.Helper()
	name := fmt.Sprintf("mmap-texts-%d", os.Getpid())
	folder, err := sharedFolder()
	if err != nil {
		m.Fatal(err)
	}
	path := filepath.Join(folder, name)
	m.rewrite = strings.NewReplacer(path, "/dev/shm/prices", name, "prices")
	if made != nil {
		m.Cleanup(func() { os.Remove(path) })
		if err := made(path); err != nil {
			m.Fatal(err)
		}
	}
	return name
}
