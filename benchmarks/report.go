package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// write makes the table.
func (s *session) write(dir string, took time.Duration) error {
	var t strings.Builder
	for _, r := range s.results {
		r.table(&t)
	}
	for _, why := range s.skipped {
		fmt.Fprintf(&t, "Left out: %s\n\n", why)
	}
	fmt.Fprintf(&t, "Took %s.\n", took.Round(time.Second))
	fmt.Print(t.String())
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "results.md"), []byte(t.String()), 0o666)
}

// table writes a contest as Markdown: the first way is what the others are compared
// with.
func (r *result) table(t *strings.Builder) {
	unit := r.unit
	if unit == "" {
		unit = "ns"
	}
	fmt.Fprintf(t, "## %s\n\n%s\n\n", r.name, r.work)
	fmt.Fprintf(t, "| way | %s per %s | least to most | of the first |\n|---|---:|---:|---:|\n", unit, r.per)
	first := r.times[r.ways[0].name]
	for _, w := range r.ways {
		times := r.times[w.name]
		ratios := make([]float64, len(times))
		for i := range times {
			ratios[i] = times[i] / first[i]
		}
		fmt.Fprintf(t, "| %s | %.4g | %.4g to %.4g | %.3g |\n", w.name, median(times), slices.Min(times), slices.Max(times), median(ratios))
	}
	for _, v := range r.met {
		mark := "missed"
		if v.met() {
			mark = "met"
		}
		fmt.Fprintf(t, "\n- %s: %.4g, goal %s: %s", v.text, v.got, v.limit(), mark)
	}
	t.WriteString("\n\n")
}
