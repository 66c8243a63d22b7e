package mmap

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// What the library and Windows say together. Windows words its errors in the language
// of the machine: these are the English ones, as Wine has them.

func init() {
	systemGolden = "texts_windows.golden"
	systemMeetings = windowsMeetings
}

var windowsMeetings = []meeting{
	{"To map a file", nil},
	{`Open("log.txt", ReadOnly) // there is none`, func(m *met) error { return errOf(Open("log.txt", ReadOnly)) }},
	{`Map(f, ReadWrite) // f was opened to read`, func(m *met) error { return errOf(Map(m.toRead(10), ReadWrite)) }},
	{`Map(f, ReadWrite) // f was opened to read, and is empty`, func(m *met) error { return errOf(Map(m.toRead(0), ReadWrite)) }},
	{`Open(".", ReadOnly)`, func(m *met) error { return errOf(Open(".", ReadOnly)) }},
	{`Create(".", 10)`, func(m *met) error { return errOf(Create(".", 10)) }},
	{`Map(f, ReadOnly) // f is a pipe`, func(m *met) error {
		r, w, err := os.Pipe()
		if err != nil {
			m.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		return errOf(Map(r, ReadOnly))
	}},
	{`Map(f, ReadOnly) // f is a device`, func(m *met) error {
		f, err := os.Open("NUL")
		if err != nil {
			m.Fatal(err)
		}
		defer f.Close()
		return errOf(Map(f, ReadOnly))
	}},
	{`Map(f, ReadOnly) // f is a disk`, func(m *met) error {
		asked := 0
		m.onCalls(func(call string) error {
			if call == "GetFileInformationByHandleEx" && asked == 0 {
				asked++
				return windows.ERROR_INVALID_FUNCTION
			}
			if call == "CreateFileMapping" {
				return windows.ERROR_INVALID_PARAMETER
			}
			return nil
		})
		return errOf(Map(m.osFile(10), ReadOnly))
	}},
	{`Config{Flags: 1}.Open("log.txt")`, func(m *met) error { return errOf(Config{Flags: 1}.Open(m.file(10))) }},
	{`Open("log.txt", ReadOnly) // others truncate the file meanwhile`, func(m *met) error {
		page := os.Getpagesize()
		m.onCalls(func(call string) error {
			if call == "VirtualAlloc2" {
				os.Truncate("log.txt", 10)
			}
			return nil
		})
		return errOf(Open(m.file(2*page), ReadOnly))
	}},

	{"To map at an address", nil},
	{`Config{Addr: r.Addr()}.Anonymous(1 << 20)`, func(m *met) error {
		m.rewrite = strings.NewReplacer(itoa(int(granularity())), "65536")
		return errOf(Config{Addr: m.memory(aMiB).Addr()}.Anonymous(aMiB))
	}},

	{"To map more than there is", nil},
	{`Anonymous(1 << 20) // there is no address space, or no memory`, func(m *met) error {
		m.machine = true
		m.refuse("VirtualAlloc2", windows.ERROR_NOT_ENOUGH_MEMORY)
		return errOf(Anonymous(aMiB))
	}},
	{`Config{HugePages: HugePages2M}.Anonymous(2 << 20)`, func(m *met) error { return errOf(Config{HugePages: HugePages2M}.Anonymous(2 * aMiB)) }},
	{`r.Lock(0, ToEnd) // of 1 MiB`, func(m *met) error {
		m.machine = true
		r := m.memory(aMiB)
		m.refuse("VirtualLock", windows.ERROR_WORKING_SET_QUOTA)
		return r.Lock(0, ToEnd)
	}},

	{"To change the size", nil},
	{`r.Resize(5)`, func(m *met) error { return m.region(10, ReadWrite).Resize(5) }},

	{"To advise, to protect", nil},
	{`r.Advise(0, 10, Random)`, func(m *met) error { return m.region(10, ReadWrite).Advise(0, 10, Random) }},
	{`r.Protect(ReadWrite) // the file was opened to read`, func(m *met) error { return m.region(10, ReadOnly).Protect(ReadWrite) }},

	{"Memory for other processes", nil},
	{`MemFile("queue", 10)`, func(m *met) error { return errOf(MemFile("queue", 10)) }},
	{`Seal(f, SealShrink)`, func(m *met) error { return Seal(m.osFile(10), SealShrink) }},
	{`SealsOf(f)`, func(m *met) error { return errOf(SealsOf(m.osFile(10))) }},
	{`Shared("prices", 10) // it is a directory`, func(m *met) error {
		return errOf(Shared(m.shared(func(path string) error { return os.Mkdir(path, 0o700) }), 10))
	}},
	{`Shared("prices", 10) // it has two names`, func(m *met) error {
		return errOf(Shared(m.shared(func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
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

func (m *met) onCalls(fn func(call string) error) {
	intercept.Store(&fn)
	m.Cleanup(func() { intercept.Store(nil) })
}

// refuse refuses all calls of a name.
func (m *met) refuse(name string, err error) {
	m.onCalls(func(call string) error {
		if call == name {
			return err
		}
		return nil
	})
}

// shared returns a name of shared memory that nobody else has, in a folder of this
// test. made makes what is to be there instead.
func (m *met) shared(made func(path string) error) string {
	m.Helper()
	folder, err := os.Getwd()
	if err != nil {
		m.Fatal(err)
	}
	m.Setenv("TMP", folder)
	m.Setenv("TEMP", folder)
	path := filepath.Join(folder, "prices")
	m.rewrite = strings.NewReplacer(path, `C:\Temp\prices`, os.TempDir()+`\`, `C:\Temp\`)
	if made != nil {
		if err := made(path); err != nil {
			m.Fatal(err)
		}
	}
	return "prices"
}
