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

func TestLeavesNothingBehindUnlessAsked(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var out bytes.Buffer
	if err := run(&out, ""); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "\n900\n") {
		t.Errorf("it prints %q", out.String())
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestNamesAFileThatCannotBe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "none", "log.txt")
	if err := run(&bytes.Buffer{}, name); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("error is %v", err)
	}
}
