package probes

import (
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"testing"

	"github.com/seed-498deeca/mmap"
)

// What /dev/mem does not show is refused in one line, and what has no memory behind
// it does no harm.
func TestPhysicalMemoryThatIsNotShown(t *testing.T) {
	needs(t, "devmem")
	for _, tt := range []struct {
		name   string
		offset int64
		args   []string
		kind   error
		words  []string // nil if it is mapped
	}{
		{"RAM (CONFIG_STRICT_DEVMEM)", 16 << 20, []string{"-offset=0x1000000", "-length=4096"}, fs.ErrPermission, []string{"operation not permitted", "CONFIG_STRICT_DEVMEM"}},
		{"RAM, to store", 16 << 20, []string{"-offset=0x1000000", "-length=4096", "-write=0x1000000=00"}, fs.ErrPermission, []string{"operation not permitted", "CONFIG_STRICT_DEVMEM"}},
		{"beyond what the processor addresses", 0x7fffffffffff0000, []string{"-offset=0x7fffffffffff0000", "-length=4096"}, nil, []string{"invalid argument", "4096 bytes at offset 9223372036854710272 cannot be mapped"}},
		{"beyond all numbers", 0x7ffffffffffffff0, []string{"-offset=0x7ffffffffffffff0", "-length=4096"}, mmap.ErrRange, []string{"overflows"}},
		{"beyond the end of memory", 64 << 30, []string{"-offset=0x1000000000", "-length=4096", "-count=16"}, nil, nil},
		{"a hole", 0xd0000000, []string{"-offset=0xd0000000", "-length=4096", "-count=16"}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := exec.Command("/devmem", tt.args...).CombinedOutput()
			if (err == nil) != (tt.words == nil) || strings.Count(string(out), "\n") > 2 {
				t.Errorf("devmem: %v, prints\n%s", err, out)
			}
			t.Logf("%s", out)
			for _, w := range append(tt.words, "/dev/mem") {
				if !strings.Contains(string(out), w) {
					t.Errorf("%q lacks %q", out, w)
				}
			}
			r, err := mmap.Config{Offset: tt.offset, Length: 4096}.Open("/dev/mem")
			if tt.words != nil {
				if r != nil || tt.kind != nil && !errors.Is(err, tt.kind) {
					t.Errorf("%v, %v, want %v", r, err, tt.kind)
				}
				return
			}
			mapped(t, r, err)
			x, err := mmap.Get[uint32](r, 4092)
			t.Logf("%#x, %v", x, err)
			if err != nil || r.Offset() != tt.offset {
				t.Errorf("%v: %v", r, err)
			}
		})
	}
}
