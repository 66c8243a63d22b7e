package mmap

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// unmetTexts are those that no call of the golden files can be made to say, and why.
var unmetTexts = map[string]string{
	"vm.max_map_count is %d, and the process has %d mappings: raise it (sysctl), or map less often": "65,530 mappings end other tests: TestAtTheLimitOfMappingsCloseSucceedsAndOpenSaysWhy",
	"vm.overcommit_memory is 2: CommitLimit is %d KiB, of which %d are promised":                    "it is set for the whole machine: TestTheErrorTellsAddressSpaceFromMemory, where it is",
	"; nr_overcommit_hugepages allows %d more, of which it has %d":                                  "it is set for the whole machine",
	"; the file system was mounted to have at most %d, of which %d are free":                        "only root mounts a hugetlbfs: TestAGrowthBeyondThePoolTakesNoPage",
	"grow %s to %d bytes: only %d are still reserved":                                               "others must map something into a hole that mmap(2) has left: TestWhatOthersMappedIntoAHoleIsNeverTouched",
	"%sthis compiler puts it at byte %d, not %d":                                                    "no compiler of Go does",
	"a device (macOS maps none)":                                                                    "only macOS says so",
	", %s is %d mappings":                                                                           "only NetBSD, FreeBSD and DragonFly have such a limit",
	"this system does not tell":                                                                     "only OpenBSD and Solaris do not",
	"a symbolic link, or another reparse point,":                                                    "Wine makes none",
	"address space to grow into needs Windows 10 version 1803, or Windows Server 2019":              "only older ones say so: TestBeforePlaceholders",
	" has none": "only a system without mappings says so, and it has no huge pages to ask for",
}

// TestEveryTextIsMet finds the texts in the source: every string with more than one
// word. Each must be in a golden file, with anything in the place of its verbs.
func TestEveryTextIsMet(t *testing.T) {
	var golden strings.Builder
	files, err := goldenTexts.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := goldenTexts.ReadFile("testdata/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range parseTexts(string(b)) {
			golden.WriteString(text + "\n")
		}
	}
	unmet := make(map[string]string)
	for text, where := range textsInSource(t) {
		if !patternOf(text).MatchString(golden.String()) {
			unmet[text] = where
		}
	}
	for text, where := range unmet {
		if unmetTexts[text] == "" {
			t.Errorf("%s: no golden file of testdata has the text %q: add a call that says it to texts_*_test.go", where, text)
		}
	}
	for text := range unmetTexts {
		if unmet[text] == "" {
			t.Errorf("unmetTexts has %q, which a golden file has, or no source", text)
		}
	}
}

// textsInSource returns the strings of the library, of all systems, that a reader takes
// for a sentence or for a part of one, and where each is.
func textsInSource(t testing.TB) map[string]string {
	entries, err := os.ReadDir(".")
	if err != nil || !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "errors.go" }) {
		t.Skip("the source is not here")
	}
	texts := make(map[string]string)
	files := token.NewFileSet()
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, e.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			if s, err := strconv.Unquote(lit.Value); err == nil && severalWords.MatchString(s) {
				texts[s] = files.Position(lit.Pos()).String()
			}
			return true
		})
	}
	if len(texts) < 100 {
		t.Errorf("only %d texts were found", len(texts))
	}
	return texts
}

var (
	severalWords = regexp.MustCompile(`[A-Za-z]+.* |^[;:,]? .*[A-Za-z]`)
	aVerb        = regexp.MustCompile(`%#?[a-z]`)
)

// patternOf matches a line that has a text, with anything in the place of its verbs.
func patternOf(text string) *regexp.Regexp {
	pattern, rest := "", text
	for _, verb := range aVerb.FindAllString(text, -1) {
		before, after, _ := strings.Cut(rest, verb)
		pattern, rest = pattern+regexp.QuoteMeta(before), after
		if verb == "%d" {
			pattern += "(-?[0-9]+|N)"
		} else {
			pattern += "[^\n]+"
		}
	}
	return regexp.MustCompile(pattern + regexp.QuoteMeta(rest))
}
