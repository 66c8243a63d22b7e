//go:build !mmap_posix

package mmap

import (
	"fmt"
	"os"
	"regexp"
	"slices"

	"golang.org/x/sys/unix"
)

// What Linux's own ways say.

func init() {
	systemGolden = "texts_linux.golden"
	systemMeetings = slices.Concat(linuxMeetings, waysMeetings, adviceMeetings())
}

var waysMeetings = []meeting{
	{"Flags of mmap(2)", nil},
	{`Config{Flags: unix.MAP_FIXED}.Open("log.txt")`, func(m *met) error { return errOf(Config{Flags: unix.MAP_FIXED}.Open(m.file(10))) }},
	{`Config{Flags: unix.MAP_HUGETLB}.Open("log.txt")`, func(m *met) error { return errOf(Config{Flags: unix.MAP_HUGETLB}.Open(m.file(10))) }},
	{`Config{Flags: unix.MAP_GROWSDOWN}.Open("log.txt")`, func(m *met) error { return errOf(Config{Flags: unix.MAP_GROWSDOWN}.Open(m.file(10))) }},
	{`Config{Mode: CopyOnWrite, Flags: unix.MAP_SYNC}.Open("log.txt")`, func(m *met) error {
		if mapSync == 0 {
			m.Skip("this processor has no MAP_SYNC")
		}
		return errOf(Config{Mode: CopyOnWrite, Flags: mapSync}.Open(m.file(10)))
	}},
	{`Config{Flags: unix.MAP_ANONYMOUS}.Open("log.txt")`, func(m *met) error { return errOf(Config{Flags: unix.MAP_ANONYMOUS}.Open(m.file(10))) }},
	{`Config{Mode: ReadWrite, Flags: unix.MAP_PRIVATE}.Open("log.txt")`, func(m *met) error {
		return errOf(Config{Mode: ReadWrite, Flags: unix.MAP_PRIVATE}.Open(m.file(10)))
	}},
	{`Config{Mode: CopyOnWrite, Flags: unix.MAP_SHARED}.Open("log.txt")`, func(m *met) error {
		return errOf(Config{Mode: CopyOnWrite, Flags: unix.MAP_SHARED}.Open(m.file(10)))
	}},
	{`Config{Mode: ReadWrite, Flags: unix.MAP_SYNC}.Open("log.txt") // on a common disk`, func(m *met) error {
		if mapSync == 0 {
			m.Skip("this processor has no MAP_SYNC")
		}
		refusing(m, "mmap", unix.EOPNOTSUPP, 1)
		return errOf(Config{Mode: ReadWrite, Flags: mapSync}.Open(m.file(10)))
	}},
	{`Config{Flags: 0x200000}.Open("log.txt")`, func(m *met) error {
		refusing(m, "mmap", unix.EOPNOTSUPP, 1)
		return errOf(Config{Flags: 0x200000}.Open(m.file(10)))
	}},
	{`Config{Flags: 0x200000}.Open("log.txt") // the driver refuses`, func(m *met) error {
		refusing(m, "mmap", unix.EINVAL, 1)
		return errOf(Config{Flags: 0x200000}.Open(m.file(10)))
	}},

	{"Files of the kernel", nil},
	{`Open("/proc/self/status", ReadOnly)`, func(m *met) error {
		m.real()
		return errOf(Open("/proc/self/status", ReadOnly))
	}},
	{`Config{Length: 10}.Open("/proc/self/status")`, func(m *met) error {
		m.real()
		return errOf(Config{Length: 10}.Open("/proc/self/status"))
	}},
	{`Open("/sys/kernel/mm/ksm/run", ReadOnly)`, func(m *met) error {
		m.real()
		if _, err := os.Stat("/sys/kernel/mm/ksm/run"); err != nil {
			m.Skip(err)
		}
		return errOf(Open("/sys/kernel/mm/ksm/run", ReadOnly))
	}},

	{"To map more than there is", nil},
	{`Config{Addr: 1 << 28}.Anonymous(1 << 20) // no room there`, func(m *met) error {
		refusing(m, "mmap", unix.ENOMEM, 1000)
		return errOf(Config{Addr: 1 << 28}.Anonymous(aMiB))
	}},
	{`Anonymous(1 << 46)`, func(m *met) error {
		m.machine = true
		m.real()
		if how, _ := number("/proc/sys/vm/overcommit_memory"); is64 == 0 || how != 0 || raceDetector {
			m.Skip("this machine promises as much memory as is asked for, or has less address space")
		}
		const size = 1 << 46 >> (16 * (1 - is64))
		r, err := Anonymous(size)
		if err == nil {
			r.Close()
			m.Skip("this machine promises that much memory")
		}
		return err
	}},

	{"Huge pages", nil},
	{`Config{HugePages: HugePages2M}.Anonymous(2 << 20) // the pool is empty`, func(m *met) error {
		m.pool()
		refusing(m, "mmap", unix.ENOMEM, 1000)
		return errOf(Config{HugePages: HugePages2M}.Anonymous(2 * aMiB))
	}},
	{`Config{HugePages: HugePages1G}.Anonymous(1 << 30) // the processor has none`, func(m *met) error {
		if maxSpace < 4<<30 {
			m.Skip("the address space has no room for it")
		}
		m.pool()
		refusing(m, "mmap", unix.EINVAL, 1)
		err := errOf(Config{HugePages: HugePages1G}.Anonymous(1 << 30))
		return fmt.Errorf("%s", sizesThereAre.ReplaceAllString(err.Error(), "only of 64, 2048 KiB")) // whatever this machine has
	}},
	{`Config{HugePages: HugePages2M, Reserve: 4 << 20}.Anonymous(2 << 20) // the pool is empty`, func(m *met) error {
		m.pool()
		if free, _ := number(poolsDir + "/hugepages-2048kB/free_hugepages"); free > 0 {
			m.Skip("the pool has free pages")
		}
		return errOf(Config{HugePages: HugePages2M, Reserve: 4 * aMiB}.Anonymous(2 * aMiB))
	}},
	{`r.Resize(100) // of a file of huge pages`, func(m *met) error {
		m.pool()
		fd, err := unix.MemfdCreate("huge", unix.MFD_HUGETLB|unix.MFD_CLOEXEC)
		if err != nil {
			m.Skip(err)
		}
		r, err := Config{Mode: ReadWrite, Reserve: 4 * aMiB}.Map(m.owned(fd, "huge"))
		if err == nil && r.PageSize() != 2*aMiB {
			m.Skipf("huge pages have %d bytes here", r.PageSize())
		}
		m.machine = false
		return need(m, r, err).Resize(100)
	}},

	{"To change the size", nil},
	{`r.Resize(1 << 20) // the disk is full, and its file system cannot allocate`, func(m *met) error {
		r := m.open(Config{Mode: ReadWrite, Reserve: aMiB}, 10)
		onCalls(m, func(call string) error {
			return map[string]error{"fallocate": unix.EOPNOTSUPP, "madvise": unix.EFAULT}[call]
		})
		return r.Resize(aMiB)
	}},
	{`r.Resize(1 << 20) // others truncate the file meanwhile`, func(m *met) error {
		m.real()
		r := m.open(Config{Mode: ReadWrite, Reserve: aMiB}, 10)
		onCalls(m, func(call string) error {
			switch call {
			case "fallocate":
				return unix.EOPNOTSUPP
			case "madvise":
				os.Truncate("log.txt", 0)
			}
			return nil
		})
		return r.Resize(aMiB)
	}},

	{"To make durable", nil},
	{`r.Sync() // the file was truncated, and what Map was given is closed`, func(m *met) error {
		r := m.borrowed(Config{Mode: ReadWrite}, 2*os.Getpagesize())
		if err := os.Truncate("log.txt", 0); err != nil {
			m.Fatal(err)
		}
		return r.Sync()
	}},
}

// adviceMeetings is what is said of advice that is not for this memory, and of advice
// that an old kernel does not know.
func adviceMeetings() (all []meeting) {
	all = append(all, meeting{"To advise", nil})
	advise := func(m *met, a Advice, times int) error {
		page := os.Getpagesize()
		r := m.region(page, ReadWrite)
		if a == Free {
			r = m.memory(int64(page))
		}
		if times == 1 && !r.o.space.knows(advices[a].number) {
			m.Skip("this kernel does not know it")
		}
		refusing(m, "madvise", unix.EINVAL, times)
		return r.Advise(0, page, a)
	}
	for a := range Advice(len(advices)) {
		if a == PopulateRead || a == PopulateWrite {
			continue
		}
		all = append(all, meeting{fmt.Sprintf("r.Advise(0, 4096, %v) // not for this memory", a), func(m *met) error { return advise(m, a, 1) }})
		if advices[a].since >= "2.6" && len(advices[a].since) > 3 || a == Cold {
			all = append(all, meeting{fmt.Sprintf("r.Advise(0, 4096, %v) // before Linux %v", a, advices[a].since), func(m *met) error { return advise(m, a, 2) }})
		}
	}
	return all
}

var sizesThereAre = regexp.MustCompile(`only of [0-9, ]+ KiB`)

// pool skips what needs huge pages of 2 MiB.
func (m *met) pool() {
	m.machine = true
	m.real()
	if _, ok := number(poolsDir + "/hugepages-2048kB/nr_hugepages"); !ok {
		m.Skip("this machine has no huge pages of 2 MiB")
	}
	if more, _ := number(poolsDir + "/hugepages-2048kB/nr_overcommit_hugepages"); more > 0 {
		m.Skip("this machine makes more huge pages as they are wanted")
	}
}
