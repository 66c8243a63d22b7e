package main

import (
	"fmt"
	"strings"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// devmem looks at a PC's memory with the example, and writes to its screen.
var devmem = job{
	name: "devmem", about: "examples/devmem on /dev/mem of a PC: the BIOS, the text on the screen, and what is not shown",
	on: func(m machine) bool { return m.goArch == "amd64" },
	prepare: func(b *boot, o options) {
		b.programs["/devmem"] = program{"build", "./examples/devmem"}
		b.programs["/tests/probes"] = program{"test -c", "./internal/vmtest/probes"}
		b.plan.Env = append(b.plan.Env, plan.Hardware+"=devmem")
		b.plan.Disk = ""
		b.extra = append(b.extra, noteAccesses(b.file("trace"))...)
		for _, t := range devmemTasks {
			b.plan.Tasks = append(b.plan.Tasks, plan.Task{Name: t.name, Args: append([]string{"/devmem"}, t.args...)})
		}
		b.plan.Tasks = append(b.plan.Tasks, plan.Task{Name: "devmem", Args: []string{"/tests/probes", "-test.v", "-test.run=" + o.run}})
		b.tests = append(b.tests, "devmem")
	},
	check: func(b *boot, g *guest) error {
		for _, t := range devmemTasks {
			out := strings.Join(g.lines[t.name], "\n")
			for _, want := range t.want {
				if !strings.Contains(out, want) {
					return fmt.Errorf("%s prints\n%s\nwhich lacks %q", t.name, out, want)
				}
			}
		}
		seen, err := seenAccesses(b.file("trace"), "vga-lowmem")
		if err != nil {
			return err
		}
		if got, want := stored(seen, 0xb8000, 12), "H\x07i\x07m\x07m\x07a\x07p\x07"; got != want {
			return fmt.Errorf("the screen was given %q, want %q", got, want)
		}
		return nil
	},
}

var devmemTasks = []struct {
	name string
	args []string
	want []string
}{
	{"defaults", nil, []string{"/dev/mem: 131072 bytes mapped from 0xe0000, 256 shown", "BIOS date: "}},
	// Where the processor begins: a jump to F000:E05B.
	{"reset vector", []string{"-from=0x1fff0", "-count=16"}, []string{"000ffff0  ea 5b e0 00 f0 "}},
	{"offset inside a page", []string{"-offset=0xffff5", "-length=8", "-count=-1"}, []string{"8 bytes mapped from 0xffff5, 8 shown", "BIOS date: "}},
	// Letters and their colours.
	{"screen", []string{"-offset=0xb8000", "-length=4000", "-count=16", "-write=0xb8000=480769076d076d0761077007"},
		[]string{"stored 12 bytes at 0xb8000", "000b8000  48 07 69 07 6d 07 6d 07  61 07 70 07 "}},
}
