package mmap

import (
	"bytes"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// Every text of an error or a panic that a user can meet, with the call that it came
// from. The calls are made, and fail. What they say is compared with the files
// testdata/texts*.golden, which are there to be read: does a text say what was asked,
// of which file, what was there instead, and what to do?
//
// One file has what is the same on all systems. Each way to map has one of its own.
// After a text was changed, these commands write them anew:
//
//	go test -run TestTexts -update .
//	go test -run TestTexts -update -tags mmap_posix .
//	GOARCH=386 go test -run TestTexts -update .
//	GOOS=windows go test -exec "$PWD/.ci/wine" -run TestTexts -update .
//	GOOS=js GOARCH=wasm go test -run TestTexts -update .
//
// A text that cannot be made where this runs is kept as it is.

var updateTexts = flag.Bool("update", false, "write testdata/texts*.golden anew")

//go:embed testdata/texts*.golden
var goldenTexts embed.FS

// A meeting is a call that fails, as a program would write it. Without try it is the
// heading of those that follow.
type meeting struct {
	call string
	try  func(m *met) error
}

// What is tried on this system only. It is set where there is a file for it.
var (
	systemGolden   string
	systemMeetings []meeting
)

func TestTexts(t *testing.T) {
	if canMap {
		compareTexts(t, "texts.golden", commonMeetings)
	}
	if systemGolden == "" {
		t.Skip("no texts of " + runtime.GOOS + " were written down: it is not known how it words its own errors")
	}
	compareTexts(t, systemGolden, systemMeetings)
}

func compareTexts(t *testing.T, golden string, meetings []meeting) {
	b, _ := goldenTexts.ReadFile("testdata/" + golden)
	want := parseTexts(string(b))
	var now bytes.Buffer
	for _, c := range meetings {
		if c.try == nil {
			fmt.Fprintf(&now, "\n# %s\n", c.call)
			continue
		}
		text := want[c.call]
		t.Run(c.call, func(t *testing.T) {
			got := meet(t, c)
			if !*updateTexts && got != text {
				t.Errorf("the text has changed:\nwas %s\nnow %s\nRead it once as a user, then see the head of texts_test.go.", text, got)
			}
			text = got
		})
		delete(want, c.call)
		if text != "" {
			fmt.Fprintf(&now, "\n%s\n    %s\n", c.call, text)
		}
	}
	for call := range want {
		if !*updateTexts {
			t.Errorf("%s has a text of %s, which nobody calls", golden, call)
		}
	}
	if *updateTexts {
		if err := os.WriteFile(filepath.Join("testdata", golden), bytes.TrimPrefix(now.Bytes(), []byte("\n")), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// parseTexts returns the texts of a golden file, by their calls.
func parseTexts(s string) map[string]string {
	texts := make(map[string]string)
	var call string
	for line := range strings.Lines(s) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if text, is := strings.CutPrefix(line, "    "); is {
			texts[call] = text
		} else {
			call = line
		}
	}
	return texts
}

// meet makes one call, in an empty folder, and returns what it says.
func meet(t *testing.T, c meeting) string {
	t.Chdir(t.TempDir())
	m := &met{TB: t, rewrite: strings.NewReplacer()}
	err := c.try(m)
	if err == nil {
		t.Fatal("no error")
	}
	text := m.rewritten(err.Error())
	checkReadable(t, err, text)
	return text
}

// checkReadable checks what holds of all texts. What a reader thinks of the words it
// does not know.
func checkReadable(t testing.TB, err error, text string) {
	t.Helper()
	var path *fs.PathError
	var panicked panicText
	begins := strings.HasPrefix(text, "mmap: ") || errors.As(err, &panicked) && strings.HasPrefix(text, "panic: mmap: ") ||
		errors.As(err, &path) && strings.HasPrefix(text, path.Op+" ")
	if inStringer := strings.HasPrefix(text, "mmap.Region("); !begins && !inStringer {
		t.Errorf("%q begins with neither the package nor the system call", text)
	}
	for _, bad := range []string{"%!", "  ", "nil pointer", "\n", "::", ": :"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q has %q", text, bad)
		}
	}
	if strings.Count(text, "mmap: ")-strings.Count(text, "(mmap: ") > 1 {
		t.Errorf("%q names the package twice", text)
	}
	if strings.HasSuffix(text, ".") && runtime.GOOS != "windows" { // whose own errors do
		t.Errorf("%q ends with a period", text)
	}
}

// A met is one failing call, with the means to bring it about.
type met struct {
	testing.TB
	rewrite *strings.Replacer
	machine bool // the text has numbers of the machine
}

var (
	anAddress = regexp.MustCompile(`at address 0x[0-9a-f]{5,}`)
	aNumber   = regexp.MustCompile(`\b[0-9]+\b`)
	someFlags = regexp.MustCompile(`Flags 0x[0-9a-f]+`)
	poolHas   = regexp.MustCompile(`has [0-9]+, of which [0-9]+ are free`)
)

// rewritten puts names for what is not the same everywhere.
func (m *met) rewritten(text string) string {
	text = m.rewrite.Replace(text)
	text = anAddress.ReplaceAllString(text, "at address 0x7f0000400000")
	text = someFlags.ReplaceAllString(text, "Flags 0x8000")
	text = poolHas.ReplaceAllString(text, "has 0, of which 0 are free")
	text = strings.ReplaceAll(text, itoa(ToEnd), "ToEnd")
	page := os.Getpagesize()
	return aNumber.ReplaceAllStringFunc(text, func(n string) string {
		switch {
		case n == itoa(page):
			return "4096"
		case n == itoa(2*page):
			return "8192"
		case n == itoa(2*page-1):
			return "8191"
		case n == itoa(maxSpace):
			return "140737486258176"
		case n == "0" || n == itoa(aMiB) || n == "2048" || !m.machine:
			return n
		}
		return "N"
	})
}

// aMiB is a size that can be told from what the machine has.
const aMiB = 1 << 20

// file makes log.txt, of n bytes.
func (m *met) file(n int) string {
	m.Helper()
	const name = "log.txt"
	if err := os.WriteFile(name, pattern(n), 0o600); err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { letGo(m, name) })
	return name
}

// region maps log.txt, of n bytes.
func (m *met) region(n int, mode Mode) *Region {
	m.Helper()
	return m.open(Config{Mode: mode}, n)
}

func (m *met) open(c Config, n int) *Region {
	m.Helper()
	r, err := c.Open(m.file(n))
	return need(m, r, err)
}

// closed is region, closed already.
func (m *met) closed() *Region {
	m.Helper()
	r := m.region(10, ReadWrite)
	if err := r.Close(); err != nil {
		m.Fatal(err)
	}
	return r
}

// borrowed maps log.txt through an *os.File, which is closed already.
func (m *met) borrowed(c Config, n int) *Region {
	m.Helper()
	f := m.osFile(n)
	defer f.Close()
	r, err := c.Map(f)
	return need(m, r, err)
}

func (m *met) osFile(n int) *os.File {
	m.Helper()
	f, err := os.OpenFile(m.file(n), os.O_RDWR, 0)
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { f.Close() })
	return f
}

// truncated maps log.txt, of two pages, and truncates it to 0 bytes.
func (m *met) truncated(mode Mode) *Region {
	m.Helper()
	shortensMapped(m)
	r := m.region(2*os.Getpagesize(), mode)
	if err := os.Truncate("log.txt", 0); err != nil {
		m.Fatal(err)
	}
	return r
}

func (m *met) memory(n int64) *Region {
	m.Helper()
	return anonymousRegion(m, n)
}

// real skips what an emulator of a processor makes up.
func (m *met) real() {
	if emulated() {
		m.Skip("the emulator makes up what the kernel says")
	}
}

func errOf(_ any, err error) error { return err }

// A panicText is what a program that does not recover prints of an error.
type panicText struct{ error }

func (p panicText) Error() string { return "panic: " + p.error.Error() }

func panics(fn func()) error {
	err, _ := panicOf(fn).(error)
	if err == nil {
		return nil
	}
	return panicText{err}
}
