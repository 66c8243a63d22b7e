package mmap_test

import (
	"os"
	"strings"
	"testing"

	port "github.com/seed-498deeca/mmap/ports/mmapgo"
)

func TestExecIsExecutable(t *testing.T) {
	for _, p := range []packageUnderTest{originalPackage, ported} {
		test := newTest(t, p)
		for prot, want := range map[int]string{port.EXEC: "r-xs", port.RDONLY: "r--s", port.RDWR | port.EXEC: "rwxs", port.COPY: "rw-p"} {
			m := test.mapped(-1, prot, 0, 0)
			maps, err := os.ReadFile("/proc/self/maps")
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(maps)) {
				if strings.Contains(line, test.file.Name()) && strings.Fields(line)[1] != want {
					t.Errorf("%d: %s, not %s", prot, line, want)
				}
			}
			if err := m.unmap(); err != nil {
				t.Error(err)
			}
		}
	}
}
