// Package ports_test runs the originals' own tests on the ports.
package ports_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The original's tests are run in a copy of its module, in which the port's file is in
// place of its own.
func TestTheOriginalsTestsPass(t *testing.T) {
	if testing.Short() {
		t.Skip("compiling them takes a while")
	}
	for _, c := range []struct {
		module, folder string
		port           string // the text of the port, ...
		instead        string // ... of which file it takes the place, ...
		without        string // ... and which others go
		run            string // the tests that have to do with it
		tests          int    // how many those are, at least
	}{
		{"github.com/edsrzf/mmap-go", ".", text(t, "mmapgo/mmapgo.go"), "mmap.go", "mmap_[^t]*.go", ".", 7},
		{"golang.org/x/exp", "mmap", text(t, "xmmap/xmmap.go"), "mmap_unix.go", "mmap_[wo]*.go", ".", 1},
		{"github.com/dgraph-io/ristretto/v2", "z", text(t, "testdata/z.go"), "file.go", "file_*.go", "TestBuffer|TestTreePersistent", 8},
	} {
		t.Run(c.module, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "module")
			if err := os.CopyFS(copied, os.DirFS(output(t, "go", "list", "-m", "-f", "{{.Dir}}", c.module))); err != nil {
				t.Fatal(err)
			}
			gone, err := filepath.Glob(filepath.Join(copied, c.folder, c.without))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range gone {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(copied, c.folder, c.instead), []byte("//go:build go1.26\n\n"+c.port), 0o600); err != nil {
				t.Fatal(err)
			}
			out := output(t, "go", "test", "-modfile", modfile(t, c.module, copied), "-short", "-count=1", "-v", "-run", c.run, c.module+"/"+c.folder)
			passed := strings.Count(out, "\n--- PASS: ")
			if passed < c.tests {
				t.Errorf("%d tests pass of %d:\n%s", passed, c.tests, out)
			}
			t.Logf("%d of its tests pass", passed)
		})
	}
}

// modfile makes a go.mod like ours, in which the module is in that folder.
func modfile(t *testing.T, module, dir string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "go.mod")
	mod := fmt.Sprintf("%s\nreplace %s => %s\n", text(t, "go.mod"), module, dir)
	if err := errors.Join(os.WriteFile(name, []byte(mod), 0o600),
		os.WriteFile(filepath.Join(filepath.Dir(name), "go.sum"), []byte(text(t, "go.sum")), 0o600)); err != nil {
		t.Fatal(err)
	}
	return name
}

func text(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// output runs a command in this folder, and returns what it prints.
func output(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}
