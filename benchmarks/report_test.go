package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// made returns a session of made-up contests, so that what is written of them is known.
func made(t testing.TB) *session {
	t.Helper()
	s := &session{quick: true, start: time.Now(), machine: machine(".")}
	like := func(name string, first float64, goals ...goal) contest {
		turn := func(took float64) func(int) (float64, error) {
			return func(round int) (float64, error) { return took + float64(round%3), nil }
		}
		return contest{name: name, work: "Work.", n: 1, per: "read", goals: goals, ways: []way{
			{name: "View.At", turn: turn(first)},
			{name: "Region.ReadAt", turn: turn(1.3 * first)},
			{name: "x/exp/mmap ReadAt", turn: turn(20000)},
			{name: "os.File.ReadAt of 1 MiB", turn: turn(120000)},
		}}
	}
	ratio := func(r round) float64 { return r["x/exp/mmap ReadAt"] / r["View.At"] }
	for _, c := range []contest{
		like(headlines[0].contest, 200, goal{text: "kept", value: ratio, atLeast: 50, code: true}),
		like("small files, 1 goroutine", 30000, goal{text: "broken", value: ratio, atLeast: 0.9, code: true}),
		like("reads without a headline", 20000),
		like("first scan of a cached file", 11000),
	} {
		if err := s.hold(c); err != nil {
			t.Fatal(err)
		}
	}
	s.skip("the cold file: %s", "not root")
	return s
}

func TestResultsNameWhatWasMissedFirst(t *testing.T) {
	dir := t.TempDir()
	s := made(t)
	if err := s.write(dir, time.Second); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "results.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	at := -1
	for _, want := range []string{"| processor |", "1 met, 1 missed", "| **missed** | [small files", "| met | [random reads",
		"\n## Random reads", "| **Region.ReadAt** |", "| x/exp/mmap ReadAt | 20 µs |", "](small-files-1-goroutine.svg)",
		"\n## Reads without", "\n## First scan", "](first-scan-of-a-cached-file.svg)",
		"## Where another way is ahead", "| [small files, 1 goroutine](#small-files-1-goroutine) | View.At | x/exp/mmap ReadAt | 1.5 |", "- the cold file: not root"} {
		i := strings.Index(text, want)
		if i <= at {
			t.Errorf("%q is not there, or not in its place, in\n%s", want, text)
		}
		at = max(at, i)
	}
	for name, wants := range map[string][]string{
		"summary.svg":       {"100× · x/exp/mmap ReadAt", "597× · os.File.ReadAt", "0.67× · x/exp/mmap ReadAt", headlines[0].text},
		s.results[0].file(): {"20 µs", "120 µs"},
	} {
		svg, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(svg), want) {
				t.Errorf("%s is without %q:\n%s", name, want, svg)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, s.results[2].file())); err == nil {
		t.Error("a plot of a contest that has no headline")
	}
	if err := s.check(); err == nil || !strings.Contains(err.Error(), "broken") || strings.Contains(err.Error(), "kept") {
		t.Errorf("check: %v", err)
	}
}

func TestNamesSayWhatAWayIs(t *testing.T) {
	for _, c := range []struct {
		name         string
		ours, mapped bool
	}{
		{"View.At", true, true}, {"Region.ReadAt", true, true}, {"Resize, Sparse", true, true}, {"ring", true, true},
		{"Map, 1000", true, true}, {"x/exp/mmap ReadAt of 4 KiB", false, true}, {"unix.Mmap, MAP_POPULATE", false, true},
		{"ristretto z.MmapFile", false, true}, {"C load and store", false, true}, {"fallocate, unmap and map", false, true},
		{"C, read", false, false}, {"C pread and pwrite", false, false}, {"os.File ReadAt and WriteAt", false, false},
		{"bufio of 256 KiB, fsync", false, false}, {"pwrite of 64 KiB, fdatasync", false, false}, {"pipe", false, false},
		{"C, vectorised", false, false},
	} {
		if oursNamed.MatchString(c.name) != c.ours || isMapping(c.name) != c.mapped {
			t.Errorf("%s: ours %v, maps %v", c.name, !c.ours, !c.mapped)
		}
	}
}
