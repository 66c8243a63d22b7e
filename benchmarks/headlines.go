package main

import (
	"regexp"
	"slices"
)

// Which contests the summary is of and which have a plot, and what a way is by its
// name.

// A headline is what the summary calls a contest. One without text is only in a plot of
// its own.
type headline struct{ contest, text string }

var headlines = []headline{
	{"random reads of 8 bytes, the same places each turn, goroutines: 1", "8-byte reads at random"},
	{"random writes of 8 bytes, the same places each turn, goroutines: 1", ""},
	{"reads of int64, in memory", "Reads of int64 in order"},
	{"copies of 1 KiB, without a fault", ""},
	{"first scan of a cached file", "First scan of a cached file"},
	{"growth in steps of 64 KiB", "Growth in steps of 64 KiB"},
	{"small files, 1 goroutine", "Small files"},
	{"append, durable at the end", "Records appended"},
	{"stream of messages between two processes", "Messages to a process"},
	{"round trips between two processes", "Round trips to a process"},
	{"a counter of two processes", "A counter of two processes"},
	{"scan of a cold file", "Scan of a cold file"},
	{"random reads of a cold file", ""},
	{"blocks of a slow file", "64 KiB of a slow file"},
}

// plotted reports whether the contest has a plot.
func (r *result) plotted() bool {
	return slices.ContainsFunc(headlines, func(h headline) bool { return h.contest == r.name })
}

var (
	// oursNamed matches the library's ways. The first way of a contest is one in any case.
	oursNamed = regexp.MustCompile(`^(View|AtomicView|BigEndian|Region|Get|Put|Map|Resize|Guard|ring|truncated|closed)\b`)

	// filesNamed matches ways that read and write, and map nothing.
	filesNamed = regexp.MustCompile(`os\.File|os\.ReadFile|O_DIRECT|bufio|\bp?(read|write)\b|pipe|socket`)

	// vectorNamed matches what Go's compiler cannot do with any memory.
	vectorNamed = regexp.MustCompile(`vectorised`)
)

// isOurs reports whether way i is the library's.
func (r *result) isOurs(i int) bool { return i == 0 || oursNamed.MatchString(r.ways[i].name) }

// lead returns the best of the other ways that may be compared, and how many times as
// long as the first way it takes. Without one it returns "".
func (r *result) lead(mayBe func(name string) bool) (other string, ratio float64) {
	for i, w := range r.ways {
		if !r.isOurs(i) && mayBe(w.name) && (other == "" || median(r.times[w.name]) < median(r.times[other])) {
			other = w.name
		}
	}
	if other == "" {
		return "", 0
	}
	ratios := make([]float64, len(r.times[other]))
	for i, took := range r.times[other] {
		ratios[i] = took / r.times[r.ways[0].name][i]
	}
	return other, median(ratios)
}
