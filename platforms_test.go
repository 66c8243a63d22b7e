package mmap

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The README's table of systems, held against the source: what the build constraints
// and the constants of a system's files say must be what the table says.

// columnOf is the column of the table in which a GOOS is.
var columnOf = map[string]string{
	"linux": "Linux", "android": "Linux",
	"windows": "Windows",
	"darwin":  "macOS", "ios": "macOS",
	"freebsd":   "FreeBSD",
	"netbsd":    "NetBSD",
	"openbsd":   "OpenBSD",
	"dragonfly": "DragonFly",
	"solaris":   "Solaris", "illumos": "Solaris",
	"aix": "others", "plan9": "others", "js": "others", "wasip1": "others",
}

// readTable returns the rows of the README's table that begins with the given head.
func readTable(t *testing.T, head string) (columns []string, rows map[string][]string) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Skipf("the source is not at hand: %v", err)
	}
	_, table, found := strings.Cut(string(text), "| "+head+" |")
	if !found {
		t.Fatalf("the README has no table that begins with %q", head)
	}
	rows = make(map[string][]string)
	for i, line := range strings.Split(table, "\n") {
		if i > 0 && !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "| "), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case i == 0:
			columns = cells
		case i > 1: // the second is the line of dashes
			rows[cells[0]] = cells[1:]
		}
	}
	return columns, rows
}

// filesOf returns the files of the library that a system takes.
func filesOf(t *testing.T, goos, goarch string) (names []string) {
	t.Helper()
	ctx := build.Default
	ctx.GOOS, ctx.GOARCH, ctx.BuildTags = goos, goarch, nil
	all, err := filepath.Glob("mmap_*.go")
	if err != nil || len(all) == 0 {
		t.Skip("the source is not at hand")
	}
	for _, name := range all {
		if ok, err := ctx.MatchFile(".", name); err != nil {
			t.Fatal(err)
		} else if ok && !strings.HasSuffix(name, "_test.go") {
			names = append(names, name)
		}
	}
	return names
}

// constantsOf returns the constants of files that are true, false or a name.
func constantsOf(t *testing.T, names []string) map[string]string {
	t.Helper()
	values := make(map[string]string)
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				for i, value := range v.Values {
					if id, ok := value.(*ast.Ident); ok {
						values[v.Names[i].Name] = id.Name
					}
				}
			}
		}
	}
	return values
}

func TestThePlatformTableSaysWhatTheSourceSays(t *testing.T) {
	columns, rows := readTable(t, "promise")
	out, err := exec.Command("go", "tool", "dist", "list").Output()
	if err != nil {
		t.Skipf("no Go tools: %v", err)
	}
	for _, pair := range strings.Fields(string(out)) {
		goos, goarch, _ := strings.Cut(pair, "/")
		column := slices.Index(columns, columnOf[goos])
		if column < 0 {
			t.Errorf("%s: the table has no column for it", pair)
			continue
		}
		names := filesOf(t, goos, goarch)
		has := func(name string) bool { return slices.Contains(names, name) }
		constant := constantsOf(t, names)
		yes := func(name, yes, no string) string {
			if constant[name] == "true" {
				return yes
			}
			return no
		}
		if column == slices.Index(columns, "others") {
			if !has("mmap_other.go") {
				t.Errorf("%s is among the others, and has %v", pair, names)
			}
			for what, cells := range rows {
				if cells[column] != "no" && what != "proven by" {
					t.Errorf("%s: %s is %q, and nothing can be mapped there", pair, what, cells[column])
				}
			}
			continue
		}
		want := map[string]string{"calls": "its own"}
		if has("mmap_posix.go") {
			want["calls"] = "POSIX"
		}
		want["views see growth by others"] = yes("growsWithFile", "yes", "after Refresh")
		want["Sync without the file"] = yes("syncsWithoutFile", "yes", "an error")
		want["Wait sleeps in the system"] = yes("waitsInSystem", "yes", "polls")
		if goos != "windows" {
			want["huge pages of a pool"] = yes("hasPools", "yes", "no")
			want["Close in one step"] = yes("replacesInOneStep", "yes", "access first")
		}
		for what, value := range want {
			cells, ok := rows[what]
			if !ok {
				t.Errorf("the table has no row %q", what)
			} else if cells[column] != value {
				t.Errorf("%s: %s is %q, and by the source %q", pair, what, cells[column], value)
			}
		}
	}
	for what, cells := range rows {
		if len(cells) != len(columns) {
			t.Errorf("%s has %d cells of %d", what, len(cells), len(columns))
		}
		for _, c := range cells {
			if n := len(strings.Fields(c)); n < 1 || n > 3 {
				t.Errorf("%s: %q is not one to three words", what, c)
			}
		}
	}
}

// The table of the package documentation is shorter. Where it has a row of the README's,
// it must say the same.
func TestTheDocumentationsPlatformTableSaysWhatTheReadmeSays(t *testing.T) {
	columns, readme := readTable(t, "promise")
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Skipf("the source is not at hand: %v", err)
	}
	_, table, found := strings.Cut(string(text), "//\t                     ")
	if !found {
		t.Fatal("doc.go has no table of platforms")
	}
	head, body, _ := strings.Cut(table, "\n")
	systems := strings.Fields(head)
	for _, row := range []struct{ here, there, yes string }{
		{"grows, never moves", "grows and never moves", "yes"},
		{"Resize shrinks", "Resize shrinks the file", "yes"},
		{"a full disk is", "a full disk is one", "a fault"},
		{"Sync reaches", "Sync flushes the drive", "disk"},
		{"lost write-backs", "no lost write-back forgotten", "all"},
		{"Shared lives in", "Shared is in memory", "memory"},
		{"MemFile, HugePages2M", "huge pages of a pool", "yes"},
		{"Wait", "Wait sleeps in the system", "sleeps"},
	} {
		_, line, found := strings.Cut(body, "//\t"+row.here)
		line, _, _ = strings.Cut(line, "\n")
		cells := regexp.MustCompile(`a fault|a file|yes|no|polls|sleeps|disk|drive|all|memory|\(\d\)`).FindAllString(strings.ReplaceAll(line, "yes (2)", "yes"), -1)
		if !found || len(cells) != len(systems) || len(systems) < 8 {
			t.Errorf("row %q has %q for %q", row.here, cells, systems)
			continue
		}
		for i, system := range systems {
			// What is neither yes nor no is a note in one table, and a word in the other.
			said := readme[row.there][slices.Index(columns, system)]
			if (cells[i] == row.yes) != (said == "yes") && !strings.HasPrefix(cells[i], "(") {
				t.Errorf("%s, %s: %q in the documentation, %q in the README", row.here, system, cells[i], said)
			}
		}
	}
}
