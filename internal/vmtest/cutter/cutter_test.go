//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// The subject Store runs examples/records.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "cutter-")
	if err == nil {
		storeProgram = filepath.Join(dir, "records")
		cmd := exec.Command("go", "build", "-o", storeProgram, "../../../examples/records")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		err = cmd.Run()
	}
	if err != nil {
		fmt.Println("examples/records cannot be built:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// goOn brings a subject in dir from one state to another.
func goOn(t *testing.T, s subject, dir string, from, to int, m mode) {
	t.Helper()
	next, err := s.open(dir, from, m)
	if err != nil {
		t.Fatalf("%s: open in state %d: %v", s.name, from, err)
	}
	for n := from + 1; n <= to; n++ {
		if err := next(n); err != nil {
			t.Fatalf("%s: state %d: %v", s.name, n, err)
		}
	}
}

func TestEverySubjectIsFoundByItsName(t *testing.T) {
	var names []string
	for _, s := range subjects {
		names = append(names, s.name)
	}
	if !slices.Equal(names, plan.Subjects) {
		t.Errorf("%v, want %v", names, plan.Subjects)
	}
	if s, err := find("another"); err == nil {
		t.Errorf("another: %v", s)
	}
}

func TestAcknowledgedStatesAreFound(t *testing.T) {
	for _, m := range []mode{plan.Sync, plan.Flush, plan.NoSync} {
		for _, s := range subjects {
			dir := t.TempDir()
			goOn(t, s, dir, 0, 7, m)
			for _, acked := range []int{7, 6} { // the state after it was made, and was not acknowledged
				if missing, what := s.check(dir, acked); missing != 0 {
					t.Errorf("%s %s, %d of 7 states acknowledged: %s", m, s.name, acked, what)
				}
			}
			// The next life goes on from what was acknowledged.
			goOn(t, s, dir, 6, 12, m)
			if lost := check(dir, plan.Acked{s.name: 12}); len(lost) != 0 {
				t.Errorf("%s: %v", m, lost)
			}
		}
	}
}

func TestWhatWasNeverMadeIsReportedLost(t *testing.T) {
	for _, s := range subjects {
		dir := t.TempDir()
		if missing, what := s.check(dir, 3); missing == 0 || what == "" {
			t.Errorf("%s, an empty directory: %d, %q", s.name, missing, what)
		}
		goOn(t, s, dir, 0, 7, plan.NoSync)
		if missing, what := s.check(dir, 8); missing != 1 || what == "" {
			t.Errorf("%s, state 8 of 7: %d, %q", s.name, missing, what)
		}
		lost := check(dir, plan.Acked{s.name: 9})
		if len(lost) != 1 || lost[0].Changes == 0 || !strings.HasPrefix(lost[0].What, s.name+" 9: ") {
			t.Errorf("%s: %v", s.name, lost)
		}
	}
}

func TestAChangeThatIsNotThereIsReportedLost(t *testing.T) {
	page := int64(os.Getpagesize())
	for _, tt := range []struct {
		subject, file string
		at            int64 // of a byte that changes
		cut           int64 // or the new size of the file
		missing       int
	}{
		{plan.Records, recordsName, 4*recordSize + 50, 0, 1},
		{plan.Records, recordsName, 0, 4*recordSize + 1, 3},
		{plan.Files, "file-5", 3, 0, 1},
		{plan.Files, "file-1", 0, 10, 1},
		{plan.Size, sizeName, 40, 0, 1},
		{plan.Size, sizeName, 0, 99, 1},
		{plan.Counter, counterName, page + 3, 0, 1},
		{plan.Counter, counterName, page + 11, 0, 1},
		{plan.Counter, counterName, 0, page, 1},
		{plan.Region0, sharedName, 2*sharers*recordSize + 1, 0, 1},
		{plan.Region1, sharedName, (2*sharers+1)*recordSize + 1, 0, 1},
		{plan.Process, sharedName, (2*sharers+2)*recordSize + 1, 0, 1},
		{plan.Process, sharedName, 0, 10, 7},
		{plan.Store, storeName, 4096 + 512*4 + 1, 0, 1}, // of the first record
		{plan.Store, storeName, 4096 + 512*4 + 69*32 + 16, 0, 1},
		{plan.Store, storeName, 4, 0, 7}, // the count: 70 becomes 6
		{plan.Store, storeName, 0, 9000, 1},
	} {
		s, err := find(tt.subject)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		goOn(t, s, dir, 0, 7, plan.NoSync)
		name := filepath.Join(dir, tt.file)
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if tt.cut > 0 {
			b = b[:tt.cut]
		} else {
			b[tt.at] ^= 0x40
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if missing, what := s.check(dir, 7); missing != tt.missing || what == "" {
			t.Errorf("%+v: %d, %q", tt, missing, what)
		}
	}
}

// Files are kept, and records and slots used again, so that many lives fit on a
// disk. What has made room for others is not lost.
func TestSubjectsGoOnForLong(t *testing.T) {
	for _, tt := range []struct {
		subject string
		states  int
		every   int // how often is looked
	}{
		{plan.Records, 3*recordsMost + 70, 61},
		{plan.Records, recordsMost + 5, recordsMost - 1},
		{plan.Files, filesKept + 40, 13},
		{plan.Size, 500, 7},
		{plan.Counter, 100, 7},
		{plan.Region1, 5 * sharedSlots, 1},
	} {
		t.Run(fmt.Sprint(tt.subject, tt.states), func(t *testing.T) {
			s, err := find(tt.subject)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			next, err := s.open(dir, 0, plan.NoSync)
			if err != nil {
				t.Fatal(err)
			}
			for n := 1; n <= tt.states; n++ {
				if err := next(n); err != nil {
					t.Fatal(err)
				}
				for _, acked := range []int{n, n - 1} {
					if n%tt.every != 0 || acked == 0 {
						continue
					}
					if missing, what := s.check(dir, acked); missing > 0 {
						t.Fatalf("%d of %d states acknowledged: %s", acked, n, what)
					}
				}
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) > filesKept {
				t.Errorf("%d files, %v", len(entries), err)
			}
		})
	}
}
