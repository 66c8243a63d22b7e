package mmap_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	port "github.com/seed-498deeca/mmap/ports/mmapgo"
)

// The kernel says what each mapping allows.
func TestAllowsWhatWasAskedFor(t *testing.T) {
	for _, p := range []packageUnderTest{originalPackage, ported} {
		test := newTest(t, p)
		for _, c := range []struct {
			prot, flags int
			want        string
		}{
			{port.RDONLY, 0, "r--s"}, {port.RDWR, 0, "rw-s"}, {port.COPY, 0, "rw-p"},
			{port.EXEC, 0, "r-xs"}, {port.RDWR | port.EXEC, 0, "rwxs"}, {port.COPY | port.EXEC, 0, "rwxp"},
			{port.RDWR, port.ANON, "rw-"}, {port.RDWR | port.EXEC, port.ANON, "rwx"},
		} {
			m := test.mapped(3*page, c.prot, c.flags, 0)
			if got := permissions(t, m.bytes()); !strings.HasPrefix(got, c.want) {
				t.Errorf("prot %d, flags %d: %s, not %s", c.prot, c.flags, got, c.want)
			}
			if err := m.unmap(); err != nil {
				t.Error(err)
			}
		}
	}
}

func permissions(t *testing.T, b []byte) string {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	var at, first, last uintptr
	fmt.Sscanf(fmt.Sprintf("%p", b), "0x%x", &at)
	for line := range strings.Lines(string(maps)) {
		var perms string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &first, &last, &perms); err != nil {
			t.Fatal(err)
		}
		if first <= at && at < last {
			return perms
		}
	}
	return "not mapped"
}
