package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// write makes the table and the plots.
func (s *session) write(dir string, took time.Duration) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	var t strings.Builder
	t.WriteString("# Results\n\n")
	s.about(&t, took)
	drawn, err := s.summary(filepath.Join(dir, "summary.svg"))
	if err != nil {
		return err
	}
	if drawn {
		t.WriteString("![this library beside the best other ways](summary.svg)\n\n")
	}
	s.goals(&t)
	fmt.Print(t.String())
	for _, r := range s.results {
		r.table(&t)
		if !r.plotted() {
			continue
		}
		if err := r.plot(dir); err != nil {
			return err
		}
		fmt.Fprintf(&t, "![%s](%s)\n\n", r.name, r.file())
	}
	s.behind(&t)
	s.leftOut(&t)
	name := filepath.Join(dir, "results.md")
	fmt.Printf("\n%s has the rest.\n", name)
	return os.WriteFile(name, []byte(t.String()), 0o666)
}

// about says where, when and how the figures were made.
func (s *session) about(t *strings.Builder, took time.Duration) {
	t.WriteString("| | |\n|---|---|\n")
	for _, fact := range s.machine {
		fmt.Fprintf(t, "| %s | %s |\n", fact[0], fact[1])
	}
	fmt.Fprintf(t, "| date | %s, took %s |\n", s.start.Format("2 January 2006"), took.Round(time.Second))
	fmt.Fprintf(t, "| command | `%s` |\n\n", strings.Join(append([]string{"go run ."}, os.Args[1:]...), " "))
}

// goals is the table of what was met and what was missed: what was missed first.
func (s *session) goals(t *strings.Builder) {
	missed, met := 0, 0
	var rows [2]strings.Builder
	for _, r := range s.results {
		for _, v := range r.met {
			mark, row := "**missed**", &rows[0]
			if v.met() {
				mark, row = "met", &rows[1]
				met++
			} else {
				missed++
			}
			fmt.Fprintf(row, "| %s | [%s](#%s) | %s | %s | %s | %s |\n", mark, r.name, anchor(r.name), v.text, number(v.got), v.limit(), v.kind())
		}
	}
	if met+missed == 0 {
		return
	}
	fmt.Fprintf(t, "## Goals\n\n%d met, %d missed. Each is the median over the rounds of a figure of one round. A goal of kind system also\ndepends on the disk, the scheduler or the kernel, one of kind compiler on what Go's compiler makes of any loop, copy or deferred call.\n\n", met, missed)
	t.WriteString("| | contest | figure | is | goal | kind |\n|---|---|---|---:|---:|---|\n")
	t.WriteString(rows[0].String() + rows[1].String() + "\n")
}

func (g goal) kind() string {
	switch {
	case g.code:
		return "code"
	case g.compiler:
		return "compiler"
	}
	return "system"
}

func anyWay(string) bool { return true }

// behind lists the contests that another way wins.
func (s *session) behind(t *strings.Builder) {
	var rows strings.Builder
	for _, r := range s.results {
		if other, ratio := r.lead(anyWay); other != "" && ratio < 0.97 {
			fmt.Fprintf(&rows, "| [%s](#%s) | %s | %s | %s |\n", r.name, anchor(r.name), r.ways[0].name, other, number(1/ratio))
		}
	}
	if rows.Len() > 0 {
		t.WriteString("## Where another way is ahead\n\nBy more than 3 percent, of the first of ours.\n\n| contest | ours | ahead | ours takes, times as long |\n|---|---|---|---:|\n" + rows.String() + "\n")
	}
}

// table writes a contest as Markdown: the first way is what the others are compared
// with.
func (r *result) table(t *strings.Builder) {
	fmt.Fprintf(t, "## %s\n\n%s\n\n", title(r.name), r.work)
	fmt.Fprintf(t, "| way | %s takes | least | most | of the first |\n|---|---:|---:|---:|---:|\n", article(r.per))
	first := r.times[r.ways[0].name]
	for i, w := range r.ways {
		took := r.times[w.name]
		ratios := make([]float64, len(took))
		for i := range took {
			ratios[i] = took[i] / first[i]
		}
		name := w.name
		if r.isOurs(i) {
			name = "**" + name + "**"
		}
		fmt.Fprintf(t, "| %s | %s | %s | %s | %s |\n", name, quantity(median(took), r.unit),
			quantity(slices.Min(took), r.unit), quantity(slices.Max(took), r.unit), number(median(ratios)))
	}
	t.WriteString("\n")
	for _, v := range r.met {
		mark := "**missed**"
		if v.met() {
			mark = "met"
		}
		fmt.Fprintf(t, "- %s: %s, goal %s: %s\n", v.text, number(v.got), v.limit(), mark)
	}
	if len(r.met) > 0 {
		t.WriteString("\n")
	}
}

// leftOut lists what was not done, and why.
func (s *session) leftOut(t *strings.Builder) {
	if len(s.skipped) == 0 {
		return
	}
	t.WriteString("## Left out\n\n")
	for _, why := range s.skipped {
		fmt.Fprintf(t, "- %s\n", why)
	}
}

// title writes the first letter large.
func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// article writes a word with its article.
func article(word string) string {
	if strings.ContainsAny(word[:1], "aeio") {
		return "an " + word
	}
	return "a " + word
}

// quantity writes a figure with its unit; none is nanoseconds.
func quantity(v float64, unit string) string {
	if unit != "" {
		return number(v) + " " + unit
	}
	for _, u := range []struct {
		name string
		size float64
	}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
		if v >= u.size*0.9995 {
			return number(v/u.size) + " " + u.name
		}
	}
	return number(v) + " ns"
}

// number writes three digits, or all before the point.
func number(v float64) string {
	if v >= 999.5 || v <= -999.5 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// anchor is the name that GitHub gives to a heading.
func anchor(heading string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(heading) {
		switch {
		case c == ' ':
			b.WriteByte('-')
		case c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z':
			b.WriteRune(c)
		}
	}
	return b.String()
}
