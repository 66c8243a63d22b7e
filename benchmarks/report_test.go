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
	like := func(headline string, first float64, goals ...goal) contest {
		turn := func(took float64) func(int) (float64, error) {
			return func(round int) (float64, error) { return took + float64(round%3), nil }
		}
		return contest{name: headline + " of a file, 1 goroutine", work: "Work.", n: 1, per: "read", headline: headline, goals: goals, ways: []way{
			{name: "View.At", turn: turn(first)},
			{name: "Region.ReadAt", ours: true, turn: turn(1.3 * first)},
			{name: "x/exp/mmap ReadAt", turn: turn(20000)},
			{name: "os.File.ReadAt, the best buffer", turn: turn(120000)},
		}}
	}
	ratio := func(r round) float64 { return r["x/exp/mmap ReadAt"] / r["View.At"] }
	for _, c := range []contest{
		like("Random reads", 200, goal{text: "kept", value: ratio, atLeast: 50, code: true}),
		like("Small files", 30000, goal{text: "broken", value: ratio, atLeast: 0.9, code: true}),
		like("Typed loops", 20000),
		like("First scan", 11000),
	} {
		if err := s.hold(c); err != nil {
			t.Fatal(err)
		}
	}
	s.skip("The cold file: %s.", "not root")
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
	for _, want := range []string{"| processor |", "1 met, 1 missed", "| **missed** | [Small files", "| met | [Random reads",
		"| **Region.ReadAt** |", "| x/exp/mmap ReadAt | 20 µs |", "](typed-loops-of-a-file-1-goroutine.svg)", "- The cold file: not root."} {
		i := strings.Index(text, want)
		if i <= at {
			t.Errorf("%q is not there, or not in its place, in\n%s", want, text)
		}
		at = max(at, i)
	}
	for _, name := range []string{"summary.svg", s.results[0].file()} {
		svg, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(svg), "x/exp/mmap") {
			t.Errorf("%s: %v\n%s", name, err, svg)
		}
	}
	if err := s.check(); err == nil || !strings.Contains(err.Error(), "broken") || strings.Contains(err.Error(), "kept") {
		t.Errorf("check: %v", err)
	}
}
