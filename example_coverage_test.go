package mmap

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Everything that a reader looks for has an example: each exported type and function,
// and each thing that people want to do.
func TestEverythingHasAnExample(t *testing.T) {
	examples := map[string]bool{}
	for _, e := range doc.Examples(sourceFiles(t, "*_test.go")...) {
		examples[e.Name] = true
		if e.Output == "" {
			t.Errorf("example %q is not run: it has no output", e.Name)
		}
	}
	var wanted []string
	for _, f := range sourceFiles(t, "*.go") {
		for _, d := range f.Decls {
			wanted = append(wanted, exportedNames(d)...)
		}
	}
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	if len(wanted) < 30 {
		t.Fatalf("only %d exported types and functions are found", len(wanted))
	}
	for _, what := range []string{"readAHeader", "shareACounter", "growAFile", "followAFile", "surviveTruncation", "bigEndianFile",
		"unalignedFloats", "structRecords", "device", "handMemoryToAChild", "coldData"} {
		wanted = append(wanted, "_"+what)
	}
	for _, name := range append(wanted, "AtomicView_Wait") {
		if !examples[name] {
			t.Errorf("%s has no example", name)
		}
	}
}

// sourceFiles parses the files of a pattern, for all systems: the tests, or all others.
func sourceFiles(t *testing.T, pattern string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(pattern)
	names = slices.DeleteFunc(names, func(name string) bool {
		return strings.HasSuffix(name, "_test.go") != strings.HasSuffix(pattern, "_test.go")
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Skip("the sources are not in this directory")
	}
	var files []*ast.File
	fset := token.NewFileSet()
	for _, name := range names {
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// exportedNames are those of the types and functions that d declares.
func exportedNames(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && ast.IsExported(d.Name.Name) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			if s, ok := s.(*ast.TypeSpec); ok && s.Name.IsExported() {
				names = append(names, s.Name.Name)
			}
		}
	}
	return names
}
