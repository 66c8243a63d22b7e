package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// devmem runs the program, and returns its exit status and what it prints.
func devmem(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = run(args, &out, &err)
	return status, out.String(), err.String()
}

// memory makes a file that looks like the first MiB of a PC.
func memory(t *testing.T) string {
	b := make([]byte, 1<<20)
	copy(b[917504+5:], "hello, BIOS")
	copy(b[0xFFFF5:], "04/01/14")
	name := filepath.Join(t.TempDir(), "memory")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestShowsARangeAndTheBIOSDate(t *testing.T) {
	name := memory(t)
	status, out, stderr := devmem("-device", name)
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, %s", status, stderr)
	}
	for _, want := range []string{
		"131072 bytes mapped from 0xe0000, 256 shown",
		"000e0000  00 00 00 00 00 68 65 6c  6c 6f 2c 20 42 49 4f 53  |.....hello, BIOS|",
		"000e0010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n*\n000e00f0",
		"BIOS date: 2014-04-01",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
}

func TestShowsAnyRange(t *testing.T) {
	name := memory(t)
	status, out, stderr := devmem("-device", name, "-offset", "0xe0003", "-length", "20", "-from", "2", "-count", "-1")
	if status != 0 || !strings.Contains(out, "20 bytes mapped from 0xe0003, 18 shown") ||
		!strings.Contains(out, "000e0005  68 65 6c 6c 6f 2c 20 42  49 4f 53 00 00 00 00 00  |hello, BIOS.....|\n000e0015  00 00  ") {
		t.Errorf("status %d, %s\n%s", status, stderr, out)
	}
	if strings.Contains(out, "BIOS date") {
		t.Error("there is no date in that range")
	}
}

func TestStoresOnlyWhenAsked(t *testing.T) {
	name := memory(t)
	if status, out, stderr := devmem("-device", name, "-write", "0xe0005=4a", "-write", "917514=2e"); status != 0 || !strings.Contains(out, "Jello. BIOS") && !strings.Contains(out, "Jello.") {
		t.Errorf("status %d, %s\n%s", status, stderr, out)
	}
	b, err := os.ReadFile(name)
	if err != nil || string(b[917509:917515]) != "Jello." {
		t.Errorf("the file has %q, %v", b[917509:917515], err)
	}
	if err := os.Chmod(name, 0o400); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := devmem("-device", name); status != 0 {
		t.Errorf("a file that can only be read: %s", stderr)
	}
}

// What is shown and stored are numbers of the width, in the machine's byte order.
func TestAccessesByWidth(t *testing.T) {
	name := memory(t)
	for width, want := range map[string]string{
		"16": "000e0000  0001 0203 0405 0607",
		"32": "000e0000  00010203 04050607",
		"64": "000e0000  0001020304050607",
	} {
		status, out, stderr := devmem("-device", name, "-width", width, "-write", "0xe0000=0001020304050607")
		if status != 0 || !strings.Contains(out, want) || !strings.Contains(out, "stored 8 bytes at 0xe0000") {
			if width == "64" && strings.Contains(stderr, "64 bits as two times 32") {
				continue // a 32-bit machine
			}
			t.Errorf("%s bits: status %d, %s\n%s", width, status, stderr, out)
		}
	}
	for _, tt := range []struct {
		status int
		args   []string
		word   string
	}{
		{2, []string{"-width", "12"}, "-width 12"},
		{1, []string{"-width", "32", "-write", "0xe0000=0011"}, "has 8 digits"},
		{1, []string{"-width", "32", "-write", "0xe0002=00112233"}, "not 4-byte aligned"},
		{1, []string{"-width", "16", "-from", "1"}, "not 2-byte aligned"},
	} {
		if status, _, stderr := devmem(append(tt.args, "-device", name)...); status != tt.status || !strings.Contains(stderr, tt.word) {
			t.Errorf("%v: status %d, %s", tt.args, status, stderr)
		}
	}
}

func TestZero(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("mapping /dev/zero is tested on Linux")
	}
	status, out, stderr := devmem("-device", "/dev/zero")
	if status != 0 || !strings.Contains(out, "000e0000  00 00") || !strings.Contains(out, "*\n000e00f0") {
		t.Errorf("status %d, %s\n%s", status, stderr, out)
	}
}

func TestOneLineSaysWhatIsWrong(t *testing.T) {
	name := memory(t)
	none := filepath.Join(t.TempDir(), "none")
	for _, tt := range []struct {
		args  []string
		words []string
	}{
		{[]string{"-device", none}, []string{none}},
		{[]string{"-device", name, "-offset", "1048577"}, []string{name, "1048576"}},
		{[]string{"-device", name, "-length", "131073"}, []string{name, "131073", "1048576"}},
		{[]string{"-device", name, "-length", "-1"}, []string{name, "-1"}},
		{[]string{"-device", name, "-from", "-1"}, []string{name, "-1"}},
		{[]string{"-device", name, "-from", "131073"}, []string{name, "131073"}},
		{[]string{"-device", name, "-write", "5=00"}, []string{name}},
		{[]string{"-device", t.TempDir()}, nil},
	} {
		status, out, stderr := devmem(tt.args...)
		if status != 1 || strings.Count(stderr, "\n") != 1 || out != "" && !strings.Contains(out, "stored") {
			t.Errorf("%v: status %d, prints %q and %q", tt.args, status, out, stderr)
		}
		for _, w := range tt.words {
			if !strings.Contains(stderr, w) {
				t.Errorf("%v: %q lacks %q", tt.args, stderr, w)
			}
		}
	}
	if status, _, stderr := devmem("-write", "what"); status != 2 || !strings.Contains(stderr, "OFFSET=HEX") {
		t.Errorf("bad -write: status %d, %s", status, stderr)
	}
}

func TestPhysicalMemoryOrWhatIsNeeded(t *testing.T) {
	status, out, stderr := devmem()
	switch {
	case status == 0 && strings.Contains(out, "/dev/mem: 131072 bytes mapped"):
	case status == 1 && strings.Contains(stderr, "/dev/mem") && (strings.Contains(stderr, "needs") || runtime.GOOS != "linux" && strings.Contains(stderr, instead[runtime.GOOS])) && strings.Count(stderr, "\n") == 1:
		t.Logf("no physical memory to see here: %s", stderr)
	default:
		t.Errorf("status %d, prints %q and %q", status, out, stderr)
	}
}
