//go:build mmap_posix

package mmap

import (
	"slices"

	"golang.org/x/sys/unix"
)

// What the plain POSIX ways say, on Linux.

func init() {
	systemGolden = "texts_posix.golden"
	systemMeetings = slices.Concat(linuxMeetings, []meeting{
		{"Flags of mmap(2)", nil},
		{`Config{Flags: unix.MAP_FIXED}.Open("log.txt")`, func(m *met) error { return errOf(Config{Flags: unix.MAP_FIXED}.Open(m.file(10))) }},
		{`Config{Flags: unix.MAP_ANON}.Open("log.txt")`, func(m *met) error { return errOf(Config{Flags: unix.MAP_ANON}.Open(m.file(10))) }},
		{`Config{Mode: ReadWrite, Flags: unix.MAP_PRIVATE}.Open("log.txt")`, func(m *met) error {
			return errOf(Config{Mode: ReadWrite, Flags: unix.MAP_PRIVATE}.Open(m.file(10)))
		}},
		{`Config{Mode: CopyOnWrite, Flags: unix.MAP_SHARED}.Open("log.txt")`, func(m *met) error {
			return errOf(Config{Mode: CopyOnWrite, Flags: unix.MAP_SHARED}.Open(m.file(10)))
		}},

		{"What the plain POSIX ways lack", nil},
		{`Config{HugePages: HugePages2M}.Anonymous(2 << 20)`, func(m *met) error { return errOf(Config{HugePages: HugePages2M}.Anonymous(2 * aMiB)) }},
		{`Anonymous(1 << 20) // there is no swap space to set aside`, func(m *met) error {
			refusing(m, "mmap", unix.EAGAIN, 1)
			return errOf(Anonymous(aMiB))
		}},
		{`r.Advise(0, 10, Collapse)`, func(m *met) error { return m.region(10, ReadWrite).Advise(0, 10, Collapse) }},
		{`r.Sync() // of Create, in a folder that cannot be read`, func(m *met) error {
			refusing(m, "open", unix.EACCES, 1)
			r, err := Create("log.txt", 10)
			return need(m, r, err).Sync()
		}},
		{`r.Sync() // the file that Map was given is closed`, func(m *met) error { return m.borrowed(Config{Mode: ReadWrite}, 10).Sync() }},
	})
}
