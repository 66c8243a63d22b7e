package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPrints900AndStoresAnother(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log.txt")
	for i := range 2 { // it works on the file that it left behind, too
		var out bytes.Buffer
		if err := run(&out, name); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")
		if !slices.Contains(lines, "900") || !strings.Contains(out.String(), "1800") || !strings.Contains(out.String(), name) {
			t.Errorf("run %d prints %q", i, out.String())
		}
		b, err := os.ReadFile(name)
		if err != nil || len(b) != 4 || binary.NativeEndian.Uint32(b) != 1800 {
			t.Errorf("run %d: the file has %x, %v", i, b, err)
		}
	}
}

func TestMakesAFolderOfItsOwn(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	if err := run(&out, ""); err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(out.String(), "\n")
	name := strings.TrimPrefix(line, "file: ")
	if _, err := os.Stat(name); err != nil || filepath.Base(name) != "log.txt" {
		t.Errorf("it says %q: %v", line, err)
	}
}

func TestNamesAFileThatCannotBe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "none", "log.txt")
	if err := run(&bytes.Buffer{}, name); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("error is %v", err)
	}
}
